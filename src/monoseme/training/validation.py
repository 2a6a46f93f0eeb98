"""How an SAE does on documents it never learns from: always the same ones, kept in memory once captured.

FVU, L0 and silence are those of `decode(encode(x))`, what a user of the SAE gets; the losses are the SAE's own, of the training
forward: a loss through the model is no part of them.
Over several output sites FVU is that of their vectors side by side, and L0 is per code.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from monoseme.saes import SAE, Codes, Knobs
from monoseme.training.feed import Rows


class HeldOut:
    """Fixed batches of held-out activations for one SAE: as it learns from them, and as it reads them."""

    def __init__(self, learns: Sequence[Rows], reads: Sequence[Rows]) -> None:
        """Batches in the view the SAE `learns_from` and in the one it `reads`; the same ones where the two are one."""
        self._learns = learns
        self._reads = reads

    @property
    def n_rows(self) -> int:
        """Vectors measured."""
        return sum(batch.n_counted for batch in self._reads)

    def measure(self, sae: SAE, *, knobs: Knobs) -> dict[str, float]:
        """`loss`, `loss/<part>`, `fvu`, `l0` and `silent_fraction` (latents that fired on none of the rows), by name.

        `knobs` are those of the step; only the losses depend on them.
        FVU is sum|x - x_hat|^2 / sum|x - mean(x)|^2 over all rows; sums in float64 (float32 on MPS).
        """
        with torch.no_grad():
            return self._losses(sae, knobs) | self._fidelity(sae)

    def _losses(self, sae: SAE, knobs: Knobs) -> dict[str, float]:
        sums: dict[str, float] = {}
        n_rows = 0
        for batch in self._learns:
            losses = sae.loss(batch.x, knobs, mask=batch.mask)
            values = {"loss": losses.total} | {f"loss/{name}": value for name, value in losses.parts.items()} | dict(losses.logs)
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value) * losses.n_rows
            n_rows += losses.n_rows
        return {name: total / n_rows for name, total in sums.items()}

    def _fidelity(self, sae: SAE) -> dict[str, float]:
        wide = torch.float32 if self._reads[0].x.device.type == "mps" else torch.float64
        batches = [_InOutRows.of(sae, batch) for batch in self._reads]
        mean = torch.cat([batch.y for batch in batches]).mean(dim=0, dtype=wide)
        error = spread = 0.0
        n_active = n_codes = 0
        fired = torch.zeros(sae.n_latents, dtype=torch.bool)
        for batch in batches:
            codes = batch.codes(sae)
            error += float((batch.y - sae.decode(codes)).square().sum(dtype=wide))
            spread += float((batch.y - mean).square().sum(dtype=wide))
            active = codes.sparse()
            n_active, n_codes = n_active + active.nnz, n_codes + active.n_rows
            fired[active.indices.cpu().long()] = True
        latents = sae.shard  # each process has the codes of its own
        n_active, n_fired, n_latents = latents.sum(torch.tensor([n_active, int(fired.sum()), len(fired)])).tolist()
        return {"fvu": error / spread, "l0": n_active / n_codes, "silent_fraction": 1.0 - n_fired / n_latents}


class _InOutRows(NamedTuple):
    """A batch as an SAE reads it, and the vectors that it is to give back."""

    x: Tensor
    mask: Tensor | None
    y: Tensor
    """[T, D], or [T, L, D] for several output sites."""

    @classmethod
    def of(cls, sae: SAE, batch: Rows) -> "_InOutRows":
        """Masked vectors are left out of `y`; contexts stay whole in `x`."""
        if batch.mask is None and batch.x.ndim > 2:  # all sites of a token
            x, y = sae.in_out(batch.x)
            return cls(x, None, y)
        return cls(batch.x, batch.mask, batch.vectors())

    def codes(self, sae: SAE) -> Codes:
        """The codes of the vectors in `y`."""
        if self.mask is None:
            return sae.encode(self.x)
        return sae.encode_contexts(self.x, self.mask).select_rows(self.mask)
