"""Texts written together, step by step, with a KV cache: requests of different edits and sampling come and go between steps.

A forward serves all rows at once. Each request's edits see its own rows alone, as a batch of their own, so that no request can
tell that there are others; what a row becomes hangs on them only through the order of floating-point sums.

Letters: n rows, S positions, V vocabulary.
"""

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import torch

from monoseme.core.errors import MonosemeError
from monoseme.models._forward import Call, Forward
from monoseme.models._generate import Generation, GenerationRequest, Row, check_prompts
from monoseme.models._own_rows import Own, OwnRows, SharedLook, SharedWork
from monoseme.models._padding import pad_left, positions_of
from monoseme.models._row_cache import RowCache, widened
from monoseme.models._tokens import as_ids
from monoseme.models.edit import Edit, EditContext, Look

if TYPE_CHECKING:
    from monoseme.models.language_model import LanguageModel


class Ongoing:
    """A request while it is written."""

    def __init__(self, request: GenerationRequest, model: "LanguageModel") -> None:
        """Prefer `Generating.begin`."""
        self.request = request
        self.error: MonosemeError | None = None
        """What one of its edits raised; its texts end there."""
        self.is_cancelled = False
        self.rows = [Row(i, request, model) for i in range(len(request.prompts))]
        self.left = [row for row in self.rows if not row.is_done]
        """Those that are still being written, in order."""

    @property
    def is_over(self) -> bool:
        """Whether it needs no further step."""
        return self.is_cancelled or self.error is not None or not any(not row.is_done for row in self.left)

    def cancel(self) -> None:
        """Ends it before the next step; may be called from any thread."""
        self.is_cancelled = True

    def fail(self, error: MonosemeError) -> None:
        """Ends it with what one of its edits raised."""
        self.error = self.error or error

    def results(self) -> list[Generation]:
        """What its prompts have become so far."""
        return [row.result() for row in self.rows]


def generate(forward: Forward, model: "LanguageModel", request: GenerationRequest) -> list[Generation]:
    """Continues all prompts of one request. Raises ModelError for empty and too long prompts, and what edits raise."""
    check_prompts(model, request)
    ongoing = Ongoing(request, model)
    if ongoing.left:
        batch = _Batch(forward, model, [ongoing])
        while not ongoing.is_over:
            batch.step(shares=False)
    return ongoing.results()


class Generating:
    """The texts that one model writes. To be used by one thread."""

    def __init__(self, forward: Forward, model: "LanguageModel") -> None:
        """Prefer `LanguageModel.generating`."""
        self._forward, self._model = forward, model
        self._new: list[Ongoing] = []
        self._batches: list[_Batch] = []

    @property
    def n_rows(self) -> int:
        """Texts that are being written."""
        return sum(len(ongoing.left) for ongoing in self._all() if not ongoing.is_over)

    def begin(self, request: GenerationRequest) -> Ongoing:
        """Takes a request in; it is written from the next step on.

        Raises ModelError for empty and too long prompts, SiteError for an edit at a site that the model does not have.
        """
        for edit in request.edits:
            self._model.spec.check(edit.site)
        check_prompts(self._model, request)
        ongoing = Ongoing(request, self._model)
        self._new.append(ongoing)
        return ongoing

    def step(self) -> None:
        """One more token of every text. Requests that begin now read their prompts together, and then go on with the others
        where the model's cache allows; else they have forwards of their own, in turn.

        What an edit raises ends its own request. Anything else that is raised leaves every request unfinished: begin anew.
        """
        self._tidy()
        for batch in self._batches:
            batch.step()
        if self._new:
            begun = _Batch(self._forward, self._model, self._new)
            self._new = []
            begun.step()
            if not any(batch.join(begun) for batch in self._batches):
                self._batches.append(begun)

    def _tidy(self) -> None:
        self._new = [ongoing for ongoing in self._new if not ongoing.is_over]
        for batch in self._batches:
            batch.tidy()
        self._batches = [batch for batch in self._batches if batch.parts]

    def _all(self) -> list[Ongoing]:
        return [*self._new, *(ongoing for batch in self._batches for ongoing in batch.parts)]


