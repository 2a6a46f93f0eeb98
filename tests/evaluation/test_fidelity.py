"""Fidelity against the definitions written out over all tokens at once, and hand-worked cases."""

from types import SimpleNamespace

import pytest
import torch
from tests.progress_totals import Totals
from torch import Tensor

from monoseme.core.display import use_display
from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation.fidelity import Fidelity

_N, _S, _D, _F = 11, 5, 7, 13
_FLOAT64 = 1e-11  # sums of 55 float64 numbers in another order


def _gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _data(seed: int = 0) -> SimpleNamespace:
    gen = _gen(seed)
    x = torch.randn(_N, _S, _D, generator=gen) * torch.arange(1.0, _D + 1) + 5 * torch.randn(_D, generator=gen)
    mask = torch.rand(_N, _S, generator=gen) > 0.2
    x_hat = x + 0.7 * torch.randn(x.shape, generator=gen) + 0.3
    codes = torch.randn(_N, _S, _F, generator=gen).relu() * (torch.rand(_N, _S, _F, generator=gen) > 0.6)
    codes[..., 3] = 0
    codes[..., 4] = -1.5
    documents = torch.arange(_N)[:, None].expand(_N, _S) // 2
    return SimpleNamespace(x=x, x_hat=x_hat, codes=codes, mask=mask, documents=documents)


def _measure(given: SimpleNamespace, data: SimpleNamespace, *, blocks: int = 4, batch: int = 4, **settings: object) -> EvalResult:
    """Fidelity of the given reconstruction; the source has blocks of `blocks` contexts."""
    starts = range(0, len(data.x), batch)
    rows = [slice(i, i + batch) for i in starts]
    answers = [(data.codes[r][data.mask[r]], data.x_hat[r][data.mask[r]]) for r in rows if bool(data.mask[r].any())]
    subject = EvalSubject(
        name="given",
        sae=given.Sae(answers, n_latents=data.codes.shape[-1]),
        sites=(given.SITE,),
        source=given.source_of(data.x, data.mask, data.documents, contexts_per_block=blocks),
        domain_of=lambda document: "even" if document % 2 == 0 else "odd",
    )
    return Fidelity(Fidelity.Config(batch_contexts=batch, **settings)).run(subject)


def _definitions(x: Tensor, x_hat: Tensor, f: Tensor) -> dict[str, float]:
    """The metrics over tokens [T, D] and [T, F], as one would write them down."""
    x, x_hat, f = x.double(), x_hat.double(), f.double()
    e = x - x_hat
    centred = x - x.mean(0)
    fvu = float(e.pow(2).sum() / centred.pow(2).sum())
    return {
        "fvu": fvu,
        "explained_variance": 1 - fvu,
        "ev_centered_error": float(1 - e.var(0).sum() / x.var(0).sum()),
        "mse": float(e.pow(2).mean()),
        "squared_error": float(e.pow(2).sum(-1).mean()),
        "l2_error": float(e.norm(dim=-1).mean()),
        "l2_norm_in": float(x.norm(dim=-1).mean()),
        "l2_norm_out": float(x_hat.norm(dim=-1).mean()),
        "l2_ratio": float((x_hat.norm(dim=-1) / x.norm(dim=-1)).mean()),
        "cosine": float(torch.cosine_similarity(x, x_hat, dim=-1).mean()),
        "relative_reconstruction_bias": float(x_hat.pow(2).sum(-1).mean() / (x * x_hat).sum(-1).mean()),
        "l0": float((f != 0).sum(-1).double().mean()),
        "l1": float(f.abs().sum(-1).mean()),
        "dead_fraction": float((~(f != 0).any(0)).double().mean()),
        "dense_fraction": float(((f != 0).double().mean(0) > 0.1).double().mean()),
    }


@pytest.mark.parametrize("blocks", [1, 3, 4, 16])
def test_metrics_follow_their_definitions_however_blocks_are_cut(given: SimpleNamespace, blocks: int):
    data = _data()
    found = _measure(given, data, blocks=blocks)
    for name, value in _definitions(data.x[data.mask], data.x_hat[data.mask], data.codes[data.mask]).items():
        assert found[name].value == pytest.approx(value, rel=_FLOAT64), name
        assert found[name].n == int(data.mask.sum())
        assert found[name].n_documents == 6


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_only_the_peers_metrics_depend_on_the_batch(given: SimpleNamespace, batch: int):
    found, whole = (_measure(given, _data(), batch=b) for b in (batch, _N))
    for metric in found.metrics:
        if metric.value is not None and not metric.name.endswith(("_saebench", "_legacy", "_mlsae", "_tfa")):
            assert metric.value == pytest.approx(whole[metric.name].value, rel=_FLOAT64)
            assert metric.standard_error == pytest.approx(whole[metric.name].standard_error, rel=1e-9)


