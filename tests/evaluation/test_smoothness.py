"""Smoothness against slow loops over tokens, hand-worked cases, and T-SAE's own code."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import given as of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import load_file
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation._signals import Stretch, changes, series_of
from monoseme.evaluation._smoothness_as_tsae import context_sums
from monoseme.evaluation._smoothness_autocorrelation import integrated_time
from monoseme.evaluation._smoothness_sums import stretch_sums, variations
from monoseme.evaluation.fidelity import Fidelity
from monoseme.evaluation.smoothness import Smoothness
from monoseme.models import Site
from monoseme.saes.matryoshka import Matryoshka
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.sources import TensorSource

SITE = Site.parse("resid_post.1")
_N, _S, _D, _F = 7, 23, 5, 11
# Golden numbers are float32; ours are float64 of the same float32 codes.
_FLOAT32 = {"rel": 1e-4, "abs": 1e-5}


def _gen(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _data(seed: int = 0) -> SimpleNamespace:
    gen = _gen(seed)
    x, codes = torch.randn(_N, _S, _D, generator=gen), torch.randn(_N, _S, _F, generator=gen).relu()
    codes = codes * (torch.rand(codes.shape, generator=gen) > 0.4)
    codes[..., 3] = 0
    mask = torch.rand(_N, _S, generator=gen) > 0.05
    documents = 2 * torch.arange(_N)[:, None].expand(_N, _S).clone()
    documents[::2, 14:] += 1
    return SimpleNamespace(x=x, codes=codes, mask=mask, documents=documents)


def _measure(given: SimpleNamespace, data: SimpleNamespace, *, batch: int = 3, part: str | None = None, **settings) -> EvalResult:
    chunks = [slice(i, i + batch) for i in range(0, len(data.x), batch)]
    half = data.codes.shape[-1] // 2
    answers = []
    for rows in chunks:
        codes = data.codes[rows][data.mask[rows]]
        low = codes.clone()
        low[:, :half] = 0
        if len(codes):
            answers.append(({"all": codes, "high": codes - low, "low": low}, torch.empty(0)))
    subject = EvalSubject(
        name="given",
        sae=given.Sae(answers, n_latents=data.codes.shape[-1]),
        sites=(given.SITE,),
        source=given.source_of(data.x, data.mask, data.documents),
        part=part,
    )
    # What is decoded is measured on real SAEs, below.
    return Smoothness(Smoothness.Config(**{"batch_contexts": batch, "n_replicates": 20, "fvu": False} | settings)).run(subject)


def _one_stretch(signals: Tensor, moved: Tensor, *, as_tsae: bool = False) -> dict[str, float]:
    """The sums of latents [A, T] over one stretch."""
    of = series_of(SparseCodes.from_dense(signals.T), [Stretch(0, signals.shape[1], 0)])
    near = changes(of, 1)
    sums = context_sums(of, near, moved) if as_tsae else stretch_sums(of, near, variations(of, near), moved)
    return {name: float(value) for name, value in sums.items()}


def _stretches(data: SimpleNamespace) -> list[tuple[Tensor, Tensor]]:
    """(codes [T, F], x [T, D]) of neighbouring unmasked tokens of one document, found token by token."""
    found: list[list[tuple[int, int]]] = []
    for i in range(len(data.x)):
        last = None
        for t in range(data.x.shape[1]):
            if not data.mask[i, t]:
                continue
            if last == t - 1 and t > 0 and data.documents[i, t] == data.documents[i, t - 1]:
                found[-1].append((i, t))
            else:
                found.append([(i, t)])
            last = t
    return [
        (torch.stack([data.codes[i, t] for i, t in ts]).double(), torch.stack([data.x[i, t] for i, t in ts]).double())
        for ts in found
    ]


def _fast_share(f: Tensor) -> float:
    """The energy of a full complex spectrum, frequency by frequency."""
    n = len(f)
    fast = total = 0.0
    for k in range(n):
        angle = -2 * math.pi * k * torch.arange(n, dtype=torch.float64) / n
        energy = float((f * angle.cos()).sum() ** 2 + (f * angle.sin()).sum() ** 2)
        total += energy
        fast += energy if min(k, n - k) / n > 0.25 else 0.0
    return fast / total


def _detail_share(f: Tensor) -> float | None:
    f = f[: len(f) // 8 * 8]
    if not f.any():
        return None
    blocks = f.reshape(-1, 8)
    return float(1 - 8 * blocks.mean(1).square().sum() / f.square().sum())


def _autocorrelation(data: SimpleNamespace, latents: slice = slice(None), n_lags: int = 16) -> list[float]:
    """Lag by lag, pair by pair."""
    every = torch.cat([f for f, _ in _stretches(data)])[:, latents]
    mean = every.mean(0)
    found = []
    for s in range(n_lags):
        signals = [f[:, latents] - mean for f, _ in _stretches(data)]
        products = [float(f[t] @ f[t + s]) for f in signals for t in range(len(f) - s)]
        found.append(sum(products) / len(products))
    return [each / found[0] for each in found]


def _time(r: list[float]) -> float | None:
    """Sokal: the sum up to the first lag that is five times the sum or more."""
    for window in range(1, len(r)):
        time = 1 + 2 * sum(r[1 : window + 1])
        if window >= 5 * time:
            return time
    return None


def _twin(data: SimpleNamespace) -> dict[str, float]:
    tv, level, transitions, shuffled = 0.0, 0.0, 0, 0.0
    per: dict[str, list[float]] = {"lipschitz": [], "fft": [], "wavelet": []}
    lag: dict[tuple[int, str], float] = {(s, kind): 0.0 for s in (1, 8) for kind in ("squares", "sizes", "n")}
    for f, x in _stretches(data):
        for t in range(1, len(f)):
            tv += float((f[t] - f[t - 1]).abs().sum())
            level += float(f[t].abs().sum() + f[t - 1].abs().sum()) / 2
            transitions += 1
        for t in range(len(f)):
            # Of T! orders, each pair of tokens is neighbours in 2 (T-1)!, for each of two transitions a share of 2 / T.
            shuffled += sum(float((f[t] - f[u]).abs().sum()) for u in range(t)) * 2 / len(f)
        for j in range(f.shape[1]):
            if not f[:, j].any():
                continue
            if len(f) > 1:
                per["lipschitz"].append(
                    max(float((f[t, j] - f[t - 1, j]).abs() / (x[t] - x[t - 1]).norm()) for t in range(1, len(f)))
                )
                per["fft"].append(_fast_share(f[:, j]))
            share = _detail_share(f[:, j])
            if share is not None:
                per["wavelet"].append(share)
        for s in (1, 8):
            for t in range(s, len(f) if len(f) > 8 else 0):
                lag[s, "squares"] += float((f[t] - f[t - s]).square().sum())
                lag[s, "sizes"] += float((f[t] - f[t - s]).abs().sum()) / s
                lag[s, "n"] += 1
    means = {f"smoothness_{name}": sum(values) / len(values) for name, values in per.items()}
    near_to_far = {k: (lag[1, k] / lag[1, "n"]) / (lag[8, k] / lag[8, "n"]) for k in ("squares", "sizes")}
    return means | {
        "smoothness_tv": tv / transitions,
        "smoothness_tv_relative": tv / level,
        "smoothness_tv_to_shuffled": tv / shuffled,
        "smoothness_autocorrelation_1": _autocorrelation(data)[1],
        "smoothness_multiscale_variance": near_to_far["squares"],
        "smoothness_multiscale_gradient": near_to_far["sizes"],
    }


def _twin_as_tsae(f: Tensor, x: Tensor) -> dict[str, float]:
    """One context [T, F], as T-SAE's evaluation does it, on dense signals."""
    f = f.T[(f != 0).any(0)]
    power = torch.fft.rfft(f, dim=1).abs().square()
    half = power.shape[1] // 2
    detail, rest = 0.0, f
    for _ in range(3):
        if rest.shape[1] >= 2:
            even, odd = (rest[:, i : rest.shape[1] // 2 * 2 : 2] for i in (0, 1))
            detail, rest = detail + float(((even - odd) / 2).square().sum()), (even + odd) / 2
    lags = [lag for lag in (1, 2, 4, 8) if lag < f.shape[1]]
    change = {lag: f[:, lag:] - f[:, :-lag] for lag in (lags[0], lags[-1])}
    return {
        "tv": float(f.diff(dim=1).abs().sum()),
        "l0": len(f),
        "lipschitz": float((f.diff(dim=1).abs() / x.diff(dim=0).norm(dim=1)).amax(1).mean()),
        "fft": float((power[:, half:].sum(1) / (power[:, :half].sum(1) + 1e-10)).mean()),
        "wavelet": detail / float(rest.square().sum()),
        "multiscale_variance": float(change[lags[0]].var(1).mean() / change[lags[-1]].var(1).mean()),
        "multiscale_gradient": float(change[lags[0]].abs().mean() / (change[lags[-1]].abs().mean() / lags[-1])),
    }


def test_as_tsae_is_what_dense_signals_of_each_context_give(given: SimpleNamespace):
    data = _data(5)
    data.mask[3, 6:] = False  # a context in which not every lag fits
    each = [_twin_as_tsae(data.codes[i][data.mask[i]].double(), data.x[i][data.mask[i]].double()) for i in range(_N)]
    found = _measure(given, data)
    for name in each[0]:
        mean = sum(numbers[name] for numbers in each) / _N
        assert found[f"smoothness_{name}_as_tsae"].value == pytest.approx(mean, rel=1e-9), name


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_metrics_are_what_loops_over_tokens_give(given: SimpleNamespace, batch: int):
    data = _data()
    found = _measure(given, data, batch=batch)
    for name, value in _twin(data).items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name
    assert found["smoothness_tv"].n == sum(len(f) - 1 for f, _ in _stretches(data))
    assert found["smoothness_tv"].n_documents == 11
    assert found["smoothness_tv"].standard_error > 0


def test_parts_are_measured_as_if_alone(given: SimpleNamespace):
    found = _measure(given, _data())
    rows = {(row["part"], row["metric"]): row["value"] for row in found.tables["parts"].to_pylist()}
    low = _data()
    low.codes[..., : _F // 2] = 0
    for name, value in _twin(low).items():
        assert rows["low", name] == pytest.approx(value, rel=1e-9)
        assert rows["all", name] == found[name].value
    assert _measure(given, _data(), part="low")["smoothness_fft"].value == rows["low", "smoothness_fft"]
    assert {part for part, _ in rows} == {"all", "high", "low"}


def _line(codes: list[list[float]], x: list[float], documents: list[int], mask: list[bool]) -> SimpleNamespace:
    return SimpleNamespace(
        codes=torch.tensor([codes]),
        x=torch.tensor([[[v] for v in x]]),
        documents=torch.tensor([documents]),
        mask=torch.tensor([mask]),
    )


def test_total_variation_worked_by_hand(given: SimpleNamespace):
    # Two tokens of document 0, then a masked one, then two of document 1; latents (a, b).
    codes = [[1.0, 0.0], [4.0, 0.0], [9.0, 9.0], [0.0, 2.0], [0.0, 2.0]]
    found = _measure(given, _line(codes, [0.0, 2.0, 9.0, 9.0, 9.0], [0, 0, 0, 1, 1], [True, True, False, True, True]))
    assert found["smoothness_tv"].value == 3 / 2  # 3 from 1 to 4, nothing from 2 to 2
    assert found["smoothness_tv"].n == 2
    assert found["smoothness_tv_relative"].value == 3 / (2.5 + 2)
    assert found["smoothness_lipschitz"].value == 3 / 2  # x does not move in document 1
    assert found["smoothness_lipschitz"].n == 1
    assert found["smoothness_tv_as_tsae"].value == 3 + 6 + 0  # across the border: 4 -> 0 and 0 -> 2
    assert found["smoothness_l0_as_tsae"].value == 2
    assert found["smoothness_wavelet"].value is None


def test_no_number_crosses_a_context(given: SimpleNamespace):
    data = _data()
    data.documents[:] = 0
    data.mask[:] = True
    assert _measure(given, data)["smoothness_tv"].n == _N * (_S - 1)


@pytest.mark.parametrize(
    ("signal", "fast", "detail"),
    [
        ([2.0] * 16, 0.0, 0.0),
        ([1.0, -1.0] * 8, 1.0, 1.0),
        ([1.0, 1.0, -1.0, -1.0] * 4, 0.0, 1.0),  # exactly half the Nyquist frequency counts as slow
        ([1.0] * 8 + [-1.0] * 8, None, 0.0),
    ],
)
def test_spectrum_and_wavelet_of_simple_signals(signal: list[float], fast: float | None, detail: float):
    sums = _one_stretch(torch.tensor([signal], dtype=torch.float64), torch.ones(15, dtype=torch.float64))
    if fast is not None:
        assert sums["fft"] == pytest.approx(fast, abs=1e-12)
    assert sums["wavelet"] == pytest.approx(detail, abs=1e-12)


def test_noise_and_walks_are_told_apart(given: SimpleNamespace):
    noise = torch.randn(5, 400, 7, generator=_gen(0))
    documents = torch.arange(5)[:, None].expand(5, 400)
    data = SimpleNamespace(codes=noise, x=torch.randn(5, 400, 2, generator=_gen(1)), documents=documents, mask=documents >= 0)
    found = _measure(given, data)
    # 14,000 differences: a few percent.
    assert found["smoothness_multiscale_variance"].value == pytest.approx(1, rel=0.05)
    assert found["smoothness_multiscale_gradient"].value == pytest.approx(8, rel=0.05)
    assert found["smoothness_fft"].value == pytest.approx(0.5, rel=0.05)
    data.codes = noise.cumsum(1)
    walk = _measure(given, data)
    assert walk["smoothness_multiscale_variance"].value == pytest.approx(1 / 8, rel=0.1)
    assert walk["smoothness_fft"].value < 0.05


def test_relative_variation_does_not_depend_on_the_unit_and_is_at_most_two(given: SimpleNamespace):
    data, large = _data(), _data()
    large.codes = 100 * data.codes
    assert _measure(given, large)["smoothness_tv_relative"].value == pytest.approx(
        _measure(given, data)["smoothness_tv_relative"].value, rel=1e-6
    )
    data.codes = torch.eye(_S)[None].expand(_N, _S, _S).clone()
    assert _measure(given, data)["smoothness_tv_relative"].value == 2.0


def test_what_does_not_exist_has_its_reason(given: SimpleNamespace):
    data = _data()
    data.codes[:] = 0
    found = _measure(given, data, as_tsae=False)
    assert found["smoothness_tv"].value == 0.0
    assert (
        found["smoothness_tv_relative"].why_missing
        == "no latent fires at two unmasked tokens that follow one another, or on either"
    )
    assert found["smoothness_tv_as_tsae"].why_missing == "as_tsae is off"
    data.mask[:] = False
    assert _measure(given, data)["smoothness_tv"].why_missing == "the source holds no unmasked token"
    assert [m.name for m in found.metrics] == [d.name for d in Smoothness.definitions()]
    with pytest.raises(ConfigError, match="n_replicates must be at least 2, not 1"):
        Smoothness.Config(n_replicates=1)


def test_codes_of_several_sites_are_pooled(given: SimpleNamespace):
    sites = (Site.parse("resid_post.0"), Site.parse("resid_post.1"))
    one, two = _data(1), _data(2)
    two.mask, two.documents = one.mask, one.documents
    codes = torch.stack([one.codes, two.codes], dim=2)[one.mask]
    source = TensorSource({sites[0]: one.x, sites[1]: two.x}, mask=one.mask, documents=one.documents)
    sae = given.LayersSae([(codes, torch.empty(0))], n_latents=_F)
    found = Smoothness(Smoothness.Config(n_replicates=2, fvu=False)).run(
        EvalSubject(name="two", sae=sae, sites=sites, source=source)
    )
    alone = [_twin(one)["smoothness_tv"], _twin(two)["smoothness_tv"]]
    assert found["smoothness_tv"].value == pytest.approx(sum(alone) / 2, rel=1e-9)
    both = [_measure(given, d)["smoothness_lipschitz"] for d in (one, two)]
    mean = sum(m.value * m.n for m in both) / sum(m.n for m in both)
    assert found["smoothness_lipschitz"].value == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize("length", [17, 7])
@pytest.mark.parametrize(("part", "latents"), [("tot", slice(None)), ("high", slice(6)), ("low", slice(6, None))])
def test_as_tsae_on_given_codes(shared: Path, length: int, part: str, latents: slice):
    v = load_file(shared / "vectors" / "tsae.safetensors")
    codes, x = v[f"metrics.T{length}.codes"][:, latents].double(), v[f"metrics.T{length}.x"].double()
    found = _one_stretch(codes.T, x.diff(dim=0).norm(dim=1), as_tsae=True)
    for name in ("tv", "lipschitz", "fft", "wavelet", "multiscale_variance", "multiscale_gradient"):
        key = f"metrics.T{length}.{name}_{part}"
        if key in v:
            assert found[f"tsae_{name}"] == pytest.approx(float(v[key]), **_FLOAT32), name
    if (length, part) == (17, "tot"):
        assert found["tsae_tv"] == pytest.approx(float(v["metrics.T17.ungrouped.tv"]), **_FLOAT32)


def test_as_tsae_over_a_run_of_its_evaluate(shared: Path, given: SimpleNamespace):
    v = load_file(shared / "vectors" / "tsae.safetensors")
    x = torch.stack([v["evaluate.x0"], v["evaluate.x1"]])
    codes = ((x - v["b_dec"]) @ v["W_enc"] + v["b_enc"]).relu()
    codes = codes * (codes > v["evaluate.threshold"])
    is_high = torch.arange(30) < 6
    parts = {"all": codes, "high": codes * is_high, "low": codes * ~is_high}
    answers = [({name: part[i] for name, part in parts.items()}, torch.empty(0)) for i in range(2)]
    subject = EvalSubject(name="t", sae=given.Sae(answers, n_latents=30), sites=(given.SITE,), source=given.source_of(x))
    found = Smoothness(Smoothness.Config(batch_contexts=1, n_replicates=2, fvu=False)).run(subject)
    rows = {(row["part"], row["metric"]): row["value"] for row in found.tables["parts"].to_pylist()}
    theirs = {
        "tv": "smoothness_tv",
        "lipschitz": "lipschitz_cont",
        "fft": "fft",
        "wavelet": "wavelet",
        "multiscale_variance": "multiscale",
    }
    for ours, name in theirs.items():
        for part, ending in (("all", "tot"), ("high", "h"), ("low", "l")):
            if (key := f"evaluate.{name}_{ending}") in v:
                assert rows[part, f"smoothness_{ours}_as_tsae"] == pytest.approx(float(v[key]), **_FLOAT32), key
    assert found["smoothness_l0_as_tsae"].value == float(v["evaluate.sequence_l0"])


@pytest.mark.parametrize("part", ["high", "low"])
def test_what_a_part_explains_as_tsae(shared: Path, given: SimpleNamespace, part: str):
    # T-SAE leaves out the bias here; a constant does not move a centred error.
    v = load_file(shared / "vectors" / "tsae.safetensors")
    is_part = (torch.arange(30) < 6) == (part == "high")
    values = []
    for x in (v["evaluate.x0"], v["evaluate.x1"]):
        codes = ((x - v["b_dec"]) @ v["W_enc"] + v["b_enc"]).relu()
        codes = codes * (codes > v["evaluate.threshold"]) * is_part
        sae = given.Sae([({"all": codes, part: codes}, codes @ v["W_dec"] + v["b_dec"])], n_latents=30)
        subject = EvalSubject(name="t", sae=sae, sites=(given.SITE,), source=given.source_of(x[None]), part=part)
        values.append(Fidelity(Fidelity.Config(n_replicates=2)).run(subject)["ev_centered_error"].value)
    assert sum(values) / 2 == pytest.approx(float(v[f"evaluate.frac_variance_explained_{part}"]), **_FLOAT32)


def _windows(signals: list[list[float]]) -> tuple[float | None, float | None]:
    """Latents per window, and relative to the L0, of latents [A, T]."""
    sums = _one_stretch(torch.tensor(signals, dtype=torch.float64), torch.ones(len(signals[0]) - 1, dtype=torch.float64))
    if not sums["windows"]:
        return None, None
    return sums["window_latents"] / sums["windows"], 32 * sums["window_latents"] / sums["window_firings"]


def test_latents_of_a_sequence_worked_by_hand():
    always, once, behind = [1.0] * 71, [0.0] * 40 + [2.0] + [0.0] * 30, [0.0] * 64 + [1.0] * 7
    assert _windows([always]) == (1.0, 1.0)
    assert _windows([always, once, behind]) == (1.5, 32 * 3 / 65)  # the last 7 tokens are no whole window
    assert _windows([[1.0] * 31]) == (None, None)


@pytest.mark.parametrize(
    ("signal", "ratio"),
    [
        ([3.0, 1.0, 2.0], 3 / 2.0 * 3 / 4),  # 2 + 1 over 2/3 of |3-1| + |3-2| + |1-2|
        ([1.0] * 4 + [0.0] * 4, 1 / (16 * 2 / 8)),  # one step, where 16 of 28 pairs differ
        ([-1.0, 0.0, 2.0, 0.0], 5 / (9 * 2 / 4)),  # pairs: 1 + 3 + 1, 2 + 0, 2
    ],
)
def test_variation_in_random_order_worked_by_hand(signal: list[float], ratio: float):
    sums = _one_stretch(torch.tensor([signal], dtype=torch.float64), torch.ones(len(signal) - 1, dtype=torch.float64))
    pairs = sum(abs(a - b) for i, a in enumerate(signal) for b in signal[:i])
    assert sums["shuffled"] == pytest.approx(2 / len(signal) * pairs)
    assert sums["tv"] / sums["shuffled"] == pytest.approx(ratio)


@settings(max_examples=25)
@of(hnp.arrays(np.float64, (3, 11), elements=st.sampled_from([0.0, 0.0, 1.0, -2.5, 3.25])))
def test_random_order_is_the_mean_over_random_orders_that_all_rotations_and_gaps_give(signals: np.ndarray):
    # Every distance 1 to 10 between tokens, in turn the neighbours: each pair of tokens is met equally often.
    f = torch.from_numpy(signals)
    every = [float((f - f.roll(gap, dims=1)).abs().sum()) * 10 / 11 for gap in range(1, 11)]
    found = _one_stretch(f, torch.ones(10, dtype=torch.float64)).get("shuffled", 0.0)
    assert found == pytest.approx(sum(every) / 10)


def test_neither_measure_of_order_is_fooled_by_density(given: SimpleNamespace):
    # A dense fast latent and a sparse slow one: by relative variation the dense one is the smoother.
    gen = _gen(3)
    dense = (torch.rand(40, 127, generator=gen) < 0.97) * (1 + 0.1 * torch.randn(40, 127, generator=gen))
    sparse = torch.zeros(40, 127)
    for i in range(40):
        sparse[i, (start := 3 * i) : start + 6] = 1.0
    documents = torch.arange(40)[:, None].expand(40, 127)
    x = torch.randn(40, 127, 2, generator=gen)
    found = {
        name: _measure(given, SimpleNamespace(codes=codes[..., None], x=x, documents=documents, mask=documents >= 0))
        for name, codes in {"dense": dense, "sparse": sparse}.items()
    }
    assert found["dense"]["smoothness_tv_relative"].value < found["sparse"]["smoothness_tv_relative"].value
    for name in ("smoothness_tv_to_shuffled", "smoothness_autocorrelation_time"):
        dense_one, sparse_one = found["dense"][name].value, found["sparse"][name].value
        assert dense_one == pytest.approx(1, abs=0.1), name
        assert sparse_one < 0.4 if name == "smoothness_tv_to_shuffled" else sparse_one > 4


def test_autocorrelation_is_what_loops_over_pairs_give(given: SimpleNamespace):
    data = _data(2)
    data.codes[:, :, 5] = 1 + data.codes[:, :, 4]  # always on: by Fourier transform, where others go by pairs
    found = _measure(given, data, n_lags=16)
    curve = found.tables["autocorrelation"].filter(pc.field("part") == "all")["autocorrelation"].to_pylist()
    assert curve == pytest.approx(_autocorrelation(data), rel=1e-9)
    latents = {row["latent"]: row for row in found.tables["latents"].to_pylist() if row["part"] == "all"}
    assert sorted(latents) == [0, 1, 2, *range(4, _F)]
    for j in (0, 5):
        r = _autocorrelation(data, slice(j, j + 1))
        assert latents[j]["autocorrelation_1"] == pytest.approx(r[1], rel=1e-9)
        assert latents[j]["autocorrelation_time"] == (None if _time(r) is None else pytest.approx(_time(r), rel=1e-9))
        assert latents[j]["firings"] == int((data.codes[..., j][data.mask] != 0).sum())


def test_time_of_a_memory_that_fades_by_a_constant_factor():
    r = torch.tensor([[0.8], [0.0], [0.98]], dtype=torch.float64) ** torch.arange(64)
    times = integrated_time(r)
    # (1 + a) / (1 - a) but for what the window cuts off: a^45.
    assert times[:2].tolist() == pytest.approx([9, 1], rel=1e-3)
    assert times[2].isnan()  # about 99 tokens: not within 64 lags
    assert integrated_time(torch.full((5,), torch.nan)).isnan()


def test_replicates_are_paired_and_begin_with_the_value(given: SimpleNamespace):
    data = _data()
    a, b = _measure(given, data), _measure(given, data, part="high")
    assert set(a.replicates) == {m.name for m in a.metrics if m.name != "fvu_alone"}
    for metric in a.metrics:
        if metric.value is not None:
            values = a.replicates[metric.name]
            assert values.shape == (21,)
            assert float(values[0]) == metric.value
            kept = values[1:][values[1:].isfinite()]
            assert metric.standard_error is None or metric.standard_error == pytest.approx(float(kept.std()))
    # Transitions of a part are those of the whole, document by document, so their shares move together.
    low = _measure(given, data, part="low")
    name = "smoothness_tv"
    assert torch.allclose(a.replicates[name], b.replicates[name] + low.replicates[name])


def test_parts_alone_explain_what_their_reconstruction_explains():
    gen = _gen(8)
    sae = Matryoshka(Matryoshka.Config(d_in=_D, n_latents=_F, k=3, group_fractions=(0.3, 0.3, 0.4)))
    source = TensorSource({SITE: torch.randn(_N, _S, _D, generator=gen)})
    for part in (None, "group_0", "group_1+group_2"):
        subject = EvalSubject(name="m", sae=sae, sites=(SITE,), source=source, part=part)
        ours = Smoothness(Smoothness.Config(n_replicates=5, batch_contexts=2)).run(subject)
        theirs = Fidelity(Fidelity.Config(n_replicates=5, batch_contexts=2)).run(subject)
        assert ours["fvu_alone"].value == pytest.approx(theirs["fvu"].value, rel=1e-9)
        assert ours["fvu_alone"].standard_error == pytest.approx(theirs["fvu"].standard_error, rel=1e-9)
        assert ours["smoothness_tv"].value > 0
