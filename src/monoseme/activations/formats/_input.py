"""A foreign store as blocks of ours: padding, masks, the held-out split, rows that are not finite.

Letters: n contexts, S positions, R rows, D width.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from monoseme.activations.formats._foreign import ForeignStore, ForeignText
from monoseme.activations.formats._split import plan_blocks
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Tensor
from monoseme.text.block import TokenBlock

if TYPE_CHECKING:
    from monoseme.activations.formats._base import ActivationFormat


class ForeignInput:
    """What `write_store` asks for."""

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
        self.bad_rows: dict[int, int] = {}
        """Rows left out because they are not finite, by the block read."""
        self._options = options
        self._plan = plan_blocks(
            facts.units, fraction=options.holdout_fraction, seed=options.seed, per_block=options.contexts_per_block
        )
        self._special = _special_ids(options.tokenizer)

    @property
    def n_blocks(self) -> int:
        """Blocks of the store: first those for training, then the held-out ones."""
        return self._plan.n_blocks

    @property
    def sink_factor(self) -> float | None:
        """None: a foreign store names no sinks. Its statistics list the longest rows."""
        return None

    @property
    def sink_thresholds(self) -> Mapping[str, float | None]:
        """Empty, for the same reason."""
        return {}

    @property
    def n_tokens(self) -> int | None:
        """Rows of the store; None where only its files say how many."""
        return self.store.facts.n_rows

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
        found, filled = self._found(i)
        real = filled
        if self._options.bad_rows == "drop":
            real = filled.clone()
            real[filled] = self._finite(i)
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
        del text  # one of a dropped row has another `real`: where rows stand is asked of the store
        _, filled = self._found(i)
        rows = self._rows(i, int(filled.sum()))
        if self._options.bad_rows == "refuse":
            self._require_finite(i, rows)
        return {site: _spread(of_site, filled) for site, of_site in rows.items()}

    def __repr__(self) -> str:
        """The format and the sites."""
        return f"ForeignInput({self.format}: {', '.join(map(str, self.sites))}; {self.store.facts.n_contexts:,} contexts)"

    def _found(self, i: int) -> tuple[ForeignText, Bool[Tensor, "n S"]]:
        """What the store says of block i, and the places at which rows stand. Raises ForeignError for a context too long."""
        contexts = self._plan.contexts(i)
        found = self.store.text(contexts)
        longest = int(found.lengths.max())
        if longest > self.context_len:
            where = self.store.where(int(contexts[int(found.lengths.argmax())]))
            raise ForeignError(
                f"{where} has {longest:,} rows, above {self.context_len:,}.\n  Give --context_len {longest} or more."
            )
        return found, torch.arange(self.context_len) < found.lengths[:, None]

    def _rows(self, i: int, n_rows: int) -> Mapping[Site, Tensor]:
        """The rows of block i. Raises ForeignError where they are not as many or as wide as the store said."""
        contexts = self._plan.contexts(i)
        rows = self.store.rows(contexts)
        for site, of_site in rows.items():
            if tuple(of_site.shape) != (n_rows, self.widths[site]):
                raise ForeignError(
                    f"from {self.store.where(int(contexts[0]))} on, {site} has the shape {tuple(of_site.shape)}, "
                    f"not {(n_rows, self.widths[site])}"
                )
        return rows

    def _finite(self, i: int) -> Bool[Tensor, " R"]:
        """Which rows of block i are finite at every site; counts the others."""
        _, filled = self._found(i)
        finite = _is_finite(self._rows(i, int(filled.sum())))
        self.bad_rows[i] = int((~finite).sum())
        return finite

    def _require_finite(self, i: int, rows: Mapping[Site, Tensor]) -> None:
        finite = _is_finite(rows)
        if bool(finite.all()):
            return
        contexts, (found, _) = self._plan.contexts(i), self._found(i)
        owner = torch.repeat_interleave(torch.arange(len(contexts)), found.lengths)
        where = self.store.where(int(contexts[int(owner[~finite][0])]))
        raise ForeignError(
            f"{where} holds NaN or infinity, as do {int((~finite).sum()):,} of the {len(finite):,} rows read with it.\n"
            "  Leave such rows out with:  --bad_rows drop"
        )


def _is_finite(rows: Mapping[Site, Tensor]) -> Bool[Tensor, " R"]:
    return torch.stack([of_site.isfinite().all(dim=1) for of_site in rows.values()]).all(dim=0)


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
