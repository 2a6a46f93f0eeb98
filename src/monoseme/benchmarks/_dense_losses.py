"""The dense twin of each architecture that is timed: what its loss is. Frozen, as `_dense` says.

Letters: B rows, D model width, F latents, L sites.
"""

from collections.abc import Mapping
from itertools import accumulate, pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from monoseme.benchmarks._dense import AUXK_COEFFICIENT, DenseLoss, DenseSAE, Kept, kept_by_batch, kept_by_row
from monoseme.benchmarks._sizes import Sizes
from monoseme.tensors.shapes import Bool, Float, Tensor


class DenseTopK(DenseSAE):
    """The k largest of each row."""

    def loss(self, x: Tensor) -> DenseLoss:
        """Reconstruction and AuxK."""
        f, fired = self.kept(functional.relu(self.pre(x)))
        x_hat = f @ self.W_dec + self.b_dec
        return DenseLoss(self.reconstruction(x, x_hat) + self.auxk(x, x - x_hat, fired), fired)

    def kept(self, a: Float[Tensor, "B F"]) -> Kept:
        """What is left of positive activations."""
        return kept_by_row(a, self.k)


class DenseBatchTopK(DenseTopK):
    """The k B largest of the batch."""

    def kept(self, a: Float[Tensor, "B F"]) -> Kept:
        """What is left of positive activations."""
        return kept_by_batch(a, self.k * a.shape[0])


class DenseReLU(DenseSAE):
    """All positive activations, with an L1 penalty in units of the input's standard deviation."""

    sparsity_coefficient = 0.1

    def loss(self, x: Tensor) -> DenseLoss:
        """Reconstruction and penalty."""
        f = functional.relu(self.pre(x))
        l1 = f.sum(-1).mean() / self.variance**0.5
        loss = self.reconstruction(x, f @ self.W_dec + self.b_dec) + self.sparsity_coefficient * l1
        return DenseLoss(loss, _fired(f))


class DenseJumpReLU(DenseSAE):
    """z where it is above the latent's threshold; straight-through gradients in a rectangular window about the threshold."""

    sparsity_coefficient = 1e-3
    bandwidth = 2.0

    def __init__(self, sizes: Sizes, *, variance: float = 1.0, seed: int = 0) -> None:
        """As the base class; thresholds begin at 0.3 standard deviations of the input along a direction."""
        super().__init__(sizes, variance=variance, seed=seed)
        self.unit = (variance / sizes.d_model) ** 0.5
        self.log_threshold = nn.Parameter(torch.full((sizes.n_latents,), 0.3 * self.unit).log())

    def parameters(self) -> list[nn.Parameter]:
        """What is learned, thresholds included."""
        return [*super().parameters(), self.log_threshold]

    def loss(self, x: Tensor) -> DenseLoss:
        """Reconstruction and the number of latents that are on."""
        z, theta, width = self.pre(x), self.log_threshold.exp(), self.bandwidth * self.unit
        f: Tensor = _DenseJump.apply(z, theta, width)
        l0 = _DenseStep.apply(z, theta, width).sum(-1).mean()
        return DenseLoss(self.reconstruction(x, f @ self.W_dec + self.b_dec) + self.sparsity_coefficient * l0, _fired(f))


class DenseMatryoshka(DenseBatchTopK):
    """BatchTopK whose prefixes of groups each reconstruct: a dense product for each group, running sums between them."""

    fractions: tuple[float, ...] = (1 / 32, 1 / 16, 1 / 8, 1 / 4)
    weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)

    @property
    def sizes_of_groups(self) -> tuple[int, ...]:
        """Latents in each group; the last takes the rest."""
        n_latents = self.W_dec.shape[0]
        most = [int(fraction * n_latents) for fraction in self.fractions]
        return (*most, n_latents - sum(most))

    def loss(self, x: Tensor) -> DenseLoss:
        """Mean reconstruction of the prefixes, and AuxK."""
        return self.prefix_loss(x, self.kept(functional.relu(self.pre(x))))

    def prefix_loss(self, x: Float[Tensor, "B D"], kept: Kept) -> DenseLoss:
        """Of codes that are chosen already."""
        f, fired = kept
        x_hat: Tensor = self.b_dec.expand_as(x)
        parts: list[Tensor] = []
        for weight, (start, stop) in zip(self.weights, pairwise(accumulate(self.sizes_of_groups, initial=0)), strict=True):
            x_hat = x_hat + f[:, start:stop] @ self.W_dec[start:stop]
            parts.append(weight * self.reconstruction(x, x_hat))
        return DenseLoss(torch.stack(parts).mean() + self.auxk(x, x - x_hat, fired), fired)


