"""A foreign store as blocks of ours: padding, masks, the held-out split, rows that are not finite.

Letters: n contexts, S positions, R rows, D width.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from monoseme.activations.formats._foreign import ForeignContexts, ForeignStore
from monoseme.activations.formats._split import plan_blocks
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Tensor
from monoseme.text.block import TokenBlock

if TYPE_CHECKING:
    from monoseme.activations.formats._base import ActivationFormat


class _Read(NamedTuple):
    block: int
    found: ForeignContexts
    filled: Bool[Tensor, "n S"]
    """Places that a row of the store stands at."""
    kept: Bool[Tensor, " R"]
    """Rows that are finite at every site."""


class ForeignInput:
    """What `write_store` asks for. A block is read once, when its text is asked for, and held until the next one."""

    def __init__(self, store: ForeignStore, options: "ActivationFormat.Config", *, format: str) -> None:
        """Raises ConfigError for a tokenizer that nothing would use."""
        facts = store.facts
        if options.tokenizer is not None and not facts.has_text:
            raise ConfigError("--tokenizer is given, but this store keeps no token ids that could be used.\n  Leave it out.")
        self.store, self.format = store, format
        self.sites = tuple(facts.widths)
        self.widths: Mapping[Site, int] = facts.widths
        self.context_len, self.has_text = facts.context_len, facts.has_text
        self.contexts_per_block = options.contexts_per_block
        self.n_bad_rows = 0
        """Rows left out so far because they are not finite."""
        self._options = options
        self._plan = plan_blocks(
            facts.units, fraction=options.holdout_fraction, seed=options.seed, per_block=options.contexts_per_block
        )
        self._special = _special_ids(options.tokenizer)
        self._last: _Read | None = None

    @property
    def n_blocks(self) -> int:
        """Blocks of the store: first those for training, then the held-out ones."""
        return self._plan.n_blocks

    @property
    def spec(self) -> dict[str, Any]:
        """What the manifest says of where the rows come from; equal specs give equal blocks."""
        facts = self.store.facts
        return {
            "kind": "imported",
            "format": self.format,
            "options": to_dict(self._options),
            "foreign_dtype": facts.dtype,
            "n_contexts": facts.n_contexts,
            "files": facts.fingerprint,
            "details": dict(facts.details),
            "lost": list(facts.lost),
        }

    def has_block(self, i: int) -> bool:
        """Whether there is a block i."""
        return 0 <= i < self._plan.n_blocks

    def is_heldout(self, i: int) -> bool:
        """Whether block i holds contexts kept out of training; no block holds both kinds."""
        return i >= self._plan.n_train_blocks

    def text(self, i: int) -> TokenBlock:
        """What is known of the contexts of block i; tokens are 0 where the store keeps none.

        Raises IndexError if there is none, and ForeignError.
        """
        read = self._read(i)
        found, filled = read.found, read.filled
        real = filled.clone()
        real[filled] = read.kept
        tokens = _spread(found.tokens, filled) if found.tokens is not None else torch.zeros_like(filled, dtype=torch.long)
        documents = torch.where(real, found.documents[:, None], -1)
        positions = torch.where(real, found.starts[:, None] + torch.arange(self.context_len), -1)
        return TokenBlock(
            tokens=tokens,
            mask=real & ~torch.isin(tokens, self._special),
            real=real,
            documents=documents,
            sources=documents,
            positions=positions,
            roles=torch.zeros_like(tokens, dtype=torch.int8),
            turns=torch.zeros_like(tokens, dtype=torch.int16),
        )

    def vectors(self, i: int, text: TokenBlock) -> Mapping[Site, Tensor]:
        """The rows of block i [n, S, D] in the store's own type; 0 at padding. Raises IndexError, ForeignError."""
        del text
        read = self._read(i)
        return {site: _spread(rows, read.filled) for site, rows in read.found.rows.items()}

    def __repr__(self) -> str:
        """The format and the sites."""
        return f"ForeignInput({self.format}: {', '.join(map(str, self.sites))}; {self.store.facts.n_contexts:,} contexts)"

    def _read(self, i: int) -> _Read:
        if self._last is None or self._last.block != i:
            contexts = self._plan.contexts(i)
            found = self.store.read(contexts)
            self._check(found, int(contexts[0]))
            filled = torch.arange(self.context_len) < found.lengths[:, None]
            self._last = _Read(i, found, filled, self._finite(found, contexts.tolist()))
        return self._last

    def _check(self, found: ForeignContexts, first: int) -> None:
        """Raises ForeignError for contexts that do not have the shape the store said they had."""
        n_rows = int(found.lengths.sum())
        for site, rows in found.rows.items():
            if tuple(rows.shape) != (n_rows, self.widths[site]):
                raise ForeignError(
                    f"{self.store.where(first)}: {site} has {tuple(rows.shape)} rows and numbers from here on, "
                    f"not {(n_rows, self.widths[site])}"
                )
        if int(found.lengths.max()) > self.context_len:
            worst = int(found.lengths.argmax())
            raise ForeignError(
                f"{self.store.where(first)}: context {worst} from here has {int(found.lengths[worst]):,} rows, "
                f"above {self.context_len:,}.\n  Give --context_len {int(found.lengths[worst])} or more."
            )

    def _finite(self, found: ForeignContexts, contexts: list[int]) -> Bool[Tensor, " R"]:
        kept = torch.stack([rows.isfinite().all(dim=1) for rows in found.rows.values()]).all(dim=0)
        n_bad = int((~kept).sum())
        if n_bad and self._options.bad_rows == "refuse":
            owner = torch.repeat_interleave(torch.arange(len(contexts)), found.lengths)
            first = contexts[int(owner[~kept][0])]
            raise ForeignError(
                f"{self.store.where(first)}: {n_bad:,} of {len(kept):,} rows read from here on hold NaN or infinity.\n"
                "  Leave such rows out with:  --bad_rows drop"
            )
        self.n_bad_rows += n_bad
        return kept


def _spread(rows: Tensor, filled: Bool[Tensor, "n S"]) -> Tensor:
    """Rows [R, ...] at their places [n, S, ...], 0 elsewhere; a view where nothing is padding."""
    if len(rows) == filled.numel():
        return rows.reshape(*filled.shape, *rows.shape[1:])
    out = rows.new_zeros(*filled.shape, *rows.shape[1:])
    out[filled] = rows
    return out


def _special_ids(tokenizer: str | None) -> Tensor:
    if tokenizer is None:
        return torch.empty(0, dtype=torch.long)
    from monoseme.activations.formats._tokenizer import load_tokenizer  # transformers takes seconds to load

    return torch.tensor(sorted(load_tokenizer(tokenizer).special_ids), dtype=torch.long)
