"""Plain dense PyTorch SAEs, frozen: what every ratio is a ratio to, so nothing here follows what the package learns.

Written as one writes them down from the papers: a dense encoder, `torch.topk` and scatter, a dense decoder, autograd,
`torch.optim.Adam` as it comes, the gradient of the decoder projected, its rows renormalised, and a count of the tokens since each
latent fired. Losses are those of `monoseme.saes` (a test compares losses and gradients), with sums in float32.

    reconstruction = mean_b ||x - x_hat||^2 / V        auxk = mean_b ||e - e_hat||^2 / mean_b ||e - mean_b e||^2,  e = x - x_hat

Letters: B rows, D model width, F latents, m dead latents.
"""

import functools
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from monoseme.benchmarks._sizes import Sizes
from monoseme.core.seeds import generator
from monoseme.tensors.shapes import Bool, Float, Tensor

AUXK_COEFFICIENT = 1 / 32


class DenseLoss(NamedTuple):
    """What a forward gives."""

    total: Float[Tensor, ""]
    fired: Bool[Tensor, " F"]


class DenseSAE(ABC):
    """Parameters, optimiser and step; an architecture says what the loss is."""

    has_encoder_bias = True

    def __init__(self, sizes: Sizes, *, variance: float = 1.0, seed: int = 0) -> None:
        """Decoder rows drawn from the sphere, the encoder its transpose; `variance` is V, which only scales the loss."""
        rows = torch.randn(sizes.n_latents, sizes.d_model, generator=generator(seed, "dense"))
        self.k, self.k_aux, self.variance = sizes.k, max(1, sizes.d_model // 2), variance
        self.W_dec = nn.Parameter(functional.normalize(rows, dim=1))
        self.W_enc = nn.Parameter(self.W_dec.detach().clone())  # [F, D]
        self.b_enc = nn.Parameter(torch.zeros(sizes.n_latents), requires_grad=self.has_encoder_bias)
        self.b_dec = nn.Parameter(torch.zeros(sizes.d_model))
        self.tokens_since_fired = torch.zeros(sizes.n_latents, dtype=torch.int64)
        self.dead_after_tokens = 10_000_000

    @abstractmethod
    def loss(self, x: Tensor) -> DenseLoss:
        """Of a batch in the view of the architecture."""

    def parameters(self) -> list[nn.Parameter]:
        """What is learned."""
        return [p for p in (self.W_enc, self.b_enc, self.W_dec, self.b_dec) if p.requires_grad]

    @functools.cached_property
    def adam(self) -> torch.optim.Adam:
        """The optimiser, made at the first step."""
        return torch.optim.Adam(self.parameters(), lr=2e-4)

    def step(self, x: Tensor) -> float:
        """One update; the loss before it."""
        loss, fired = self.loss(x)
        loss.backward()
        with torch.no_grad():
            self.tokens_since_fired.add_(x.shape[0])
            self.tokens_since_fired[fired] = 0
            gradient = self.W_dec.grad
            if gradient is not None:
                gradient.sub_((gradient * self.W_dec).sum(1, keepdim=True) * self.W_dec)
        self.adam.step()
        self.adam.zero_grad()
        with torch.no_grad():
            self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True))
        return loss.item()

    def pre(self, x: Float[Tensor, "B D"]) -> Float[Tensor, "B F"]:
        """Pre-activations."""
        return functional.linear(x - self.b_dec, self.W_enc, self.b_enc)

    def reconstruction(self, x: Float[Tensor, "B D"], x_hat: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        """As in the module's docstring."""
        return (x_hat - x).pow(2).sum(-1).mean() / self.variance

    def still_dead(self, fired: Bool[Tensor, " F"]) -> Tensor:
        """Latents that were dead and do not fire now, ascending."""
        return ((self.tokens_since_fired >= self.dead_after_tokens) & ~fired).nonzero().squeeze(1)

    def revived(self, x: Float[Tensor, "B D"], dead: Tensor) -> Float[Tensor, "B D"]:
        """What the k_aux strongest dead latents of each row decode to, dense over the m dead ones alone."""
        pre = functional.linear((x - self.b_dec).detach(), self.W_enc[dead], self.b_enc[dead])
        return kept_by_row(functional.relu(pre), min(self.k_aux, dead.numel())).f @ self.W_dec[dead]

    def auxk(self, x: Float[Tensor, "B D"], residual: Float[Tensor, "B D"], fired: Bool[Tensor, " F"]) -> Float[Tensor, ""]:
        """The auxiliary loss with its coefficient; 0 when nothing is dead."""
        dead, e = self.still_dead(fired), residual.detach()
        if dead.numel() == 0:
            return e.new_zeros(())
        variance = (e - e.mean(0)).pow(2).sum(1).mean()
        return AUXK_COEFFICIENT * (e - self.revived(x, dead)).pow(2).sum(1).mean() / variance


class Kept(NamedTuple):
    """A dense code and which latents are on in it."""

    f: Float[Tensor, "B F"]
    fired: Bool[Tensor, " F"]


def kept_by_row(a: Float[Tensor, "B F"], k: int, *, above: float = 0.0) -> Kept:
    """`a` with all but the k largest of each row set to zero; a latent fires with a value larger than `above`."""
    values, latents = a.topk(k, dim=-1, sorted=False)
    fired = torch.zeros(a.shape[1], dtype=torch.bool)
    fired[latents[values > above]] = True
    return Kept(torch.zeros_like(a).scatter_(-1, latents, values), fired)


def kept_by_batch(a: Float[Tensor, "B F"], n: int) -> Kept:
    """`a` with all but the n largest of the batch set to zero."""
    flat = a.flatten()
    values, places = flat.topk(n, sorted=False)
    f = torch.zeros_like(flat).scatter_(0, places, values).view_as(a)
    return Kept(f, (f > 0).any(0))
