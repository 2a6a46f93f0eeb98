"""Transcoder: another target than its input, each with its own scale and bias; a skip connection that carries no code."""

from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError, TrainingError
from monoseme.saes import Knobs, load_sae, save_sae
from monoseme.saes._normalise import NormaliseConfig
from monoseme.saes.transcoder import Transcoder
from monoseme.testing import SAE_CHECKS, subject_of
from monoseme.testing.conformance import Check

D, F, B = 7, 11, 5
VARIANTS: list[dict[str, Any]] = [
    {"codes": codes, "skip": skip} | ({} if codes == "relu" else {"k": 2})
    for codes in ("topk", "batchtopk", "relu")
    for skip in (False, True)
]
IDS = [f"{v['codes']}{'-skip' * v['skip']}" for v in VARIANTS]


def _sites(n: int, *, seed: int = 0) -> Tensor:
    """[n, 2, D]: a target of another scale and place than the input, to which it is related."""
    random = torch.Generator().manual_seed(seed)
    x = 3.0 * torch.randn(n, D, generator=random) + 0.5
    mixing = torch.randn(D, D, generator=torch.Generator().manual_seed(99))
    y = 0.02 * (x.relu() @ mixing) - 0.3 + 0.01 * torch.randn(n, D, generator=random)
    return torch.stack([x, y], dim=1)


def _made(**settings: Any) -> Transcoder:
    """Started, in float64, with no parameter zero."""
    sae = Transcoder(Transcoder.Config(d_in=D, n_latents=F, n_sites=2, **settings)).double()
    sae.start(_sites(101, seed=1))
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in (sae.b_enc, sae.b_dec, sae.W_skip):
            if parameter is not None:
                parameter += 0.1 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
    return sae


def _selected(pre: Tensor, codes: str, k: int) -> Tensor:
    """Dense codes by sorting, without a kernel."""
    if codes == "relu":
        return pre.relu()
    flat = pre if codes == "topk" else pre.reshape(1, -1)
    n = k if codes == "topk" else k * len(pre)
    cut = flat.sort(dim=1, descending=True).values[:, n - 1 : n]
    return torch.where(flat >= cut, flat, 0.0).reshape(pre.shape).relu()


