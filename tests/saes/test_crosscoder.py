"""Crosscoder: one code for sites of unlike scale, chosen by what it writes in all of them, and where a latent lives."""

from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.kernels import Encoder
from monoseme.saes import Knobs
from monoseme.saes._dead import auxk
from monoseme.saes.crosscoder import Crosscoder
from monoseme.testing import SAE_CHECKS, fit, planted_dictionary, subject_of
from monoseme.testing.conformance import Check

D, F, B, L = 7, 11, 5, 3
KINDS = ("topk", "batchtopk", "relu")


def _sites(n: int, *, seed: int = 0) -> Tensor:
    """[n, L, D], each site on a scale of its own."""
    x = torch.randn(n, L, D, generator=torch.Generator().manual_seed(seed)) + 0.5
    return x * torch.tensor([3.0, 0.2, 40.0]).reshape(L, 1)


def _config(codes: Any, **settings: Any) -> Crosscoder.Config:
    k: dict[str, Any] = {} if codes == "relu" else {"k": 2}
    return Crosscoder.Config(d_in=D, n_latents=F, n_sites=L, codes=codes, **k, **settings)


def _made(codes: str, **settings: Any) -> Crosscoder:
    """Started, in float64, with decoder norms and biases that differ from latent to latent."""
    sae = Crosscoder(_config(codes, **settings)).double()
    sae.start(_sites(101, seed=1))
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in (sae.b_enc, sae.b_dec):
            parameter += 0.1 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        sae.W_dec.mul_(torch.linspace(0.3, 2.0, F).unsqueeze(1))
    return sae


def _parts(sae: Crosscoder, batch: Tensor, codes: str, k: int) -> dict[str, Tensor]:
    """Pre-activations, dense codes and reconstruction, site by site and without a kernel."""
    W_enc, W_dec = sae.W_enc.reshape(L, D, F), sae.W_dec.reshape(F, L, D)
    centre, b_dec = sae.centre.reshape(L, D), sae.b_dec.reshape(L, D)
    x = batch * sae.input_factor.reshape(L, 1)
    pre = torch.einsum("bld,ldf->bf", x - centre, W_enc) + sae.b_enc
    norms = W_dec.norm(dim=2).sum(1)
    weighed = pre * norms
    if codes == "topk":
        keep = weighed >= weighed.sort(dim=1, descending=True).values[:, k - 1 : k]
    elif codes == "batchtopk":
        keep = weighed >= weighed.flatten().sort(descending=True).values[k * len(x) - 1]
    else:
        keep = pre > 0
    f = torch.where(keep, pre, 0.0).relu()
    return {"x": x, "f": f, "norms": norms, "x_hat": torch.einsum("bf,fld->bld", f, W_dec) + b_dec}


