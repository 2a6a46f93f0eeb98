"""Fidelity equals what T-SAE's, TFA's and MLSAE's own code gives on the same tensors."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation.fidelity import Fidelity
from monoseme.splice.next_token import compare, log_probabilities, logit_error

_FLOAT32 = 5e-6


def _one_batch(given: SimpleNamespace, x: Tensor, x_hat: Tensor, codes: Tensor) -> EvalResult:
    """x, x_hat [n, S, D], codes [n, S, F] as one batch without a mask."""
    sae = given.Sae([(codes.flatten(0, 1), x_hat.flatten(0, 1))], n_latents=codes.shape[-1])
    source = given.source_of(x, contexts_per_block=len(x))
    subject = EvalSubject(name="given", sae=sae, sites=(given.SITE,), source=source)
    return Fidelity(Fidelity.Config(batch_contexts=len(x))).run(subject)


@pytest.mark.parametrize("variant", ["std", "raw"])
def test_fvu_as_mlsae_per_layer(shared: Path, given: SimpleNamespace, variant: str):
    v = load_file(shared / "vectors" / "mlsae.safetensors")
    for layer in range(5):
        found = _one_batch(given, v["x"][layer], v[f"{variant}.recons"][layer], v[f"{variant}.codes"][layer])
        assert found["fvu_as_mlsae"].value == pytest.approx(float(v[f"{variant}.layer_fvu"][layer]), rel=_FLOAT32)
        assert found["l1"].value == pytest.approx(float(v[f"{variant}.layer_l1"][layer]), rel=_FLOAT32)


def test_kl_as_mlsae_sums_positions_and_averages_contexts(shared: Path):
    v = load_file(shared / "vectors" / "mlsae.safetensors")
    for layer in range(5):
        true, pred = v["logits.true"][layer], v["logits.pred"][layer]
        any_target = torch.zeros(true.shape[:2].numel(), dtype=torch.int64)
        found = compare(log_probabilities(true.flatten(0, 1)), pred.flatten(0, 1), any_target).kl_reversed
        assert float(found.double().sum() / len(true)) == pytest.approx(float(v["logits.kldiv"][layer]), rel=_FLOAT32)


def test_logit_mse_of_mlsae(shared: Path):
    v = load_file(shared / "vectors" / "mlsae.safetensors")
    for layer in range(5):
        true, pred = (v[f"logits.{which}"][layer].flatten(0, 1) for which in ("true", "pred"))
        found = logit_error(log_probabilities(true), true.logsumexp(-1), pred)
        assert float(found.mean()) == pytest.approx(float(v["logits.mse"][layer]), rel=_FLOAT32)


def test_ev_as_tfa(shared: Path, given: SimpleNamespace):
    v = load_file(shared / "vectors" / "tfa.safetensors")
    name = "relu.tied.layers1.bf1"
    x, x_hat = v["tfa.x"], v[f"tfa.{name}.x_hat"]
    found = _one_batch(given, x, x_hat, torch.zeros(*x.shape[:2], 3))
    assert found["ev_as_tfa"].value == pytest.approx(float(v[f"tfa.log.{name}.variance_explained"]), rel=_FLOAT32)


def test_ev_centered_error_as_tsae(shared: Path, given: SimpleNamespace):
    v = load_file(shared / "vectors" / "tsae.safetensors")
    batches: list[EvalResult] = []
    for x in (v["evaluate.x0"], v["evaluate.x1"]):
        codes = ((x - v["b_dec"]) @ v["W_enc"] + v["b_enc"]).relu()
        codes = codes * (codes > v["evaluate.threshold"])
        batches.append(_one_batch(given, x[None], (codes @ v["W_dec"] + v["b_dec"])[None], codes[None]))
    # T-SAE averages its batches; each is measured as a whole here.
    names = {
        "ev_centered_error": "frac_variance_explained",
        "cosine": "cossim",
        "l0": "l0",
        "l1": "l1_loss",
        "l2_error": "l2_loss",
        "l2_ratio": "l2_ratio",
        "relative_reconstruction_bias": "relative_reconstruction_bias",
    }
    for ours, theirs in names.items():
        mean = sum(found[ours].value for found in batches) / 2
        assert mean == pytest.approx(float(v[f"evaluate.{theirs}"]), rel=_FLOAT32), ours
