"""normalized_topk against an independent float64 twin of its formulas; its start, its steering, and what it finds."""

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes._dictionary import orthogonal_rows
from monoseme.saes.normalized_topk import NormalizedTopK
from monoseme.testing import planted_dictionary, recovery

B, D, F, K = 5, 7, 11, 2


def _x(n: int = B, *, seed: int = 0) -> torch.Tensor:
    return 3.0 * torch.randn(n, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.7


def _started(*, k: int = K, k_aux: int = 2048, eps: float = 0.01) -> NormalizedTopK:
    normalise = NormaliseConfig(kind="standardise", eps=eps)
    config = NormalizedTopK.Config(
        d_in=D, n_latents=F, k=k, k_aux=k_aux, auxk_one_in=1, normalise=normalise, dead_after_tokens=100
    )
    sae = NormalizedTopK(config).double()
    sae.start(_x(101, seed=1))
    with torch.no_grad():
        sae.b_enc += torch.linspace(-0.1, 0.2, F, dtype=torch.float64)
    return sae


class Twin:
    """The formulas of the reference, one vector at a time, with the auxiliary loss of dead latents only and without b_pre."""

    def __init__(self, sae: NormalizedTopK) -> None:
        self.w_enc, self.b_enc = sae.W_enc.detach(), sae.b_enc.detach()
        self.w_dec, self.b_pre = sae.W_dec.detach(), sae.b_dec.detach()
        self.k, self.eps = sae.config.k, sae.config.normalise.eps

    def vector(self, x: torch.Tensor, h_bias: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x~, code and x~_hat of one vector."""
        mean = x.sum() / len(x)
        std = (((x - mean) ** 2).sum() / (len(x) - 1)).sqrt()
        x_n = (x - mean) / (std + self.eps)
        h = (x_n - self.b_pre) @ self.w_enc + self.b_enc + (0 if h_bias is None else h_bias)
        code = torch.zeros_like(h)
        for j in sorted(range(len(h)), key=lambda j: -float(h[j]))[: self.k]:
            code[j] = max(float(h[j]), 0.0)
        return x_n, code, code @ self.w_dec + self.b_pre

    def reconstruction(self, x: torch.Tensor, h_bias: torch.Tensor | None = None) -> torch.Tensor:
        return torch.stack([self.vector(v, h_bias)[2] * (v.std() + self.eps) + v.mean() for v in x])

    def losses(self, x: torch.Tensor, dead: list[int], k_aux: int) -> tuple[float, float]:
        """Mean squared error and auxiliary loss (without its coefficient), over all entries."""
        error, unexplained = 0.0, 0.0
        for vector in x:
            x_n, _, x_hat = self.vector(vector)
            pre = {j: float((x_n - self.b_pre) @ self.w_enc[:, j] + self.b_enc[j]) for j in dead}
            strongest = sorted(dead, key=lambda j: -pre[j])[:k_aux]
            e_hat = sum((max(pre[j], 0.0) * self.w_dec[j] for j in strongest), torch.zeros_like(x_n))
            error += float(((x_n - x_hat) ** 2).sum())
            unexplained += float(((x_n - x_hat - e_hat) ** 2).sum())
        return error / x.numel(), unexplained / x.numel()


def test_forward_is_that_of_the_twin() -> None:
    sae, x = _started(), _x()
    twin = Twin(sae)
    assert torch.allclose(sae.encode(x).dense(), torch.stack([twin.vector(v)[1] for v in x]), rtol=0, atol=1e-9)
    assert torch.allclose(sae(x), twin.reconstruction(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("k_aux", [1, 2048])
def test_losses_are_those_of_the_twin(k_aux: int) -> None:
    sae, x = _started(k_aux=k_aux), _x()
    fired = sae.encode(x).dense().ne(0).any(0)
    dead = [j for j in range(F) if not fired[j]]
    assert len(dead) > 1
    sae.tokens_since_fired[dead] = 100
    losses = sae.loss(x)
    error, unexplained = Twin(sae).losses(x, dead, k_aux)
    assert losses.parts["reconstruction"].item() == pytest.approx(error, abs=1e-9)
    assert losses.parts["auxk"].item() == pytest.approx(unexplained / 32, abs=1e-9)
    assert torch.allclose(losses.x_hat, sae(x), rtol=0, atol=1e-9)


def test_a_latent_bias_enters_before_the_choice() -> None:
    sae, x = _started(), _x()
    bias = torch.zeros(F, dtype=torch.float64)
    bias[3] = 20.0
    codes = sae.encode_biased(x, bias, sae.encode(x))
    assert torch.allclose(sae.decode(codes), Twin(sae).reconstruction(x, bias), rtol=0, atol=1e-9)
    assert codes.dense()[:, 3].gt(10).all()
    assert codes.sparse().l0().max() <= K  # what the bias brings in takes another's place
    unsteered = sae.encode_biased(x, torch.zeros(F, dtype=torch.float64), sae.encode(x))
    assert torch.equal(unsteered.dense(), sae.encode(x).dense())


def test_a_shift_or_scale_of_a_vector_is_given_back_and_changes_no_code() -> None:
    sae, x = _started(eps=0.0), _x()
    shifted = 5 * x + 3
    assert torch.allclose(sae.encode(shifted).dense(), sae.encode(x).dense(), rtol=0, atol=1e-9)
    assert torch.allclose(sae(shifted), 5 * sae(x) + 3, rtol=0, atol=1e-9)


def test_latents_start_orthogonal_in_blocks_as_wide_as_the_input() -> None:
    rows = orthogonal_rows(17, 7, seed=0).double()
    for block in rows.split(7):
        assert torch.allclose(block @ block.t(), torch.eye(len(block), dtype=torch.float64), atol=1e-6)
    assert not torch.equal(rows[:7], rows[7:14])
    assert torch.equal(orthogonal_rows(3, 7, seed=0), orthogonal_rows(17, 7, seed=0)[:3])
    sae = NormalizedTopK(NormalizedTopK.Config(d_in=7, n_latents=17, k=2))
    assert torch.equal(sae.W_dec, orthogonal_rows(17, 7, seed=0))
    assert torch.equal(sae.W_enc, sae.W_dec.t())


def test_latents_are_unit_and_components_are_not() -> None:
    sae = _started()
    with torch.no_grad():
        sae.W_dec *= 3
    sae.after_step()
    assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(F, dtype=torch.float64))
    assert not torch.allclose(sae.W_dec.norm(dim=0), torch.ones(D, dtype=torch.float64))


def test_k_of_a_step_can_be_annealed() -> None:
    active = _started().loss(_x(), Knobs(k=4)).active
    assert active is not None
    assert active.nnz == 4 * B


def test_another_normalisation_is_refused_and_topk_named() -> None:
    with pytest.raises(ConfigError, match=r'kind is "none": normalized_topk standardises[\s\S]*topk'):
        NormalizedTopK.Config(normalise=NormaliseConfig(kind="none"))


def test_four_of_the_planted_directions_cannot_come_back() -> None:
    """Standardised vectors have no part along (1, ..., 1); without theirs, 60 of 64 keep a cosine above 0.9 with themselves.

    It is the battery's `min_recovery` here: all that can be found are.
    """
    directions = planted_dictionary().directions
    assert recovery(directions, directions - directions.mean(1, keepdim=True)) == 60 / 64