@pytest.mark.parametrize("check", SAE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("codes", ["topk", "relu"])
def test_every_choice_of_codes_keeps_the_contract(codes: Any, check: Check) -> None:
    k: dict[str, Any] = {} if codes == "relu" else {"k": 2}
    small = Crosscoder.Config(d_in=D, n_latents=F, n_sites=2, codes=codes, **k)
    check(subject_of(Crosscoder, small=small, planted=small))


@pytest.mark.parametrize("codes", KINDS)
def test_the_loss_is_the_formula(codes: str) -> None:
    sae, batch = _made(codes), _sites(B).double()
    sample = _sites(101, seed=1).double()
    factors = sample.square().sum(2).mean(0).rsqrt()
    assert torch.allclose(sae.input_factor, factors, rtol=1e-12)
    made = _parts(sae, batch, codes, 2)
    scaled = sample * factors.reshape(L, 1)
    per_site = (scaled - scaled.mean(0)).square().sum(2).mean(0)
    errors = (made["x"] - made["x_hat"]).square().sum(2).mean(0)
    losses = sae.loss(batch, Knobs(sparsity=1.7))
    assert losses.parts["reconstruction"].item() == pytest.approx((errors.sum() / per_site.sum()).item(), rel=1e-9)
    for site in range(L):
        assert losses.logs[f"fvu/site_{site}"].item() == pytest.approx((errors[site] / per_site[site]).item(), rel=1e-9)
    raw = made["x_hat"] / factors.reshape(L, 1)
    assert torch.allclose(losses.x_hat, raw.flatten(1), rtol=1e-9)
    if codes == "relu":
        penalty = 1.7 * 0.1 * (made["f"] * made["norms"]).sum(1).mean() / per_site.sum().sqrt()
        assert losses.parts["sparsity"].item() == pytest.approx(penalty.item(), rel=1e-9)


@pytest.mark.parametrize("codes", KINDS)
def test_decode_gives_each_site_back_on_its_own_scale(codes: str) -> None:
    sae, batch = _made(codes), _sites(B).double()
    codes_used = sae.encode(batch)
    exported = sae.export()
    assert isinstance(exported, Crosscoder)
    rows = codes_used.dense() @ exported.W_dec + exported.b_dec
    assert torch.allclose(rows.reshape(B, L, D), sae.decode(codes_used), rtol=1e-9, atol=1e-12)
    if codes != "batchtopk":  # used with a threshold
        assert torch.allclose(sae(batch).flatten(1), sae.loss(batch).x_hat, rtol=1e-9, atol=1e-12)


def test_a_latent_is_chosen_by_what_it_writes_not_by_its_activation() -> None:
    """Of two latents, one fires twice as strongly but writes a quarter: the other is kept."""
    sae = Crosscoder(Crosscoder.Config(d_in=1, n_latents=2, n_sites=2, codes="topk", k=1))
    with torch.no_grad():
        sae.W_enc.copy_(torch.tensor([[2.0, 1.0], [0.0, 0.0]]))
        sae.W_dec.copy_(torch.tensor([[0.25, 0.25], [1.0, 1.0]]))
    x = torch.tensor([[[3.0], [0.0]]])
    assert sae.encode(x).dense().tolist() == [[0.0, 3.0]]


def test_the_choice_the_threshold_and_the_loss_survive_export() -> None:
    for codes in KINDS:
        sae, batch = _made(codes), _sites(B).double()
        sae.after_step(sae.loss(batch))
        sae.threshold *= 0.9  # off the very entry that it was measured at
        exported = sae.export()
        assert torch.equal(sae.encode(batch).dense() != 0, exported.encode(batch).dense() != 0)
        one, two = sae.loss(batch), exported.loss(batch)
        for name in one.parts:
            assert one.parts[name].item() == pytest.approx(two.parts[name].item(), rel=1e-9), (codes, name)
        assert {n: v.item() for n, v in one.logs.items()} == pytest.approx({n: v.item() for n, v in two.logs.items()}, rel=1e-9)


def test_the_threshold_is_on_what_latents_write() -> None:
    sae, batch = _made("batchtopk"), _sites(B).double()
    made = _parts(sae, batch, "batchtopk", 2)
    sae.after_step(sae.loss(batch))
    weighed = made["f"] * made["norms"]
    assert sae.threshold.item() == pytest.approx(weighed[weighed > 0].min().item(), rel=1e-9)
    sae.threshold *= 0.9  # off the very entry that it was measured at
    pre = _parts(sae, batch, "relu", 2)["f"]
    wanted = torch.where(pre * made["norms"] > sae.threshold, pre, 0.0) / sae.code_unit
    assert torch.allclose(sae.encode(batch).dense(), wanted, atol=1e-12)


def test_auxk_is_that_of_other_architectures() -> None:
    sae, batch = _made("topk", auxk_one_in=1), _sites(B).double()
    made = _parts(sae, batch, "topk", 2)
    dead = (made["f"] == 0).all(0)
    sae.tokens_since_fired[dead] = sae.config.dead_after_tokens
    encoder = Encoder(sae.W_enc, sae.b_enc, sae.centre)
    residual = (made["x"] - made["x_hat"]).flatten(1)
    wanted = auxk(made["x"].flatten(1), residual, encoder, sae.W_dec, dead=dead.nonzero()[:, 0], k_aux=4, kernels=sae.kernels)
    assert wanted.item() > 0
    assert sae.loss(batch).parts["auxk"].item() == pytest.approx(wanted.item() / 32, rel=1e-9)


def test_relative_norms_say_where_a_latent_lives() -> None:
    sae = Crosscoder(Crosscoder.Config(d_in=2, n_latents=3, n_sites=2, k=1))
    with torch.no_grad():
        sae.W_dec.copy_(torch.tensor([[3.0, 4.0, 0.0, 0.0], [0.0, 1.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    assert sae.site_norms().tolist() == [[5.0, 0.0], [1.0, 3.0], [0.0, 0.0]]
    assert sae.relative_norms().tolist() == [[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]]
    assert torch.allclose(_made("topk").relative_norms(), _made("topk").export().relative_norms())  # pyright: ignore


def test_shared_and_private_directions_of_two_models_are_told_apart() -> None:
    """Half of the planted directions are on in both models, a quarter in each alone: relative norms show three groups."""
    truth = planted_dictionary(n_directions=24, width=16, n_active=2.0)
    n = 24
    home = torch.tensor([[1.0, 1.0]] * 12 + [[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 6)

    def draw(step: int) -> Tensor:
        random = generator(0, "two models", step)
        sizes = torch.empty(256, n).exponential_(generator=random) * (torch.rand(256, n, generator=random) < 2 / n)
        return torch.einsum("bg,gl,gd->bld", sizes, home, truth.directions)

    sae = Crosscoder(Crosscoder.Config(d_in=16, n_latents=40, n_sites=2, k=2, dead_after_tokens=5_000))
    fit(sae, draw, n_steps=400, lr=1e-2)
    shares = sae.relative_norms()[:, 0]
    rows = torch.nn.functional.normalize(sae.W_dec.detach().reshape(40, 2, 16).sum(1), dim=1)
    best = (truth.directions @ rows.T).max(1)
    assert (best.values > 0.9).double().mean() > 0.9
    found = shares[best.indices]
    assert (found[:12] - 0.5).abs().median() < 0.05
    assert found[12:18].median() > 0.95
    assert found[18:].median() < 0.05


@pytest.mark.parametrize(("n_sites", "message"), [(1, "two sites or more"), (None, "number of sites is not known")])
def test_numbers_of_sites_it_cannot_have_are_refused(n_sites: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Crosscoder(Crosscoder.Config(d_in=D, n_latents=F, n_sites=n_sites, k=2))


def test_it_learns_from_all_layers_unless_told() -> None:
    assert Crosscoder.default_sites(3) == ("resid_post.0", "resid_post.1", "resid_post.2")