@pytest.mark.parametrize("check", SAE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_every_variant_keeps_the_contract(variant: dict[str, Any], check: Check) -> None:
    small = Transcoder.Config(d_in=D, n_latents=F, n_sites=2, **variant)
    check(subject_of(Transcoder, small=small, planted=small))


@pytest.mark.parametrize("variant", VARIANTS, ids=IDS)
def test_the_loss_is_the_formula(variant: dict[str, Any]) -> None:
    sae, batch, sample = _made(**variant), _sites(B).double(), _sites(101, seed=1).double()
    s, t = (site.square().sum(1).mean().rsqrt() for site in sample.unbind(1))
    assert torch.allclose(sae.input_factor[0], s, rtol=1e-9)
    assert torch.allclose(sae.output_factor[0], t, rtol=1e-9)
    x, y = batch.unbind(1)
    read = s * x - sae.centre
    f = _selected(read @ sae.W_enc + sae.b_enc, variant["codes"], 2)
    y_hat = f @ sae.W_dec + sae.b_dec
    if sae.W_skip is not None:
        y_hat = y_hat + read @ sae.W_skip
    target = t * sample[:, 1]
    variance = (target - target.mean(0)).square().sum(1).mean()
    wanted = (t * y - y_hat).square().sum(1).mean() / variance
    losses = sae.loss(batch, Knobs(sparsity=1.7))
    assert losses.parts["reconstruction"].item() == pytest.approx(wanted.item(), rel=1e-9)
    assert losses.logs["fvu/site_0"].item() == pytest.approx(wanted.item(), rel=1e-9)
    assert torch.allclose(losses.x_hat, y_hat / t, rtol=0, atol=1e-9)
    assert torch.equal(losses.x, y)
    if variant["codes"] == "relu":
        penalty = 1.7 * 0.1 * f.sum(1).mean() / variance.sqrt()
        assert losses.parts["sparsity"].item() == pytest.approx(penalty.item(), rel=1e-9)


@pytest.mark.parametrize("skip", [False, True])
def test_decoded_codes_are_the_raw_target(skip: bool) -> None:
    sae, batch = _made(codes="topk", k=3, skip=skip), _sites(B).double()
    assert torch.allclose(sae(batch[:, 0]), sae.loss(batch).x_hat, rtol=0, atol=1e-12)
    codes, exported = sae.encode(batch[:, 0]), sae.export()
    assert isinstance(exported, Transcoder)
    base = 0.0 if codes.base is None else codes.base
    assert (codes.base is not None) == skip
    assert torch.allclose(codes.dense() @ exported.W_dec + exported.b_dec + base, sae(batch[:, 0]), atol=1e-12)


def test_the_skip_stays_when_codes_are_edited_or_rows_chosen() -> None:
    sae, batch = _made(codes="topk", k=3, skip=True), _sites(6).double()
    x = batch[:, 0].reshape(2, 3, D)
    codes = sae.encode(x)
    none = sae.decode(codes.with_all(torch.zeros(2, 3, F, dtype=torch.float64)))
    assert codes.base is not None
    assert torch.allclose(none, codes.base + sae.b_dec / sae.output_factor, atol=1e-12)
    mask = torch.tensor([[True, False, True], [False, False, True]])
    assert torch.allclose(sae.decode(codes.select_rows(mask)), sae(x)[mask], atol=1e-12)


def test_the_export_goes_on_at_the_same_loss() -> None:
    for variant in VARIANTS:
        sae, batch = _made(**variant), _sites(B).double()
        sae.after_step(sae.loss(batch))
        one, two = sae.loss(batch), sae.export().loss(batch)
        for name, part in one.parts.items():
            assert part.item() == pytest.approx(two.parts[name].item(), rel=1e-9), (variant, name)


def test_batchtopk_is_used_with_the_running_threshold() -> None:
    sae, batch = _made(codes="batchtopk", k=2), _sites(B).double()
    losses = sae.loss(batch)
    sae.after_step(losses)
    assert losses.active is not None
    assert sae.threshold.item() == losses.active.values[losses.active.values > 0].min().item()
    pre = (sae.input_factor * batch[:, 0] - sae.centre) @ sae.W_enc + sae.b_enc
    wanted = torch.where(pre > sae.threshold, pre, 0.0) / sae.output_factor
    assert torch.allclose(sae.encode(batch[:, 0]).dense(), wanted, atol=1e-12)


def test_another_k_at_inference_is_kept() -> None:
    for codes in ("topk", "batchtopk"):
        sae = _made(codes=codes, k=2, threshold_decay=0.9 if codes == "batchtopk" else 0.95)
        sae.b_enc.data += 10.0  # all are positive
        sae.use_k(4)
        assert (sae.encode(_sites(B)[:, 0]).dense() != 0).sum(1).tolist() == [4] * B
    with pytest.raises(ConfigError, match="no k to override"):
        _made(codes="relu").use_k(3)


def test_a_mask_leaves_tokens_out() -> None:
    sae, batch = _made(codes="topk", k=2), _sites(B).double()
    mask = torch.tensor([True, False, True, True, False])
    spoilt = torch.where(mask[:, None, None], batch, torch.nan)
    assert sae.loss(spoilt, mask=mask).total.item() == pytest.approx(sae.loss(batch[mask]).total.item(), rel=1e-12)


def test_target_l0_is_k() -> None:
    assert Transcoder.Config(n_latents=F, target_l0=4.0).k == 4
    assert _made(codes="relu").sparsity == "penalty"
    assert _made(codes="topk", k=2).sparsity == "k"


def test_a_skip_learns_a_linear_map_alone() -> None:
    """What is linear needs no latent: the loss of the skip goes to zero with a single one."""
    mixing = torch.randn(D, D, generator=torch.Generator().manual_seed(5))
    x = torch.randn(512, D, generator=torch.Generator().manual_seed(6))
    batch = torch.stack([x, x @ mixing], dim=1)
    left = {}
    for skip in (False, True):
        sae = Transcoder(Transcoder.Config(d_in=D, n_latents=F, n_sites=2, k=1, skip=skip))
        sae.start(batch)
        optimiser = torch.optim.Adam(sae.parameters(), lr=0.02)
        for _ in range(300):
            losses = sae.loss(batch)
            optimiser.zero_grad()
            losses.total.backward()
            sae.project_gradients()
            optimiser.step()
            sae.after_step(losses)
        left[skip] = sae.loss(batch).parts["reconstruction"].item()
    assert left[True] < 0.01 < 0.3 < left[False]


def test_it_is_saved_with_both_scales(tmp_path: Any) -> None:
    sae = _made(codes="topk", k=2, skip=True)
    save_sae(sae, tmp_path / "sae")
    x = _sites(B)[:, 0].double()
    assert torch.equal(load_sae(tmp_path / "sae")(x), sae(x))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_sites": 3, "k": 2}, "two sites, an input and a target, not from 3"),
        ({"n_sites": None, "k": 2}, "the number of sites is not known"),
        ({"codes": "relu", "k": 3}, "k is 3, which nothing uses"),
        ({"codes": "topk", "sparsity_coefficient": 0.3}, "it belongs to relu"),
        ({"codes": "topk", "threshold_decay": 0.5}, "it belongs to batchtopk"),
        ({"normalise": NormaliseConfig(kind="standardise")}, "one per site, not per vector"),
        ({"k": 12}, "k is 12"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {"d_in": D, "n_latents": F, "n_sites": 2, "codes": "topk"}
    with pytest.raises(ConfigError, match=message):
        Transcoder(Transcoder.Config(**usual | settings))


def test_a_site_with_nothing_in_it_is_refused() -> None:
    for site in (0, 1):
        sample = _sites(50)
        sample[:, site] = torch.nan
        with pytest.raises(TrainingError, match="variance"):
            Transcoder(Transcoder.Config(d_in=D, n_latents=F, n_sites=2, k=2)).start(sample)


def test_it_learns_from_the_mlp_of_the_middle_block() -> None:
    assert Transcoder.default_sites(12) == ("mlp_in.5", "mlp_out.5")
    x, y = Transcoder.in_out(_sites(B))
    assert torch.equal(torch.stack([x, y], dim=1), _sites(B))