def test_peers_metrics_over_batches_of_unequal_size(given: SimpleNamespace):
    data = _data(3)
    found = _measure(given, data)
    batches = [(data.x[i : i + 4], data.x_hat[i : i + 4], data.mask[i : i + 4]) for i in (0, 4, 8)]
    pairs = [(x[m].double(), x_hat[m].double()) for x, x_hat, m in batches]
    mlsae = [(x - h).pow(2).mean() / x.flatten().var() for x, h in pairs]
    tfa = [1 - (x - h).flatten().var() / x.flatten().var() for x, h in pairs]
    assert found["fvu_as_mlsae"].value == pytest.approx(float(torch.stack(mlsae).mean()), rel=_FLOAT64)
    assert found["ev_as_tfa"].value == pytest.approx(float(torch.stack(tfa).mean()), rel=_FLOAT64)


def test_answering_the_mean_explains_exactly_nothing(given: SimpleNamespace):
    # Small integers: every sum is exact, so the result is 0 and not nearly 0.
    x = torch.tensor([[[1.0, 7.0], [3.0, 7.0]], [[5.0, 9.0], [7.0, 5.0]]])
    data = SimpleNamespace(x=x, mask=torch.ones(2, 2, dtype=torch.bool), documents=torch.tensor([[0, 0], [1, 1]]))
    data.x_hat = x.mean((0, 1)).expand(x.shape)
    data.codes = torch.zeros(2, 2, 3)
    found = _measure(given, data, batch=2)
    assert found["explained_variance"].value == 0.0
    assert found["fvu"].value == 1.0
    assert found["l0"].value == 0.0
    assert found["dead_fraction"].value == 1.0


def test_two_tokens_worked_by_hand(given: SimpleNamespace):
    x = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    data = SimpleNamespace(x=x, mask=torch.ones(1, 2, dtype=torch.bool), documents=torch.zeros(1, 2, dtype=torch.int64))
    data.x_hat = torch.tensor([[[3.0, 0.0], [0.0, 0.0]]])
    data.codes = torch.tensor([[[2.0, -1.0, 0.0], [0.0, 0.0, 0.0]]])
    found = _measure(given, data, batch=1)
    expected = {
        "fvu": 16 / 12.5,  # mean (1.5, 2); each token is 2.5 away
        "mse": 4.0,
        "l2_error": 2.0,
        "l2_ratio": 3 / 5,
        "cosine": 3 / 5,
        "relative_reconstruction_bias": 1.0,
        "l0": 1.0,
        "l1": 1.5,
        "dead_fraction": 1 / 3,
        "dense_fraction": 2 / 3,
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-15), name
    assert found["cosine"].n == 1
    assert found["l2_error"].n == 2
    assert all(metric.standard_error is None for metric in found.metrics), "one document cannot be resampled"


def test_a_perfect_reconstruction(given: SimpleNamespace):
    data = _data()
    data.x_hat = data.x
    found = _measure(given, data)
    assert found["fvu"].value == 0.0
    assert found["fvu"].standard_error == 0.0
    assert found["cosine"].value == pytest.approx(1.0, rel=1e-15)


@pytest.mark.parametrize("offset", [0.1, 1e6])
def test_constant_activations_have_no_variance_to_explain(given: SimpleNamespace, offset: float):
    data = _data()
    data.x = torch.full_like(data.x, offset)
    data.x_hat = data.x + 1
    found = _measure(given, data)
    for name in ("fvu", "explained_variance", "ev_centered_error", "fvu_as_mlsae", "ev_as_tfa"):
        assert found[name].value is None
        assert found[name].why_missing == "x has no variance on these tokens"
    assert found["mse"].value == pytest.approx(1.0, rel=1e-6)


