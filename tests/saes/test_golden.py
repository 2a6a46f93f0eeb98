"""Selection, AuxK, standardisation and the threshold against numbers of the original code (golden vectors).

Tolerance: absolute 1e-5 plus relative 1e-4, as the vectors' README suggests; exact for masks and counts.
"""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from monoseme.saes import NormaliseConfig
from monoseme.saes._codes import Losses
from monoseme.saes._dead import auxk, still_dead
from monoseme.saes._dictionary import geometric_median
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.topk import TopK
from monoseme.tensors.sparse import SparseCodes

Vectors = dict[str, torch.Tensor]


def _close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def tsae(shared: Path) -> Vectors:
    return load_file(shared / "vectors" / "tsae.safetensors")


@pytest.fixture(scope="module")
def llama3(shared: Path) -> Vectors:
    return load_file(shared / "vectors" / "llama3_sae.safetensors")


def _batchtopk(v: Vectors, **settings: float) -> BatchTopK:
    sae = BatchTopK(BatchTopK.Config(d_in=12, n_latents=30, k=5, k_aux=6, normalise=NormaliseConfig(kind="none"), **settings))
    sae.load_state_dict({**sae.state_dict(), **{name: v[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}})
    sae.started.fill_(True)
    return sae


def test_batchtopk_selects_as_tsae_does(tsae: Vectors) -> None:
    sae = _batchtopk(tsae)
    for slot, name in ((0, "curr"), (1, "prev")):
        losses = sae.loss(tsae["x"][:, slot])
        assert losses.active is not None
        assert losses.active.nnz == 13 * 5
        assert _close(losses.active.to_dense(), tsae[f"train.codes_{name}"])
    final = tsae["loss.l1cos.dead_none.x_hat"]  # the reconstruction from all groups of slot 0
    assert _close(sae.loss(tsae["x"][:, 0]).x_hat, final)


def test_inference_threshold_is_strict_and_unset_means_relu(tsae: Vectors) -> None:
    sae = _batchtopk(tsae)
    x = tsae["x"][:, 0]
    assert _close(sae.encode(x).dense(), tsae["infer.threshold_unset.codes"])
    sae.threshold.copy_(tsae["infer.threshold"])
    assert _close(sae.encode(x).dense(), tsae["infer.codes"])
    assert _close(sae(x), tsae["infer.x_hat"])
    assert _close(sae.export()(x), tsae["infer.x_hat"])


def test_threshold_average_starts_at_the_first_value(tsae: Vectors) -> None:
    sae = _batchtopk(tsae, threshold_decay=float(tsae["threshold_ema.beta"]))
    for scale, wanted in zip(tsae["threshold_ema.input_scales"], tsae["threshold_ema.sequence"], strict=True):
        # the vectors scale the codes' input; what enters the average is the smallest positive kept activation
        losses = sae.loss(tsae["x"][:, 0] * scale)
        sae.after_step(losses)
        assert _close(sae.threshold, wanted)


@pytest.mark.parametrize("case", ["none", "small", "large"])
def test_auxk_is_that_of_tsae(tsae: Vectors, case: str) -> None:
    sae = _batchtopk(tsae)
    x = tsae["x"][:, 0]
    losses = sae.loss(x)
    assert losses.active is not None
    group = f"loss.l1cos.dead_{case}"
    dead_before = torch.zeros(30, dtype=torch.bool) if case == "none" else tsae[f"dead_mask_{case}"].bool()
    dead = still_dead(dead_before, losses.active)
    assert torch.equal(torch.zeros(30, dtype=torch.int64).index_fill(0, dead, 1), tsae[f"{group}.dead_after_firing_update"])
    value = auxk(x, x - losses.x_hat, sae.encoder, sae.W_dec, dead=dead, k_aux=int(tsae["top_k_aux"]), kernels=sae.kernels)
    wanted = tsae[f"{group}.auxk_loss"] if case != "none" else torch.tensor(0.0)
    assert _close(value, wanted)


def test_auxk_of_a_given_residual_is_that_of_tsae(tsae: Vectors) -> None:
    sae = _batchtopk(tsae)
    x = tsae["x"][:, 0]
    for case in ("small", "large"):
        dead = tsae[f"dead_mask_{case}"].nonzero().squeeze(1)
        value = auxk(x, tsae["auxk.residual"], sae.encoder, sae.W_dec, dead=dead, k_aux=6, kernels=sae.kernels)
        assert _close(value, tsae[f"auxk.{case}.loss"])


def test_geometric_median_is_that_of_tsae(tsae: Vectors) -> None:
    assert _close(geometric_median(tsae["x"][:, 0]).float(), tsae["geometric_median_curr"])


def _b_pre(v: Vectors) -> torch.Tensor:
    """The bias that made the vectors. `b_pre` in the file is the one after the three steps (it equals `step3.b_pre`): shared
    memory when it was written. What was in use is what the reconstruction has beyond the decoded codes."""
    assert torch.equal(v["b_pre"], v["step3.b_pre"])
    return (v["forward_1d.recon"] - v["forward_1d.h_sparse"] @ v["decoder.weight"].t()).mean(0)


def _llama3_topk(v: Vectors) -> TopK:
    eps = float(v["normalize_eps"])
    sae = TopK(TopK.Config(d_in=12, n_latents=30, k=5, normalise=NormaliseConfig(kind="standardise", eps=eps)))
    # their decode adds b_pre in the standardised space and their encoder subtracts it there: b_dec, transposed weights
    weights = {"W_enc": v["encoder.weight"].t(), "b_enc": v["encoder.bias"], "W_dec": v["decoder.weight"].t()}
    sae.load_state_dict({**sae.state_dict(), **weights, "b_dec": _b_pre(v)})
    sae.started.fill_(True)
    return sae


def test_standardised_topk_is_that_of_llama3_sae(llama3: Vectors) -> None:
    sae = _llama3_topk(llama3)
    codes = sae.encode(llama3["x"])
    assert sae.unit == "standardised"
    assert codes.offset is not None
    assert codes.scale is not None
    assert _close(codes.offset, llama3["x_mean"])
    assert _close(codes.scale, llama3["x_norm"])
    assert _close(sae.normalise(llama3["x"]).rows, llama3["x_normalized"])
    assert _close(codes.dense(), llama3["forward_1d.h_sparse"])
    assert _close(sae.decode(codes), llama3["forward_1d.recon_denormalized"])
    assert _close(sae(llama3["x3d"]), llama3["forward.x_hat"])


def test_mean_squared_error_and_its_gradients_are_those_of_llama3_sae(llama3: Vectors) -> None:
    sae = _llama3_topk(llama3)
    sae.input_variance.fill_(12.0)  # theirs is the mean over rows and columns: ours with V = D
    losses = sae.loss(llama3["x"])
    assert _close(losses.parts["reconstruction"], llama3["loss.few.mse"])
    losses.total.backward()
    assert sae.W_enc.grad is not None
    assert sae.W_dec.grad is not None
    assert _close(sae.W_enc.grad.t(), llama3["loss.few.grad.encoder.weight"])
    assert _close(sae.W_dec.grad.t(), llama3["loss.few.grad.decoder.weight"])
    assert _close(sae.b_enc.grad, llama3["loss.few.grad.encoder.bias"])
    assert _close(sae.b_dec.grad, llama3["loss.few.grad.b_pre"])


def test_dead_counts_reset_where_llama3_sae_resets(llama3: Vectors) -> None:
    sae = _llama3_topk(llama3)
    sae.tokens_since_fired.copy_(llama3["last_nonzero.before"])
    active = SparseCodes.from_dense(llama3["last_nonzero.h_sparse"])
    zero = torch.zeros(())
    sae.after_step(Losses(zero, {}, active, llama3["x"], llama3["x"]))
    # they count optimiser steps and add one after the reset, we count tokens: what agrees is which latents are reset
    wanted = torch.where(llama3["last_nonzero.after"] == 1, 0, llama3["last_nonzero.before"] + 13)
    silent_before = llama3["last_nonzero.before"] == 0  # cannot be told from the counts: 0 + 1 is also a reset one
    fired = (llama3["last_nonzero.h_sparse"] != 0).any(0)
    wanted = torch.where(silent_before & ~fired, 13, wanted)
    assert torch.equal(sae.tokens_since_fired, wanted)
