"""Fidelity equals SAEBench on the same tensors, and the textbook definitions where SAEBench differs from them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation.fidelity import Fidelity

# SAEBench's values are float32 sums of 42 numbers; ours are float64 of the same float32 tensors.
_FLOAT32 = 2e-6

_AS_GIVEN = {
    "ev_as_saebench": "explained_variance",
    "ev_as_saebench_legacy": "explained_variance_legacy",
    "mse_as_saebench": "mse",
    "relative_reconstruction_bias_as_saebench": "relative_reconstruction_bias",
    "cosine": "cossim",
    "l0": "l0",
    "l2_norm_in": "l2_norm_in",
    "l2_norm_out": "l2_norm_out",
    "l2_ratio": "l2_ratio",
    "explained_variance": "textbook_explained_variance",
    "mse": "textbook_mse",
    "squared_error": "textbook_sum_sq_error_per_token",
}


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, Tensor]:
    return load_file(shared / "vectors" / "metrics_saebench.safetensors")


def _measured(given: SimpleNamespace, vectors: dict[str, Tensor], group: str) -> EvalResult:
    tokens, x, x_hat, f = (torch.stack([vectors[f"{name}{i}"] for i in (0, 1)]) for name in ("tokens", "x", "x_hat", "f"))
    mask = torch.ones_like(tokens, dtype=torch.bool) if group == "all" else ~torch.isin(tokens, vectors["ignore_tokens"])
    sae = given.Sae([(f[i][mask[i]], x_hat[i][mask[i]]) for i in (0, 1)], n_latents=30)
    source = given.source_of(x.flatten(0, 1), mask.flatten(0, 1), contexts_per_block=2)
    subject = EvalSubject(name="given", sae=sae, sites=(given.SITE,), source=source)
    return Fidelity(Fidelity.Config(batch_contexts=3)).run(subject)


@pytest.mark.parametrize("group", ["all", "masked"])
def test_metrics_equal_saebench(given: SimpleNamespace, vectors: dict[str, Tensor], group: str):
    found = _measured(given, vectors, group)
    for ours, theirs in _AS_GIVEN.items():
        assert found[ours].value == pytest.approx(float(vectors[f"{group}.{theirs}"]), rel=_FLOAT32), ours


@pytest.mark.parametrize("group", ["all", "masked"])
def test_densities_equal_saebench(given: SimpleNamespace, vectors: dict[str, Tensor], group: str):
    density = torch.tensor(_measured(given, vectors, group).tables["latents"]["density"].to_pylist())
    torch.testing.assert_close(density, vectors[f"{group}.feature_density"])


def test_l1_is_the_absolute_sum_where_saebench_has_a_plain_one(given: SimpleNamespace, vectors: dict[str, Tensor]):
    codes = torch.cat([vectors["f0"], vectors["f1"]])
    assert _measured(given, vectors, "all")["l1"].value == pytest.approx(float(codes.abs().sum(-1).mean()), rel=_FLOAT32)
