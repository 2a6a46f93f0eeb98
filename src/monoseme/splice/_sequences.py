"""Codes of the tokens of one forward, also where an SAE reads whole contexts and a generation shows it one new token at a time.

An SAE that can go on where it stopped (`Continues`) is given back its history of each sequence, which lives in
`EditContext.state`: its codes are those of a forward over the whole text. The prompt is encoded as any contexts are; only when a
generation goes on is it read into a history, once.

Letters: n sequences, S positions, B rows where the mask is True (row by row), D width, F latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from monoseme.core.errors import SiteError
from monoseme.models.edit import EditContext
from monoseme.saes import Codes
from monoseme.splice._contract import SAELike
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


@runtime_checkable
class Continues(Protocol):
    """An SAE of contexts whose `encode(x, state)` goes on where the last call with that state ended."""

    def new_history(self) -> Any:
        """A state, before the first token of a sequence."""
        ...


@dataclass(eq=False)
class _Sequence:
    """What is kept of one sequence for one SAE."""

    unread: Tensor | None
    """[T, D]: the prompt's vectors, until they are in the history."""
    history: Any


def codes_of(sae: SAELike, x: Float[Tensor, "n S D"], mask: Bool[Tensor, "n S"], context: EditContext, *, key: object) -> Codes:
    """Codes [B, F] of the rows that the mask marks; `key` is whose sequences these are, the same in all forwards.

    To be called in every forward of a generation, also where nothing is marked. Raises SiteError for the tokens that a generation
    adds where the SAE reads whole contexts and cannot go on.
    """
    if sae.reads == "tokens":
        return sae.encode(x[mask])
    if bool(context.is_prompt.all()):
        if isinstance(sae, Continues):
            for row, state in enumerate(context.state):
                state[key] = _Sequence(x[row, mask[row]].detach(), None)
        return sae.encode_contexts(x, mask).select_rows(mask)
    if not isinstance(sae, Continues) or not all(key in state for state in context.state):
        raise SiteError(
            f"{type(sae).__name__} reads whole contexts, but a generation shows it one new token at a time. "
            "Splice it into a run over the whole text."
        )
    new = [_continued(sae, x[row, mask[row]], state[key]) for row, state in enumerate(context.state) if bool(mask[row].any())]
    return _joined(new) if new else sae.encode_contexts(x, mask).select_rows(mask)


def _continued(sae: Any, x: Float[Tensor, "T D"], sequence: _Sequence) -> Codes:
    """Codes of the next rows of one sequence, which its history then holds."""
    if sequence.history is None:
        sequence.history = sae.new_history()
        if sequence.unread is not None and len(sequence.unread):
            with torch.no_grad():
                sae.encode(sequence.unread.unsqueeze(0), sequence.history)
        sequence.unread = None
    codes: Codes = sae.encode(x.unsqueeze(0), sequence.history)
    return codes.select_rows(torch.ones(1, len(x), dtype=torch.bool, device=x.device))


def _joined(codes: Sequence[Codes]) -> Codes:
    """The rows of all, in order."""
    parts: dict[str, SparseCodes | Tensor] = {}
    for name, first in codes[0].parts.items():
        each: list[Any] = [code.parts[name] for code in codes]
        parts[name] = SparseCodes.cat(each) if isinstance(first, SparseCodes) else torch.cat(each)
    offset, scale, base = (
        None if column[0] is None else torch.cat([t for t in column if t is not None])
        for column in zip(*((code.offset, code.scale, code.base) for code in codes), strict=True)
    )
    return Codes(parts, offset, scale, base)
