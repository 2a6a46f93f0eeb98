"""TFA, SpaDE and matching pursuit against numbers of the original code (golden vectors of TemporalFeatureAnalysis).

Tolerance: absolute 1e-5 plus relative 1e-4, as the vectors' README suggests. Deviations, all quirks of its list:
- keys have no bias here; the vectors' keys have one, and it changes none of the numbers;
- their `nmse` contains the penalty, ours does not: the test adds it;
- their batchtopk threshold follows the smallest of all positive activations, ours the smallest selected one;
- the regulariser of SpaDE as they write it is `logs["spread"]`: our loss has it over the variance of the input, here 1.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes.matching_pursuit import MatchingPursuit
from monoseme.saes.spade import SpaDE
from monoseme.saes.tfa import TFA

Vectors = dict[str, torch.Tensor]
_OURS = {"q_target": "queries", "k_ctx": "keys", "v_ctx": "values", "c_proj": "out"}
_SCALE = 1 / (4 * 12)
_LOSSES = [("relu", True, 1, 1), ("relu", False, 1, 2), ("topk", True, 1, 1)]


@pytest.fixture(scope="module")
def tfa(shared: Path) -> Vectors:
    return load_file(shared / "vectors" / "tfa.safetensors")


def _close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def tfa_weights(v: Vectors, *, tied: bool, n_layers: int, bottleneck: int) -> Vectors:
    """The vectors' parameters under our names."""
    weights = {"W_dec": v["tfa.D"], "b_dec": v["tfa.b"][0]}
    if not tied:
        weights["W_enc"] = v["tfa.E"]
    for layer, (theirs, ours), kind in itertools.product(range(n_layers), _OURS.items(), ("weight", "bias")):
        if (ours, kind) != ("keys", "bias"):
            weights[f"attention.{layer}.{ours}.{kind}"] = v[f"tfa.bf{bottleneck}.attn_layers.{layer}.{theirs}.{kind}"]
    return weights


def _sae(v: Vectors, novel: str, *, tied: bool = True, n_layers: int = 1, bottleneck: int = 1, **settings: Any) -> TFA:
    k = {"k": int(v["tfa.kval_topk"])} if novel in ("topk", "batchtopk") else {}
    config = TFA.Config(
        d_in=12, n_latents=24, n_heads=3, n_attention_layers=n_layers, bottleneck=bottleneck, tied=tied, novel=novel,  # pyright: ignore[reportArgumentType]
        encoder_scale=_SCALE, normalise=NormaliseConfig(kind="none"), **k, **settings,
    )  # fmt: skip
    sae = TFA(config)
    sae.load_state_dict({**sae.state_dict(), **tfa_weights(v, tied=tied, n_layers=n_layers, bottleneck=bottleneck)})
    sae.started.fill_(True)
    return sae


@pytest.mark.parametrize("bottleneck", [1, 2])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("novel", ["relu", "topk", "nullify"])
def test_codes_and_reconstructions(tfa: Vectors, novel: str, tied: bool, n_layers: int, bottleneck: int) -> None:
    sae = _sae(tfa, novel, tied=tied, n_layers=n_layers, bottleneck=bottleneck)
    group = f"tfa.{novel}.{'tied' if tied else 'untied'}.layers{n_layers}.bf{bottleneck}"
    codes, parts = sae.encode(tfa["tfa.x"]), sae.reconstruct_parts(tfa["tfa.x"])
    assert _close(codes.dense("predicted"), tfa[f"{group}.pred_codes"])
    assert _close(codes.dense("novel"), tfa[f"{group}.novel_codes"])
    assert _close(parts.predicted, tfa[f"{group}.pred_recons"])
    assert _close(parts.novel, tfa[f"{group}.novel_recons"])
    assert _close(parts.x_hat, tfa[f"{group}.x_hat"])
    assert _close(sae.loss(tfa["tfa.x"]).x_hat, tfa[f"{group}.x_hat"].flatten(0, 1))


def test_k_at_inference(tfa: Vectors) -> None:
    sae = _sae(tfa, "topk")
    sae.use_k(9)
    assert _close(sae.encode(tfa["tfa.x"]).dense("novel"), tfa["tfa.topk_infk9.tied.layers1.bf1.novel_codes"])
    assert _close(sae(tfa["tfa.x"]), tfa["tfa.topk_infk9.tied.layers1.bf1.x_hat"])


