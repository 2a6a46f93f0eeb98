"""SparseCodes: the active latents of many rows as CSR, over any leading shape.

Indices are int32, values may be negative and may carry a gradient, there is no padding sentinel. A fixed number of entries per
row (TopK) is the special case in which `fixed_k` is set. Selectors may leave explicit zeros (a ReLU after the selection);
`l0` does not count them and `drop_zeros` removes them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import torch

from monoseme.tensors.shapes import Bool, Float, Int, Tensor

_Plan = TypeVar("_Plan")


def offsets_of(counts: Int[Tensor, " rows"]) -> Int[Tensor, " rows_and_one"]:
    """Where rows of so many entries begin, one after the other, and where the last one ends; int64."""
    offsets = torch.zeros(counts.shape[0] + 1, dtype=torch.int64, device=counts.device)
    torch.cumsum(counts, 0, out=offsets[1:])
    return offsets


class ByLatent(NamedTuple):
    """The same entries ordered by latent, then row: the CSC view that weight gradients are summed in."""

    order: Int[Tensor, " nnz"]
    """Position in the CSR arrays of each entry, int64."""
    rows: Int[Tensor, " nnz"]
    """Row of each entry, int64."""
    starts: Int[Tensor, " F"]
    """First entry of each latent, int64."""


@dataclass(frozen=True, eq=False, repr=False)
class SparseCodes:
    """CSR codes: entries of row r are `offsets[r]:offsets[r + 1]`. Letters: `nnz` entries, F = `n_latents`.

    >>> codes = SparseCodes.from_dense(torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, -3.0]]))
    >>> codes, codes.indices.tolist(), codes.l0().tolist()
    (SparseCodes(leading=(2,), n_latents=3, nnz=3), [1, 0, 2], [1, 2])
    """

    indices: Int[Tensor, " nnz"]
    """Latent of each entry, int32."""
    values: Float[Tensor, " nnz"]
    offsets: Int[Tensor, " rows_and_one"]
    """int64."""
    n_latents: int
    leading: tuple[int, ...]
    """Shape of the rows; its product is `n_rows`."""
    fixed_k: int | None = None
    """Entries of every row where that is one number by construction, else None."""
    _plans: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """What was worked out from the entries alone, shared by codes with the same entries and other values."""

    @classmethod
    def from_topk(cls, indices: Int[Tensor, "*lead K"], values: Float[Tensor, "*lead K"], n_latents: int) -> "SparseCodes":
        """K entries per row; their order within a row is kept."""
        k = indices.shape[-1]
        n_rows = math.prod(indices.shape[:-1])
        offsets = torch.arange(n_rows + 1, device=indices.device) * k
        return cls(indices.reshape(-1).to(torch.int32), values.reshape(-1), offsets, n_latents, tuple(indices.shape[:-1]), k)

    @classmethod
    def from_rows(cls, rows: Int[Tensor, " nnz"], indices: Int[Tensor, " nnz"], values: Float[Tensor, " nnz"], *,
                  n_rows: int, n_latents: int) -> "SparseCodes":  # fmt: skip
        """Entries given as (row, latent, value); `rows` must not decrease."""
        offsets = offsets_of(torch.bincount(rows, minlength=n_rows))
        return cls(indices.to(torch.int32), values, offsets, n_latents, (n_rows,))

    @classmethod
    def from_dense(cls, x: Float[Tensor, "*lead F"]) -> "SparseCodes":
        """Exactly the non-zero entries of x."""
        flat = x.reshape(-1, x.shape[-1])
        rows, indices = flat.nonzero(as_tuple=True)
        made = cls.from_rows(rows, indices, flat[rows, indices], n_rows=flat.shape[0], n_latents=flat.shape[1])
        return made.reshape_leading(*x.shape[:-1])

    def __repr__(self) -> str:
        return f"SparseCodes(leading={self.leading}, n_latents={self.n_latents}, nnz={self.nnz})"

    @property
    def nnz(self) -> int:
        """Entries stored, explicit zeros included."""
        return self.indices.shape[0]

    @property
    def n_rows(self) -> int:
        """Rows of the flattened leading shape."""
        return self.offsets.shape[0] - 1

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    def plan(self, key: str, make: Callable[["SparseCodes"], _Plan]) -> _Plan:
        """`make(self)`, worked out once for these entries; it must not look at the values, which may differ by then."""
        known = self._plans.get(key)
        # `replace` hands the plans on to codes that may have other entries: what a plan is of is kept beside it.
        if known is not None and known[1] is self.indices and known[2] is self.offsets and known[3] == self.n_latents:
            return known[0]
        made = make(self)
        self._plans[key] = (made, self.indices, self.offsets, self.n_latents)
        return made

    @property
    def by_latent(self) -> ByLatent:
        """Entries ordered by (latent, row); computed once."""
        return self.plan("by_latent", SparseCodes._by_latent)

    def _by_latent(self) -> ByLatent:
        latents, order = self.indices.sort(stable=True)
        first = torch.arange(self.n_latents, dtype=torch.int32, device=self.device)
        return ByLatent(order, self.rows()[order], torch.searchsorted(latents, first))

    def rows(self) -> Int[Tensor, " nnz"]:
        """Flattened row of each entry, int64."""
        if self.fixed_k is not None:
            every = torch.arange(self.n_rows, device=self.device)
            return every.unsqueeze(1).expand(-1, self.fixed_k).reshape(-1)
        return torch.repeat_interleave(self.offsets.diff(), output_size=self.nnz)

    def l0(self) -> Int[Tensor, "*lead"]:
        """Entries other than zero in each row, int64."""
        counts = torch.zeros(self.n_rows, dtype=torch.int64, device=self.device)
        return counts.index_add_(0, self.rows(), (self.values != 0).to(torch.int64)).reshape(self.leading)

    def to_dense(self) -> Float[Tensor, "*lead F"]:
        """[*leading, F]; differentiable in the values. For tests and small inputs: it is the matrix we otherwise avoid."""
        flat = torch.zeros(self.n_rows, self.n_latents, dtype=self.values.dtype, device=self.device)
        return flat.index_put((self.rows(), self.indices.long()), self.values).reshape(*self.leading, self.n_latents)

    def with_values(self, values: Float[Tensor, " nnz"]) -> "SparseCodes":
        """The same entries with other values."""
        return replace(self, values=values)

    def detach(self) -> "SparseCodes":
        """Without gradient history."""
        return self.with_values(self.values.detach())

    def to(self, device: torch.device | str) -> "SparseCodes":
        """On another device."""
        return replace(self, indices=self.indices.to(device), values=self.values.to(device), offsets=self.offsets.to(device))

    def reshape_leading(self, *shape: int) -> "SparseCodes":
        """The same rows in another leading shape. Raises ValueError when the counts differ."""
        if math.prod(shape) != self.n_rows:
            raise ValueError(f"{self.n_rows} rows cannot take the shape {shape}")
        return replace(self, leading=tuple(shape))

    def drop_zeros(self) -> "SparseCodes":
        """Without the entries that are exactly zero."""
        keep = self.values != 0
        if bool(keep.all()):
            return self
        kept = type(self).from_rows(
            self.rows()[keep], self.indices[keep], self.values[keep], n_rows=self.n_rows, n_latents=self.n_latents
        )
        return kept.reshape_leading(*self.leading)

    def select_rows(self, rows: Bool[Tensor, "*lead"] | Int[Tensor, " n"]) -> "SparseCodes":
        """The rows a boolean mask of the leading shape marks, or flattened rows by number, in that order; leading is (n,)."""
        chosen = rows.reshape(-1).nonzero().squeeze(1) if rows.dtype == torch.bool else rows.long()
        counts = self.offsets.diff()[chosen]
        offsets = offsets_of(counts)
        shift = self.offsets[chosen] - offsets[:-1]
        n_entries = int(offsets[-1])
        entries = torch.arange(n_entries, device=self.device)
        entries = entries + torch.repeat_interleave(shift, counts, output_size=n_entries)
        leading = (chosen.shape[0],)
        return replace(self, indices=self.indices[entries], values=self.values[entries], offsets=offsets, leading=leading)

    @classmethod
    def cat(cls, codes: Sequence["SparseCodes"]) -> "SparseCodes":
        """Joined along the first leading dimension; the others must agree. Raises ValueError for none, or unlike shapes."""
        if not codes or len({(c.n_latents, c.leading[1:]) for c in codes}) != 1:
            raise ValueError(f"cannot join {[(c.leading, c.n_latents) for c in codes]}")
        ends = torch.tensor([0, *(c.nnz for c in codes)]).cumsum(0).tolist()
        offsets = [c.offsets[:-1] + base for c, base in zip(codes, ends, strict=False)]
        fixed = {c.fixed_k for c in codes}
        return cls(
            indices=torch.cat([c.indices for c in codes]),
            values=torch.cat([c.values for c in codes]),
            offsets=torch.cat([*offsets, codes[0].offsets.new_tensor([ends[-1]])]),
            n_latents=codes[0].n_latents,
            leading=(sum(c.leading[0] for c in codes), *codes[0].leading[1:]),
            fixed_k=fixed.pop() if len(fixed) == 1 else None,
        )
