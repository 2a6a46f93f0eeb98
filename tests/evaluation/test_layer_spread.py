"""Spread over layers against one latent and token at a time, hand-worked cases, and MLSAE's own code and published row."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation._layer_statistics import layer_statistics
from monoseme.evaluation.layer_spread import LayerSpread
from monoseme.models import Site
from monoseme.testing.sources import TensorSource

_N, _S, _L, _F = 7, 5, 3, 11
_FLOAT32 = {"rel": 1e-4, "abs": 1e-5}


def _codes(seed: int = 0) -> Tensor:
    """[N, S, L, F], a third of it active, latent 3 dead, latent 4 at one layer, latent 5 negative."""
    gen = torch.Generator().manual_seed(seed)
    codes = torch.rand(_N, _S, _L, _F, generator=gen) * (torch.rand(_N, _S, _L, _F, generator=gen) > 0.6)
    codes[..., 3] = 0
    codes[..., :2, 4] = 0
    codes[..., 5] *= -1
    return codes


def _measure(
    given: SimpleNamespace, codes: Tensor, *, batch: int = 3, layers: tuple[int, ...] = (), **settings: int
) -> EvalResult:
    """`codes` [n, S, L, F]; two contexts are a document."""
    n, seq_len, n_layers, n_latents = codes.shape
    sites = tuple(Site("resid_post", layer) for layer in layers or range(n_layers))
    mask = torch.rand(n, seq_len, generator=torch.Generator().manual_seed(9)) > 0.1
    documents = torch.arange(n)[:, None].expand(n, seq_len) // 2
    x = torch.zeros(n, seq_len, 2)
    answers = [(codes[i : i + batch][mask[i : i + batch]], torch.empty(0)) for i in range(0, n, batch)]
    sae = given.LayersSae(answers, n_latents=n_latents)
    source = TensorSource(dict.fromkeys(sites, x), mask=mask, documents=documents)
    config = LayerSpread.Config(batch_contexts=batch, **{"n_replicates": 30, **settings})
    found = LayerSpread(config).run(EvalSubject(name="given", sae=sae, sites=sites, source=source))
    assert found.facts["n_tokens"] == int(mask.sum())
    return found


def _mask() -> Tensor:
    return torch.rand(_N, _S, generator=torch.Generator().manual_seed(9)) > 0.1


def _var(weights: list[float], layers: list[float]) -> tuple[float, float]:
    """(total weight, variance of the layer)."""
    total = sum(weights)
    mean = sum(w * layer for w, layer in zip(weights, layers, strict=True)) / total
    return total, sum(w * (layer - mean) ** 2 for w, layer in zip(weights, layers, strict=True)) / total


def _twin(codes: Tensor, layers: list[float]) -> dict[str, float]:
    """The definitions, one latent and token at a time, over codes [T, L, F]."""
    z = codes.double().abs()
    latents = [z[:, :, j].sum(0).tolist() for j in range(z.shape[2])]
    alive = [w for w in latents if sum(w) > 0]
    pairs = [z[t, :, j].tolist() for t in range(len(z)) for j in range(z.shape[2]) if z[t, :, j].any()]
    all_mass, all_var = _var(z.sum((0, 2)).tolist(), layers)
    of_latent = sum(m * v for m, v in (_var(w, layers) for w in alive)) / all_mass
    of_firing = sum(m * v for m, v in (_var(w, layers) for w in pairs)) / all_mass
    probs = [torch.tensor([w for w in weights if w > 0], dtype=torch.float64) / sum(weights) for weights in alive]
    return {
        "layer_std": sum(_var(w, layers)[1] ** 0.5 for w in alive) / len(alive),
        "layer_entropy": sum(float(-(p * p.log()).sum()) for p in probs) / len(alive),
        "layers_per_latent": sum(len(p) for p in probs) / len(alive),
        "layers_per_firing": sum(sum(w > 0 for w in weights) for weights in pairs) / len(pairs),
        "var_layer": all_var,
        "var_layer_of_latent": of_latent,
        "var_layer_of_firing": of_firing,
        "rel_var_f": of_latent / all_var,
        "rel_var_t": of_firing / of_latent,
    }


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("layers", [(0, 1, 2), (2, 5, 11)])
def test_metrics_are_what_one_latent_and_token_at_a_time_gives(given: SimpleNamespace, batch: int, layers: tuple[int, ...]):
    found = _measure(given, _codes(), batch=batch, layers=layers)
    for name, value in _twin(_codes()[_mask()], [float(layer) for layer in layers]).items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name
        assert found[name].standard_error > 0
    assert [m.name for m in found.metrics] == [d.name for d in LayerSpread.definitions()]


def test_the_law_of_total_variance_bounds_the_ratios(given: SimpleNamespace):
    found = _measure(given, _codes(3))
    assert found["var_layer"].value >= found["var_layer_of_latent"].value >= found["var_layer_of_firing"].value > 0


def test_replicates_are_the_metrics_of_resampled_documents(given: SimpleNamespace):
    from monoseme.evaluation._bootstrap import DocumentWeights

    codes, mask = _codes(), _mask()
    found = _measure(given, codes, n_replicates=25)
    weights = DocumentWeights(n_replicates=25, seed=0).of(list(range(4)))
    values = []
    for w in range(1, 26):
        chosen = torch.cat([torch.arange(_N)[torch.arange(_N) // 2 == d].repeat(int(weights[d, w])) for d in range(4)])
        if len(chosen) == 0:
            continue  # a replicate that drew no document has no number
        values.append(_twin(codes[chosen][mask[chosen]], [0.0, 1.0, 2.0])["rel_var_t"])
    assert found["rel_var_t"].standard_error == pytest.approx(float(torch.tensor(values).std()), rel=1e-4)


def test_a_wandering_latent_and_a_spread_one(given: SimpleNamespace):
    # Latent 0 is at layer 0 for odd contexts and at layer 2 for even ones; latent 1 is at both at once.
    codes = torch.zeros(4, 5, 3, 2)
    codes[::2, :, 0, 0] = codes[1::2, :, 2, 0] = 2.0
    wandering = _measure(given, codes)
    assert wandering["rel_var_t"].value == 0.0
    assert wandering["rel_var_f"].value == pytest.approx(1.0)
    assert wandering["layers_per_latent"].value == 2.0
    assert wandering["layers_per_firing"].value == 1.0
    codes[..., 0] = 0
    codes[..., 0, 1] = codes[..., 2, 1] = 1.0
    spread = _measure(given, codes)
    assert spread["rel_var_t"].value == pytest.approx(1.0)
    assert spread["layer_std"].value == pytest.approx(1.0)
    assert spread["layer_entropy"].value == pytest.approx(0.6931471805599453)


def test_latents_of_one_layer_each(given: SimpleNamespace):
    codes = torch.eye(3).expand(4, 5, 3, 3).clone()
    found = _measure(given, codes)
    assert found["rel_var_f"].value == 0.0
    assert found["rel_var_t"].why_missing == "no latent fires at two layers"


def test_shares_of_the_variance_sum_to_one(given: SimpleNamespace):
    found = _measure(given, _codes(3))
    shares = [found[name].value for name in ("between_latents", "between_tokens", "within_firing")]
    assert sum(shares) == pytest.approx(1.0, rel=1e-12)
    assert shares[0] == pytest.approx(1 - found["rel_var_f"].value, rel=1e-12)
    assert shares[2] == pytest.approx(found["rel_var_f"].value * found["rel_var_t"].value, rel=1e-12)


def test_replicates_are_kept_with_the_metrics(given: SimpleNamespace):
    found = _measure(given, _codes(), n_replicates=25)
    for name, values in found.replicates.items():
        assert len(values) == 26
        assert float(values[0]) == pytest.approx(found[name].value, rel=1e-12)
        assert float(values[1:][values[1:].isfinite()].std()) == pytest.approx(found[name].standard_error, rel=1e-9)


@pytest.mark.parametrize("loudest", [1.0, 50.0])
def test_what_was_planted_is_told_apart_and_loud_layers_are_not_taken_for_it(given: SimpleNamespace, loudest: float):
    # Latent 0 wanders from token to token, 1 stays at layer 1, 2 is at all layers at once, 3 at the first and last at once.
    # The last layer's activations are much larger, as the norms of a residual stream are.
    codes = torch.zeros(16, 5, 3, 4)
    at = torch.randint(3, (16, 5), generator=torch.Generator().manual_seed(0))
    codes[..., 0].scatter_(2, at[..., None], 1.0)
    codes[:, :, 1, 1] = 1.0
    codes[..., 2] = 1.0
    codes[:, :, ::2, 3] = 1.0
    codes[:, :, 2] *= loudest
    rows = _measure(given, codes).tables["latents"].to_pydict()
    assert rows["share_at_token"][0] == 0.0
    assert rows["share_at_token"][1] is None  # there is no variance to share
    assert rows["share_at_token"][2:] == pytest.approx([1.0, 1.0])
    assert rows["n_layers"] == [3, 1, 3, 2]
    assert rows["layers_per_firing"] == [1.0, 1.0, 3.0, 2.0]
    assert rows["layer_var"][0] > 0.0
    assert rows["layer_var"][1] == 0.0
    assert rows["bimodality"][3] == pytest.approx(1.0)
    if loudest == 1.0:
        assert rows["valley"][2:] == pytest.approx([0.0, 0.5])
        assert rows["kurtosis"][3] == pytest.approx(1.0)


def test_a_published_row_of_gpt2():
    totals = [43.9369, 0, 10.7055, 9.9403, 3.8751, 10.3349, 17.1488, 4.0187, 6.6045, 19.4476, 37.7656, 0]
    totals = torch.tensor(totals, dtype=torch.float64)[:, None]
    found = layer_statistics(totals, torch.arange(12, dtype=torch.float64))
    assert float(totals.sum()) == pytest.approx(163.77798, rel=1e-6)
    assert float(found.mean) == pytest.approx(5.220184, rel=1e-6)
    assert float(found.var) == pytest.approx(15.74347, rel=1e-6)
    assert float(found.var.sqrt()) == pytest.approx(3.967804, rel=1e-6)
    assert float(found.n_layers) == 10


def _mlsae(shared: Path, given: SimpleNamespace) -> tuple[dict[str, Tensor], EvalResult]:
    """The three batches of MLSAE's `dists` and `variances`: [L, B, P, K] each."""
    v = load_file(shared / "vectors" / "mlsae.safetensors")
    batches = []
    for i in range(3):
        values, indices = v[f"dists.topk_values{i}"], v[f"dists.topk_indices{i}"]
        dense = torch.zeros(*values.shape[:3], 30).scatter_(3, indices, values)
        batches.append(dense.permute(1, 2, 0, 3))
    sites = tuple(Site("resid_post", layer) for layer in range(5))
    sae = given.LayersSae([(batch.flatten(0, 1), torch.empty(0)) for batch in batches], n_latents=30)
    source = TensorSource(dict.fromkeys(sites, torch.zeros(6, 7, 2)))
    config = LayerSpread.Config(batch_contexts=2, n_replicates=20)
    return v, LayerSpread(config).run(EvalSubject(name="mlsae", sae=sae, sites=sites, source=source))