def test_attention_maps(tfa: Vectors) -> None:
    sae = _sae(tfa, "relu", n_layers=2, bottleneck=2)
    assert _close(sae.attention_maps(tfa["tfa.x"]), tfa["tfa.relu.tied.layers2.bf2.attn_graphs"])


def test_batchtopk_in_training_selects_over_all_positions(tfa: Vectors) -> None:
    sae, group = _sae(tfa, "batchtopk", tied=False), "tfa.batchtopk_train.untied.layers1.bf1"
    losses = sae.loss(tfa["tfa.x"])
    assert losses.active is not None
    assert losses.active.nnz == 2 * 7 * int(tfa["tfa.kval_topk"])
    assert _close(losses.active.to_dense(), tfa[f"{group}.novel_codes"].flatten(0, 1))
    assert _close(losses.x_hat, tfa[f"{group}.x_hat"].flatten(0, 1))


def test_batchtopk_threshold_follows_the_selected_and_not_all(tfa: Vectors) -> None:
    before, decay = tfa["tfa.batchtopk.expected_min_act_before"], 0.999
    sae = _sae(tfa, "batchtopk", tied=False, threshold_decay=decay)
    sae.threshold.copy_(before[0])
    sae.threshold_updates.fill_(1)
    sae.after_step(sae.loss(tfa["tfa.x"]))
    codes = tfa["tfa.batchtopk_train.untied.layers1.bf1.novel_codes"]
    smallest = codes[codes > 0].min()
    assert _close(sae.threshold, decay * before[0] + (1 - decay) * smallest)
    of_all = (tfa["tfa.batchtopk.expected_min_act_after"] - decay * before) / (1 - decay)
    assert of_all.item() < 0.1 * smallest.item()  # what the original averages is far below the cut


def test_batchtopk_in_use_takes_what_is_above_the_threshold(tfa: Vectors) -> None:
    sae, group = _sae(tfa, "batchtopk", tied=False), "tfa.batchtopk_infer.untied.layers1.bf1"
    sae.threshold.copy_(tfa["tfa.batchtopk_infer.threshold"][0])
    codes = sae.encode(tfa["tfa.x"])
    assert _close(codes.dense("predicted"), tfa[f"{group}.pred_codes"])
    assert _close(codes.dense("novel"), tfa[f"{group}.novel_codes"])
    assert _close(sae.decode(codes), tfa[f"{group}.x_hat"])


def _gamma(v: Vectors, group: str) -> float:
    """Their weight of the penalty."""
    return float(v[f"tfa.loss.{group}.gamma_reg"])


@pytest.mark.parametrize(("novel", "tied", "n_layers", "bottleneck"), _LOSSES)
def test_loss_and_gradients(tfa: Vectors, novel: str, tied: bool, n_layers: int, bottleneck: int) -> None:
    group = f"{novel}.{'tied' if tied else 'untied'}.layers{n_layers}.bf{bottleneck}"
    penalty = {"sparsity_coefficient": 2 * _gamma(tfa, group)} if novel == "relu" else {}
    sae = _sae(tfa, novel, tied=tied, n_layers=n_layers, bottleneck=bottleneck, **penalty)
    losses = sae.loss(tfa["tfa.x"], Knobs(sparsity=0.5))  # input_variance is 1: the loss is in their scale
    losses.total.backward()
    assert _close(losses.total, tfa[f"tfa.loss.{group}.loss"])
    if novel == "relu":
        assert _close(losses.parts["sparsity"], _gamma(tfa, group) * tfa[f"tfa.loss.{group}.reg"])
    for name, theirs in _their_gradients(tfa, f"tfa.loss.{group}.grad.").items():
        grad = sae.get_parameter(name).grad
        assert grad is not None
        # gradients are sums over 14 positions of terms of order 1e2, so float32 rounding scales with the largest entry
        assert torch.allclose(grad, theirs, rtol=1e-4, atol=1e-5 * max(1.0, theirs.abs().max().item())), name


def _their_gradients(v: Mapping[str, torch.Tensor], prefix: str) -> Vectors:
    found: Vectors = {}
    for key, grad in v.items():
        if key.startswith(prefix):
            name = {"D": "W_dec", "E": "W_enc", "b": "b_dec"}.get(key.removeprefix(prefix), key.removeprefix(prefix))
            for theirs, ours in _OURS.items():
                name = name.replace(f"attn_layers.0.{theirs}", f"attention.0.{ours}")
            if not name.endswith("keys.bias"):
                found[name] = grad.squeeze(0) if name == "b_dec" else grad
    return found


