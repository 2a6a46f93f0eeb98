"""ReLU and JumpReLU against numbers of the original code of TemporalFeatureAnalysis (golden vectors).

Theirs: codes = act(lambda ((x - bd) Ae^T + be)), x_hat = codes Ad^T + bd. So W_enc = lambda Ae^T, b_enc = lambda be,
W_dec = Ad^T, b_dec = bd, and gradients for Ae and be are lambda times ours.

Tolerance: absolute 1e-5 plus relative 1e-4, as the vectors' README suggests; exact for counts.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from monoseme.saes import SAE, NormaliseConfig
from monoseme.saes._entries import at_entries
from monoseme.saes._ste import jump
from monoseme.saes.jumprelu import JumpReLU
from monoseme.saes.relu import ReLU

Vectors = dict[str, torch.Tensor]
_NONE = NormaliseConfig(kind="none")


def _close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def tfa(shared: Path) -> Vectors:
    return load_file(shared / "vectors" / "tfa.safetensors")


def _with_weights(sae: SAE, v: Vectors, factor: torch.Tensor, **more: torch.Tensor) -> None:
    weights = {
        "W_enc": factor * v["std.Ae"].t(),
        "b_enc": factor * v["std.be"][0],
        "W_dec": v["std.Ad"].t(),
        "b_dec": v["std.bd"][0],
    }
    sae.load_state_dict({**sae.state_dict(), **weights, **more})
    sae.started.fill_(True)


def _jumprelu(v: Vectors, **settings: Any) -> JumpReLU:
    bandwidth = float(v["std.jumprelu_grad.bandwidth"])
    config = JumpReLU.Config(
        d_in=12,
        n_latents=24,
        normalise=_NONE,
        bandwidth=bandwidth,
        threshold_unit="normalised",
        window_moves="threshold",
        **settings,
    )
    sae = JumpReLU(config)
    _with_weights(sae, v, v["std.jumprelu.lambda"], log_threshold=v["std.jumprelu.logthreshold"][0])
    return sae


def test_relu_and_its_l1_are_those_of_tfa(tfa: Vectors) -> None:
    sae = ReLU(ReLU.Config(d_in=12, n_latents=24, normalise=_NONE, sparsity_coefficient=1.0))
    _with_weights(sae, tfa, tfa["std.relu.lambda"])
    assert _close(sae.encode(tfa["std.x"]).dense(), tfa["std.relu.codes"])
    assert _close(sae(tfa["std.x"]), tfa["std.relu.x_hat"])
    losses = sae.loss(tfa["std.x"])  # V is 1 without start(), so theirs and our units agree
    assert _close(losses.x_hat, tfa["std.relu.x_hat"])
    assert _close(losses.parts["sparsity"], tfa["std.relu.reg"])
    assert _close(losses.logs["l1"], tfa["std.relu.reg"])


def test_jumprelu_is_that_of_tfa(tfa: Vectors) -> None:
    sae = _jumprelu(tfa)
    for one in (sae, sae.export()):
        assert _close(one.encode(tfa["std.x"]).dense(), tfa["std.jumprelu.codes"])
        assert _close(one(tfa["std.x"]), tfa["std.jumprelu.x_hat"])
    losses = sae.loss(tfa["std.x"])
    assert losses.active is not None
    assert _close(losses.active.to_dense(), tfa["std.jumprelu.codes"])
    assert _close(losses.x_hat, tfa["std.jumprelu.x_hat"])


def test_jumprelu_has_the_gradients_of_tfa(tfa: Vectors) -> None:
    sae = _jumprelu(tfa)
    z = sae._near_and_above(tfa["std.x"])
    values = jump(z.values, at_entries(sae.threshold, z), sae._smoothing)
    (z.with_values(values).to_dense() * tfa["std.jumprelu_grad.dcodes"]).sum().backward()
    factor = tfa["std.jumprelu.lambda"]
    assert sae.W_enc.grad is not None
    assert sae.b_enc.grad is not None
    assert sae.b_dec.grad is not None
    assert sae.log_threshold.grad is not None
    assert _close(factor * sae.W_enc.grad.t(), tfa["std.jumprelu_grad.Ae"])
    assert _close(factor * sae.b_enc.grad, tfa["std.jumprelu_grad.be"][0])
    assert _close(sae.b_dec.grad, tfa["std.jumprelu_grad.bd"][0])
    assert _close(sae.log_threshold.grad, tfa["std.jumprelu_grad.logthreshold"][0])


@pytest.mark.parametrize(("counts", "group"), [("activations", "l0_pre"), ("codes", "l0_codes")])
def test_the_l0_penalty_and_its_gradient_are_those_of_tfa(tfa: Vectors, counts: str, group: str) -> None:
    sae = _jumprelu(tfa, sparsity_coefficient=1.0, l0_counts=counts)
    part = sae.loss(tfa["std.x"]).parts["sparsity"]
    assert _close(part, tfa[f"std.jumprelu_{group}.l0"])
    part.backward()
    assert sae.log_threshold.grad is not None  # theirs is for the threshold, not for its logarithm
    assert _close(sae.log_threshold.grad / sae.threshold.detach(), tfa[f"std.jumprelu_{group}.grad_threshold"][0])