class DenseTSAE(DenseMatryoshka):
    """Matryoshka on the first of two tokens, InfoNCE between the high codes of both. Batches [B, 2, D]."""

    fractions = (0.2,)
    weights = (0.2, 0.8)
    temp_alpha = 0.1

    def loss(self, x: Tensor) -> DenseLoss:
        """Matryoshka of the current tokens, and the temporal term."""
        current, earlier = (self.kept(functional.relu(self.pre(half))) for half in (x[:, 0], x[:, 1]))
        total, fired = self.prefix_loss(x[:, 0], current)
        high = self.sizes_of_groups[0]
        logits = current.f[:, :high] @ earlier.f[:, :high].t()
        same = torch.arange(logits.shape[0])
        temporal = (functional.cross_entropy(logits, same) + functional.cross_entropy(logits.t(), same)) / 2
        return DenseLoss(total + self.temp_alpha * temporal, fired)


class DenseMLSAE(DenseTopK):
    """One TopK without encoder bias for the standardised vectors of all sites. Batches [B, L, D]."""

    has_encoder_bias = False
    eps = 1e-5
    dead_threshold = 1e-3

    def __init__(self, sizes: Sizes, *, variance: float = 1.0, seed: int = 0) -> None:
        """As the base class, with MLSAE's own number of auxiliary latents."""
        super().__init__(sizes, variance=variance, seed=seed)
        self.k_aux = 256

    def loss(self, x: Tensor) -> DenseLoss:
        """Mean FVU over sites, and AuxK in the standardised space."""
        std, mean = torch.std_mean(x, dim=-1, keepdim=True)
        rows = ((x - mean) / (std + self.eps)).flatten(0, 1)
        f, fired = kept_by_row(functional.relu(self.pre(rows)), self.k, above=self.dead_threshold)
        rows_hat = f @ self.W_dec + self.b_dec
        x_hat = rows_hat.view_as(x) * (std + self.eps) + mean
        fvu = (x_hat - x).pow(2).mean((0, 2)) / x.transpose(0, 1).flatten(1).var(1)
        return DenseLoss(fvu.mean() + self.auxk(rows, rows - rows_hat, fired), fired)

    def auxk(self, x: Float[Tensor, "B D"], residual: Float[Tensor, "B D"], fired: Bool[Tensor, " F"]) -> Float[Tensor, ""]:
        """About each row's own mean."""
        dead, e = self.still_dead(fired), residual.detach()
        if dead.numel() == 0:
            return e.new_zeros(())
        size = (e - e.mean(1, keepdim=True)).pow(2).mean()
        return AUXK_COEFFICIENT * (e - self.revived(x, dead)).pow(2).mean() / size


def _fired(f: Float[Tensor, "B F"]) -> Bool[Tensor, " F"]:
    return (f > 0).any(0)


class _DenseJump(torch.autograd.Function):
    """z 1[z > theta], its edge smoothed for z and theta alike."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(z, theta)
        ctx.width = width
        return z * (z > theta)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        z, theta = ctx.saved_tensors
        edge = theta * _window(z - theta, ctx.width) * grads[0]
        return (z > theta) * grads[0] + edge, -edge.sum(0), None


class _DenseStep(torch.autograd.Function):
    """1[z > theta], smoothed likewise."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, width: float) -> Tensor:
        ctx.save_for_backward(z, theta)
        ctx.width = width
        return (z > theta).to(z.dtype)

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        z, theta = ctx.saved_tensors
        edge = _window(z - theta, ctx.width) * grads[0]
        return edge, -edge.sum(0), None


def _window(distance: Tensor, width: float) -> Tensor:
    return ((distance / width).abs() < 0.5).to(distance.dtype) / width


DENSE: Mapping[str, type[DenseSAE]] = MappingProxyType(
    {
        "topk": DenseTopK,
        "batchtopk": DenseBatchTopK,
        "relu": DenseReLU,
        "jumprelu": DenseJumpReLU,
        "matryoshka": DenseMatryoshka,
        "tsae": DenseTSAE,
        "mlsae": DenseMLSAE,
    }
)
"""By the name of the architecture."""
WITH_AUXK = ("topk", "batchtopk", "matryoshka", "tsae", "mlsae")
"""Those with the auxiliary loss."""