def test_a_far_mean_costs_no_digits(given: SimpleNamespace):
    near = _data()
    far = _data()
    far.x, far.x_hat = near.x.double() + 1e7, near.x_hat.double() + 1e7
    fvu = _measure(given, near)["fvu"].value
    assert _measure(given, far)["fvu"].value == pytest.approx(fvu, rel=1e-6)


def test_an_empty_source_has_reasons_instead_of_numbers(given: SimpleNamespace):
    data = _data()
    data.mask = torch.zeros_like(data.mask)
    found = _measure(given, data)
    assert {metric.value for metric in found.metrics} == {None}
    assert found["fvu"].why_missing == "the source holds no unmasked token"


def test_without_a_model_its_losses_are_missing_and_every_definition_is_there(given: SimpleNamespace):
    found = _measure(given, _data())
    assert found["ce_recovered"].why_missing == "no language model was given"
    assert [m.name for m in found.metrics] == [d.name for d in Fidelity.definitions()]
    assert [m.definition for m in found.metrics] == [d.definition for d in Fidelity.definitions()]


def test_domains_are_measured_apart(given: SimpleNamespace):
    data = _data()
    found = _measure(given, data)
    rows = found.tables["domains"].to_pylist()
    for domain, parity in (("even", 0), ("odd", 1)):
        chosen = data.mask & (data.documents % 2 == parity)
        expected = _definitions(data.x[chosen], data.x_hat[chosen], data.codes[chosen])
        values = {row["metric"]: row for row in rows if row["domain"] == domain}
        for name in ("fvu", "ev_centered_error", "cosine", "l0"):
            assert values[name]["value"] == pytest.approx(expected[name], rel=_FLOAT64)
            assert values[name]["n"] == int(chosen.sum())
            assert values[name]["n_documents"] == 3


def test_histograms_count_every_latent_and_token(given: SimpleNamespace):
    data = _data()
    found = _measure(given, data)
    density, l0 = found.tables["density"].to_pydict(), found.tables["l0"].to_pydict()
    assert sum(density["n_latents"]) == _F
    assert density["n_latents"][0] == 1, "latent 3 never fires"
    assert density["n_latents"][-1] >= 1, "latent 4 fires on every token"
    assert density["low"][1] == pytest.approx(1e-6)
    assert density["high"][-1] == pytest.approx(1.0)
    assert sum(l0["n_tokens"]) == int(data.mask.sum())
    latents = found.tables["latents"].to_pydict()
    assert latents["mean_active"][3] is None
    assert latents["mean_active"][4] == pytest.approx(-1.5)
    assert latents["count"][4] == int(data.mask.sum())


def test_max_tokens_stops_before_the_batch_that_exceeds_it(given: SimpleNamespace):
    data = _data()
    first = int(data.mask[:4].sum())
    assert _measure(given, data, max_tokens=first)["fvu"].n == first
    assert _measure(given, data, max_tokens=first + 1)["fvu"].n == first
    assert _measure(given, data, max_tokens=1)["fvu"].n == first, "the first batch always counts"


def test_the_same_seed_gives_the_same_standard_errors(given: SimpleNamespace):
    one, two, other = (_measure(given, _data(), seed=seed) for seed in (0, 0, 1))
    assert one.metrics == two.metrics
    assert one["fvu"].standard_error != other["fvu"].standard_error
    assert one["fvu"].value == other["fvu"].value


@pytest.mark.parametrize(
    "settings", [{"batch_contexts": 0}, {"max_tokens": 0}, {"n_replicates": 1}, {"dense_above": 0.0}, {"dense_above": 1.5}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, float]):
    with pytest.raises(ConfigError, match=f"fidelity's {next(iter(settings))}"):
        Fidelity.Config(**settings)


def test_an_unknown_metric_is_refused_with_a_suggestion(given: SimpleNamespace):
    with pytest.raises(UndefinedMetricError, match='Did you mean "cosine"'):
        _measure(given, _data())["cosin"]


@pytest.mark.parametrize("most", [300_000, 20])
def test_progress_counts_up_to_no_total_that_the_text_does_not_reach(given: SimpleNamespace, most: int) -> None:
    display = Totals()
    with use_display(display):
        _measure(given, _data(), max_tokens=most)
    assert display.done["reconstruction"] > 0
    assert display.totals["reconstruction"] == most
    assert display.missed() == {}