def test_gradient_of_the_bias_of_keys_is_rounding_in_the_original(tfa: Vectors) -> None:
    grads = tfa["tfa.loss.relu.tied.layers1.bf1.grad.attn_layers.0.k_ctx.bias"]
    weights = tfa["tfa.loss.relu.tied.layers1.bf1.grad.attn_layers.0.k_ctx.weight"]
    assert grads.abs().max() < 1e-4 * weights.abs().max()


def test_training_log(tfa: Vectors) -> None:
    group = "relu.tied.layers1.bf1"
    sae = _sae(tfa, "relu", sparsity_coefficient=_gamma(tfa, group))
    losses = sae.loss(tfa["tfa.x"])
    penalty = losses.parts["sparsity"].detach()
    of_x = tfa["tfa.x"].square().sum(2).mean()
    assert _close(losses.logs["nmse"] + penalty / of_x, tfa[f"tfa.log.{group}.nmse"])
    names = {key.rpartition(".")[2] for key in tfa if key.startswith(f"tfa.log.{group}.")} - {"nmse"}
    assert len(names) == 11
    for name in names:
        assert _close(losses.logs[name], tfa[f"tfa.log.{group}.{name}"]), name


def _spade(v: Vectors, scale: torch.Tensor) -> SpaDE:
    config = SpaDE.Config(d_in=12, n_latents=24, scale_start=scale.item(), normalise=NormaliseConfig(kind="none"))
    sae = SpaDE(config)
    sae.load_state_dict({**sae.state_dict(), "W_enc": v["std.SpaDE.Ae"].T, "W_dec": v["std.SpaDE.Ad"].T})
    sae.started.fill_(True)
    return sae


@pytest.mark.parametrize("case", ["SpaDE", "SpaDE_lambda1"])
def test_spade(tfa: Vectors, case: str) -> None:
    sae = _spade(tfa, tfa[f"std.{case}.lambda"])
    assert _close(sae.scale, tfa[f"std.{case}.lambda"][0])
    codes = sae.encode(tfa["std.x"])
    assert _close(codes.dense(), tfa[f"std.{case}.codes"])
    # rows of their W_dec are up to 30 long here, so that rounding of the codes shows 30 times larger
    assert torch.allclose(sae.decode(codes), tfa[f"std.{case}.x_hat"], rtol=1e-4, atol=1e-4)
    losses = sae.loss(tfa["std.x"])
    assert _close(losses.logs["spread"], tfa[f"std.{case}.reg"])
    assert _close(losses.parts["sparsity"], sae.config.sparsity_coefficient * tfa[f"std.{case}.reg"])


def test_scale_of_spade_without_an_argument_in_the_original(tfa: Vectors) -> None:
    assert _close(_spade(tfa, tfa["std.SpaDE.lambda_default"]).scale, torch.tensor(_SCALE))


def test_gradients_through_sparsemax(tfa: Vectors) -> None:
    sae, x = _spade(tfa, tfa["std.SpaDE_lambda1.lambda"]), tfa["std.x"].clone().requires_grad_()
    (sae.encode(x).dense() * tfa["std.jumprelu_grad.dcodes"]).sum().backward()
    assert x.grad is not None
    assert sae.scale_pre.grad is not None
    assert _close(x.grad, tfa["std.SpaDE_lambda1.grad_x"])
    assert _close(sae.scale_pre.grad, tfa["std.SpaDE_lambda1.grad_lambda_pre"][0])


@pytest.mark.parametrize("case", ["MP", "MP_lambda1"])
def test_matching_pursuit(tfa: Vectors, case: str) -> None:
    step = tfa[f"std.{case}.lambda"].item()
    config = MatchingPursuit.Config(
        d_in=12, n_latents=24, k=int(tfa["std.MP.k"]), step=step, normalise=NormaliseConfig(kind="none")
    )
    sae = MatchingPursuit(config)
    sae.load_state_dict({**sae.state_dict(), "W_dec": tfa["std.Ae"], "b_dec": tfa["std.bd"][0]})
    codes = sae.encode(tfa["std.x"])
    assert _close(codes.dense(), tfa[f"std.{case}.codes"])
    assert _close(sae.decode(codes), tfa[f"std.{case}.x_hat"])
