"""The contexts of a token store: any stretch of them can be made again, with the same bits, at any time."""

import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from monoseme.core.errors import EmptyCorpusError
from monoseme.text.block import TokenBlock
from monoseme.text.document import role_code
from monoseme.text.group import Group
from monoseme.text.layout import Layout, lay_out, permutation, reorder_contexts

if TYPE_CHECKING:
    from monoseme.text.store import TokenStore

Split = Literal["train", "heldout", "all"]


class ContextPlan:
    """The contexts of one split, in a fixed order. Group by group: sections are mixed, packed, and the contexts mixed.

    A context holds text of one split and, with `one_per_context`, of one document only. The last context of a group may be
    padded; no token of the split is left out or comes twice.
    """

    def __init__(self, store: "TokenStore", split: Split) -> None:
        """Made by `TokenStore.contexts`."""
        self.store, self.split = store, split
        self._layouts: list[Layout] = []
        self._firsts = [0]
        self._lock = threading.Lock()
        self._hidden = np.array([] if store.config.keep_special else sorted(store.tokenizer.special_ids), dtype=np.int64)

    @property
    def context_len(self) -> int:
        """Positions of a context (S)."""
        return self.store.config.context_len

    @property
    def spec(self) -> dict[str, Any]:
        """What a manifest says of these contexts. Waits for the whole corpus."""
        return {"text": self.store.spec, "split": self.split, "n_contexts": len(self)}

    def __len__(self) -> int:
        """Contexts of the split. Waits for the whole corpus."""
        self.store.finish()
        self._extend(len(self.store.groups))
        return self._firsts[-1]

    def has(self, i: int) -> bool:
        """Whether there is a context i; waits only until the corpus is known to reach it, or to end before."""
        while i >= self._firsts[-1] and self.store.has_group(len(self._layouts)):
            self._extend(len(self._layouts) + 1)
        return 0 <= i < self._firsts[-1]

    def n_blocks(self, n_contexts: int) -> int:
        """Blocks of `n_contexts` each (the last may have fewer). Waits for the whole corpus."""
        return -(-len(self) // n_contexts)

    def block(self, i: int, n_contexts: int) -> TokenBlock:
        """Contexts [i * n_contexts, (i + 1) * n_contexts), or as many of them as there are.

        Raises EmptyCorpusError if the split has no contexts at all, IndexError if it ends before block i.
        """
        self.has((i + 1) * n_contexts - 1)
        wanted = range(i * n_contexts, min((i + 1) * n_contexts, self._firsts[-1]))
        if not self._firsts[-1]:
            raise EmptyCorpusError(
                f'no text on the side "{self.split}" of the held-out split of "{self.store.config.source}".\n'
                "  Give more text, or another holdout_fraction."
            )
        if i < 0 or not wanted:
            raise IndexError(f"no block {i} of {n_contexts} contexts in {self._firsts[-1]}")
        return self._fill(wanted)

    def _extend(self, n_groups: int) -> None:
        # A source that makes blocks ahead calls from a thread of its own.
        with self._lock:
            for g in range(len(self._layouts), n_groups):
                layout = self._lay_out(self.store.groups[g], g)
                self._layouts.append(layout)
                self._firsts.append(self._firsts[-1] + layout.n_contexts)

    def _lay_out(self, group: Group, g: int) -> Layout:
        config = self.store.config
        keeps = {"train": ~group.heldout, "heldout": group.heldout, "all": np.ones_like(group.heldout)}[self.split]
        order = np.flatnonzero(keeps)
        if config.shuffle:
            order = order[permutation(len(order), config.seed, "sections", self.split, g)]
        layout = lay_out(
            np.diff(group.offsets).tolist(),
            order=order.tolist(),
            context_len=config.context_len,
            bos="never" if config.bos == "auto" else config.bos,
            one_per_context=config.packing == "one_per_context",
        )
        if not config.shuffle:
            return layout
        return reorder_contexts(layout, permutation(layout.n_contexts, config.seed, "contexts", self.split, g))

    def _fill(self, wanted: range) -> TokenBlock:
        shape = (len(wanted), self.context_len)
        arrays = _Arrays(shape, pad_id=self.store.tokenizer.pad_id, bos_id=self.store.tokenizer.bos_id)
        for row, context in enumerate(wanted):
            g = int(np.searchsorted(self._firsts, context, side="right")) - 1
            arrays.write(row, self.store.groups[g], self._layouts[g], context - self._firsts[g])
        mask = arrays.real & ~np.isin(arrays.tokens, self._hidden)
        if self.store.config.only_roles is not None:
            mask &= np.isin(arrays.roles, [role_code(role) for role in self.store.config.only_roles])
        return arrays.block(mask)


class _Arrays:
    """A block while it is written, as numpy arrays: filling slices of them is several times quicker than of tensors."""

    def __init__(self, shape: tuple[int, int], *, pad_id: int, bos_id: int | None) -> None:
        self._bos_id = pad_id if bos_id is None else bos_id
        self.tokens = np.full(shape, pad_id, dtype=np.int64)
        self.real = np.zeros(shape, dtype=bool)
        self.documents = np.full(shape, -1, dtype=np.int64)
        self.sources = np.full(shape, -1, dtype=np.int64)
        self.positions = np.full(shape, -1, dtype=np.int64)
        self.roles = np.zeros(shape, dtype=np.int8)
        self.turns = np.zeros(shape, dtype=np.int16)

    def write(self, row: int, group: Group, layout: Layout, context: int) -> None:
        for segment in range(int(layout.bounds[context]), int(layout.bounds[context + 1])):
            section, start = int(layout.section[segment]), int(layout.start[segment])
            length, column = int(layout.length[segment]), int(layout.column[segment])
            has_bos = bool(layout.has_bos[segment])
            whole = slice(column, column + has_bos + length)
            self.real[row, whole] = True
            self.documents[row, whole] = group.first + section
            self.sources[row, whole] = group.source[section]
            if has_bos:
                self.tokens[row, column] = self._bos_id
            text = slice(column + has_bos, column + has_bos + length)
            tokens = group.section(section).cut(start, start + length)
            self.tokens[row, text] = tokens.ids
            self.positions[row, text] = np.arange(start, start + length)
            if tokens.roles is not None and tokens.turns is not None:
                self.roles[row, text], self.turns[row, text] = tokens.roles, tokens.turns

    def block(self, mask: np.ndarray) -> TokenBlock:
        names = ("tokens", "real", "documents", "sources", "positions", "roles", "turns")
        return TokenBlock(mask=torch.from_numpy(mask), **{name: torch.from_numpy(getattr(self, name)) for name in names})
