"""How an SAE does on documents it never learns from: always the same ones, kept in memory once captured.

FVU, L0 and silence are those of `decode(encode(x))`, what a user of the SAE gets; the losses are those of the training forward.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from monoseme.saes import SAE, Codes, Knobs
from monoseme.training.feed import Rows, joined_vectors


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

    def measure(self, sae: SAE, *, step: int) -> dict[str, float]:
        """`loss`, `loss/<part>`, `fvu`, `l0` and `silent_fraction` (latents that fired on none of the rows), by name.

        FVU is sum|x - x_hat|^2 / sum|x - mean(x)|^2 over all rows; sums in float64 (float32 on MPS).
        """
        with torch.no_grad():
            return self._losses(sae, step) | self._fidelity(sae)

    def _losses(self, sae: SAE, step: int) -> dict[str, float]:
        sums: dict[str, float] = {}
        n_rows = 0
        for batch in self._learns:
            losses = sae.loss(batch.x, Knobs(step=step), mask=batch.mask)
            values = {"loss": losses.total} | {f"loss/{name}": value for name, value in losses.parts.items()}
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value) * losses.n_rows
            n_rows += losses.n_rows
        return {name: total / n_rows for name, total in sums.items()}

    def _fidelity(self, sae: SAE) -> dict[str, float]:
        wide = torch.float32 if self._reads[0].x.device.type == "mps" else torch.float64
        mean = joined_vectors(self._reads).mean(dim=0, dtype=wide)
        error = spread = active = 0.0
        fired = torch.zeros(sae.n_latents, dtype=torch.bool)
        for batch in self._reads:
            codes = sae.encode(batch.x)
            x, x_hat = batch.vectors(), Rows(sae.decode(codes), batch.mask).vectors()
            error += float((x - x_hat).square().sum(dtype=wide))
            spread += float((x - mean).square().sum(dtype=wide))
            active += _count_active(codes, batch.mask, fired)
        silent = 1.0 - float(fired.double().mean())
        return {"fvu": error / spread, "l0": active / self.n_rows, "silent_fraction": silent}


def _count_active(codes: Codes, mask: Tensor | None, fired: Tensor) -> int:
    """How many codes of vectors that count are not zero; marks their latents in `fired [F]`."""
    active = codes.sparse() if mask is None else codes.sparse().select_rows(mask)
    fired[active.indices.cpu().long()] = True
    return active.nnz