class _Batch:
    """Rows that share their forwards."""

    def __init__(self, forward: Forward, model: "LanguageModel", parts: list[Ongoing]) -> None:
        self.parts = list(parts)
        self._forward, self._model = forward, model
        self._cache: RowCache | None = None
        self._tokens, self._attended = pad_left([row.prompt for row in self._rows], pad_id=_pad_id(model), device=forward.device)

    @property
    def _rows(self) -> list[Row]:
        """In the order of the batch: those of a request lie together."""
        return [row for part in self.parts for row in part.left]

    @torch.no_grad()
    def step(self, *, shares: bool = True) -> None:
        """One forward, one more token for each row. Without `shares`, there is one request, and what its edits raise goes out."""
        if self._cache is not None:
            self._advance()
        context = self._context()
        edits = self._own_edits(context) if shares else self.parts[0].request.edits
        past = None if self._cache is None else self._cache.raw
        logits, cache, _ = self._forward.step(Call(self._tokens, edits=edits), context, past, self._attended)
        self._cache = RowCache(cache)
        for row, of_row in zip(self._rows, logits, strict=True):
            row.had(of_row)

    def tidy(self) -> None:
        """Drops rows that need no further forward; all that is left stays as it is."""
        over = [row.is_done or part.is_over for part in self.parts for row in part.left]
        if self._cache is None or not any(over) or not (all(over) or self._cache.can_drop):
            return
        kept = [i for i, is_over in enumerate(over) if not is_over]
        for part in self.parts:
            part.left = [row for row in part.left if not (row.is_done or part.is_over)]
        self.parts = [part for part in self.parts if part.left]
        if kept:
            rows = torch.tensor(kept, device=self._attended.device)
            self._attended = self._attended[rows]
            n_padding = int(self._attended.any(0).long().argmax()) if self._cache.can_join else 0
            self._attended = self._attended[:, n_padding:]
            self._cache.take(rows, n_padding=n_padding)

    def join(self, other: "_Batch") -> bool:
        """Takes in the rows of another batch that has begun, where both caches allow it; whether they did."""
        if self._cache is None or other._cache is None or not (self._cache.can_join and other._cache.can_join):
            return False
        self._cache.join(other._cache)
        width = max(self._attended.shape[1], other._attended.shape[1])
        self._attended = torch.cat([widened(self._attended, width), widened(other._attended, width)])
        self.parts += other.parts
        return True

    def _advance(self) -> None:
        """The newest token of each row is what the next forward reads."""
        self._tokens = torch.tensor([[row.last] for row in self._rows], device=self._attended.device)
        self._attended = torch.cat([self._attended, self._attended.new_ones(len(self._tokens), 1)], dim=1)

    def _context(self) -> EditContext:
        rows, tokens, width = self._rows, self._tokens, self._tokens.shape[1]
        live = torch.tensor([[not row.is_done] for row in rows], device=tokens.device)
        return EditContext(
            tokens=tokens,
            mask=self._model.editable(tokens, self._attended[:, -width:]) & live,
            positions=positions_of(self._attended)[:, -width:],
            row=torch.tensor([row.index for row in rows], device=tokens.device),
            is_prompt=torch.full_like(tokens, self._cache is None, dtype=torch.bool),
            state=tuple(row.state for row in rows),
        )

    def _own_edits(self, context: EditContext) -> tuple[Edit, ...]:
        """Every request's edits, each for its own rows; what looks at the model before a request changes it is shared."""
        made: list[Edit] = []
        shared: dict[Hashable, SharedWork] = {}
        first = 0
        for part in self.parts:
            width = 1 if self._cache is not None else max(len(row.prompt) for row in part.left)
            own = Own(first, first + len(part.left), width, context)
            first += len(part.left)
            if part.is_over:
                continue
            looks = _shared_looks(part.request.edits)
            for key in dict.fromkeys(look.key for look in looks):
                shared.setdefault(key, SharedWork(context)).owners.append(own)
            made += [SharedLook(look, own, shared[look.key], part.fail) for look in looks]
            made += [OwnRows(edit, own, part.fail) for edit in part.request.edits[len(looks) :]]
        return tuple(made)


def _shared_looks(edits: Iterable[Edit]) -> list[Look]:
    """The first edits, as far as they are looks that share their work: before anything is changed."""
    looks: list[Look] = []
    for edit in edits:
        if not isinstance(edit, Look) or edit.key is None:
            break
        looks.append(edit)
    return looks


def _pad_id(model: "LanguageModel") -> int:
    return next(iter((*as_ids(model.tokenizer.pad_token_id), *sorted(model.end_ids), 0)))
