"""How an SAE does on documents it never learns from: always the same ones, kept in memory once captured.

FVU, L0 and silence are those of `decode(encode(x))`, what a user of the SAE gets; the losses are those of the training forward.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from monoseme.saes import SAE, Codes, Knobs
from monoseme.tensors.sparse import SparseCodes


class HeldOut:
    """Fixed batches of held-out activations for one SAE: as it learns from them, and as it reads them."""

    def __init__(self, learns: Sequence[Tensor], reads: Sequence[Tensor]) -> None:
        """Batches in the view the SAE `learns_from` and in the one it `reads`; the same ones where the two are one."""
        self._learns = learns
        self._reads = reads

    @property
    def n_rows(self) -> int:
        """Rows measured."""
        return sum(batch.shape[0] for batch in self._reads)

    def measure(self, sae: SAE, *, step: int) -> dict[str, float]:
        """`loss`, `loss/<part>`, `fvu`, `l0` and `silent_fraction` (latents that fired on none of the rows), by name.

        FVU is sum|x - x_hat|^2 / sum|x - mean(x)|^2 over all rows; sums in float64 (float32 on MPS).
        """
        with torch.no_grad():
            return self._losses(sae, step) | self._fidelity(sae)

    def _losses(self, sae: SAE, step: int) -> dict[str, float]:
        sums: dict[str, float] = {}
        for batch in self._learns:
            losses = sae.loss(batch, Knobs(step=step))
            values = {"loss": losses.total} | {f"loss/{name}": value for name, value in losses.parts.items()}
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + float(value) * batch.shape[0]
        n_rows = sum(batch.shape[0] for batch in self._learns)
        return {name: total / n_rows for name, total in sums.items()}

    def _fidelity(self, sae: SAE) -> dict[str, float]:
        wide = torch.float32 if self._reads[0].device.type == "mps" else torch.float64
        mean = sum((x.sum(dim=0, dtype=wide) for x in self._reads), torch.zeros((), dtype=wide)) / self.n_rows
        error = spread = active = 0.0
        fired = torch.zeros(sae.n_latents, dtype=torch.bool)
        for x in self._reads:
            codes = sae.encode(x)
            error += float((x - sae.decode(codes)).square().sum(dtype=wide))
            spread += float((x - mean).square().sum(dtype=wide))
            active += _count_active(codes, fired)
        n_vectors = sum(x.shape[:-1].numel() for x in self._reads)
        return {
            "fvu": error / spread,
            "l0": active / n_vectors,
            "silent_fraction": 1.0 - float(fired.float().mean()),
        }


def _count_active(codes: Codes, fired: Tensor) -> int:
    """How many codes are not zero; marks their latents in `fired [F]`."""
    everything = codes.all
    if isinstance(everything, SparseCodes):
        latents = everything.drop_zeros().indices
        fired[latents.cpu().long()] = True
        return latents.shape[0]
    active = (everything != 0).reshape(-1, everything.shape[-1])
    fired |= active.any(dim=0).cpu()
    return int(active.sum())