def test_dists_of_mlsae(shared: Path, given: SimpleNamespace):
    v, found = _mlsae(shared, given)
    rows = found.tables["latents"].to_pydict()
    for name in ("counts", "totals"):
        torch.testing.assert_close(torch.tensor(rows[name]).T.float(), v[f"dists.{name}"], atol=1e-5, rtol=1e-4)
    for ours, theirs in {"count": "count", "total": "total", "layer_mean": "layer_mean", "layer_var": "layer_var"}.items():
        expected = v[f"dists.{theirs}"]
        for j, value in enumerate(rows[ours]):
            # Latents that never fire: NaN there, no value here.
            assert (value is None) == bool(expected[j].isnan())
            assert value is None or value == pytest.approx(float(expected[j]), **_FLOAT32)
    std = [value for value in rows["layer_std"] if value is not None]
    assert found["layer_std"].value == pytest.approx(sum(std) / len(std), rel=1e-9)
    assert found["layer_std"].value == pytest.approx(float(v["dists.stats.mean"]), **_FLOAT32)


def test_variances_of_mlsae(shared: Path, given: SimpleNamespace):
    v, found = _mlsae(shared, given)
    for name in ("var_l", "exp_var_l_f", "exp_var_l_tf", "rel_var_f", "rel_var_t"):
        assert found[f"{name}_as_mlsae"].value == pytest.approx(float(v[f"variances.{name}"]), **_FLOAT32), name
        assert found[f"{name}_as_mlsae"].n == 3


def test_an_sae_of_one_code_has_no_spread(given: SimpleNamespace):
    sae = given.Sae([], n_latents=_F)
    subject = EvalSubject(name="topk", sae=sae, sites=(given.SITE,), source=given.source_of(torch.zeros(2, 3, 5)))
    found = LayerSpread().run(subject)
    assert {metric.value for metric in found.metrics} == {None}
    assert found["rel_var_t"].why_missing == "the SAE has one site, so its latents have no activation at each site"


def test_silent_latents_have_their_reason(given: SimpleNamespace):
    found = _measure(given, torch.zeros(4, 5, 3, 2))
    assert found["layer_std"].why_missing == "no latent fires"
    assert found["var_l_as_mlsae"].value == 0.0
    assert found["rel_var_f_as_mlsae"].value is None
    assert found.tables["latents"].to_pydict()["layer_mean"] == [None, None]
