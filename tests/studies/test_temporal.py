"""The study of time on a small run, and whether it finds a slow and a fast factor that were planted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.evaluation import EvalSubject
from monoseme.evaluation.smoothness import Smoothness
from monoseme.models import Site
from monoseme.pipeline import RunFolder
from monoseme.saes import SAE, Codes
from monoseme.studies import StudyResult
from monoseme.studies._temporal.figures import density_rows
from monoseme.studies._temporal.findings import findings_of
from monoseme.studies._temporal.measure import OverTime, measure
from monoseme.studies._temporal.tables import baseline_of, difference_rows
from monoseme.studies._workbench import Subject
from monoseme.studies.temporal import Temporal
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.sources import TensorSource

_SITE = Site.parse("resid_post.1")
_SLOW, _FAST, _DENSE = range(6), range(6, 18), 18
"""Latents of the planted codes."""


def _config(run: RunFolder, **settings: Any) -> Temporal.Config:
    return Temporal.Config(sae=(str(run.path),), max_tokens=512, n_replicates=40, **settings)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporal")


@pytest.fixture(scope="module")
def result(studied_run: RunFolder, work: Path) -> StudyResult:
    return Temporal(_config(studied_run)).investigate(work)


def test_every_code_is_measured_and_compared_with_the_first_sae(result: StudyResult) -> None:
    codes = {row["code"] for row in result.tables["overview"]}
    groups = {f"{sae} ({part})" for sae in ("matryoshka", "tsae") for part in ("high", "low")}
    assert codes == {"matryoshka", "mlsae", "tfa", "topk", "tsae", *groups, "tfa (predicted)", "tfa (novel)"}
    pairs = {row["code"]: row["baseline"] for row in result.tables["differences"]}
    assert pairs["tsae (high)"] == "matryoshka (high)"
    assert pairs["tfa (novel)"] == pairs["mlsae"] == "matryoshka"
    assert not [code for code in pairs if code.startswith("matryoshka")]


def test_differences_are_those_of_the_values_and_have_paired_intervals(result: StudyResult) -> None:
    values = {(row["code"], row["metric"]): row for row in result.tables["intervals"]}
    rows = result.tables["differences"]
    for row in rows:
        a, b = values[row["code"], row["metric"]], values[row["baseline"], row["metric"]]
        assert row["difference"] == pytest.approx(a["value"] - b["value"], rel=1e-9, abs=1e-12)
    assert any(row["low"] is not None and row["low"] < row["difference"] < row["high"] for row in rows)
    missing = [row for row in values.values() if row["value"] is None]
    assert all(row["why_missing"] for row in missing)


def test_the_report_has_its_figures_and_every_claim(result: StudyResult) -> None:
    specs = {figure.name: figure.spec() for figure in result.figures}
    assert {"smoothness", "difference_intervals", "autocorrelation_curves", "smoothness_fvu"} <= set(specs)
    for part in ("high group is smoother over time than its low", "of a Matryoshka SAE of the same run", "TFA's predicted"):
        assert [finding.verdict for finding in result.findings if part in finding.claim] != ["not measured"]
    assert all(finding.comparisons for finding in result.findings)


@pytest.mark.usefixtures("result")
def test_a_second_call_measures_nothing_again(studied_run: RunFolder, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Smoothness, "run_many", lambda _, subjects: asked.append(len(subjects)) or [])
    again = Temporal(_config(studied_run)).investigate(work)
    assert asked == [0]
    assert len(again.metrics) == 11


def test_parts_that_no_sae_has_are_told_only_if_they_were_asked_for(studied_run: RunFolder, tmp_path: Path) -> None:
    topk = Temporal.Config(sae=(str(studied_run.sae("topk")),), max_tokens=64, n_replicates=20)
    result = Temporal(topk).investigate(tmp_path)
    assert list(result.metrics) == ["topk"]
    assert result.tables["differences"] == []
    with pytest.raises(ConfigError, match='no SAE has the part "high"'):
        Temporal(Temporal.Config(sae=topk.sae, part=("high",))).investigate(tmp_path)
    with pytest.raises(ConfigError, match="n_replicates"):
        Temporal.Config(n_replicates=1)


class _PlantedSae:
    """Codes that are the activations themselves, in a slow part and a fast one."""

    learns_from = reads = "tokens"
    codes_per_site = False
    roles = SAE.roles
    d_in = n_latents = 19
    parts = ("all", "high", "low", "group_0")

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        is_slow = torch.arange(19) < len(_SLOW)
        parts = {"all": x, "high": x * is_slow, "low": x * ~is_slow, "group_0": x}
        return Codes({name: SparseCodes.from_dense(part) for name, part in parts.items()})

    def encode_contexts(self, x: Tensor, mask: Tensor) -> Codes:
        raise NotImplementedError

    def decode(self, codes: Codes) -> Tensor:
        return codes.dense()


def _planted(n_contexts: int = 40, seq_len: int = 64) -> TensorSource:
    """Slow latents are on for stretches of about 16 tokens, fast ones on one token in ten, the dense fast one nearly always."""
    gen = torch.Generator().manual_seed(0)
    x = torch.zeros(n_contexts, seq_len, 19)
    for j in _SLOW:
        on = torch.rand(n_contexts, generator=gen) < 0.25
        for t in range(seq_len):
            turns = torch.rand(n_contexts, generator=gen)
            on = torch.where(on, turns > 1 / 16, turns < 1 / 48)
            x[:, t, j] = on.float()
    fast = torch.rand(n_contexts, seq_len, len(_FAST), generator=gen) < 0.1
    x[:, :, 6:18] = fast * (0.5 + torch.rand(fast.shape, generator=gen))
    x[:, :, _DENSE] = 2 + 0.2 * torch.randn(n_contexts, seq_len, generator=gen)
    return TensorSource({_SITE: x})


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[OverTime]:
    sae: Any = _PlantedSae()
    source, work = _planted(), tmp_path_factory.mktemp("planted")
    subjects = [
        Subject(f"planted ({word})" if part else "planted", "planted", sae, (_SITE,), part, word)
        for word, part in (("all", None), ("high", "high"), ("low", "low"))
    ]
    evaluated = [EvalSubject(name=s.name, sae=sae, sites=s.sites, source=source, part=s.part) for s in subjects]
    return measure(subjects, evaluated, Smoothness.Config(n_replicates=40, n_lags=33, as_tsae=False), work)


def test_slow_latents_are_found_slow_and_fast_ones_fast(planted: list[OverTime]) -> None:
    rows = {row["latent"]: row for row in planted[0].latents.to_pylist()}
    # On for 16 tokens, off for 48: from token to token 1 - 1/16 - 1/48 is kept.
    memory = 1 - 1 / 16 - 1 / 48
    for j in _SLOW:
        assert rows[j]["autocorrelation_1"] == pytest.approx(memory, abs=0.05)
        assert rows[j]["tv_to_shuffled"] < 0.3
    for j in (*_FAST, _DENSE):
        assert abs(rows[j]["autocorrelation_1"]) < 0.08  # 1.6 standard errors of 2,520 pairs are 0.03
        assert rows[j]["autocorrelation_time"] == pytest.approx(1, abs=0.5)
        assert rows[j]["tv_to_shuffled"] == pytest.approx(1, abs=0.1)


def test_a_dense_fast_latent_is_smooth_by_relative_variation_only(planted: list[OverTime]) -> None:
    rows = {row["latent"]: row for row in planted[0].latents.to_pylist()}
    assert rows[_DENSE]["tv_relative"] < min(rows[j]["tv_relative"] for j in _SLOW) + 0.1
    assert rows[_DENSE]["tv_to_shuffled"] > 2 * max(rows[j]["tv_to_shuffled"] for j in _SLOW)


def test_the_claim_holds_where_order_counts_and_not_where_density_does(planted: list[OverTime]) -> None:
    high_against_low = findings_of(planted)[0]
    held = {c.numbers.split(":")[0]: c.held for c in high_against_low.comparisons}
    assert held == {
        "relative total variation": True,
        "variation to that in random order": True,
        "autocorrelation over 1 token": True,
        "autocorrelation over 32 tokens": False,  # 0.917^32 = 0.06 of a slow latent's memory is left: too little to tell
    }
    whole, _, low = planted
    fast = OverTime(low.subject._replace(word="high"), low.metrics, low.replicates, low.curve, low.latents, low.n_tokens)
    slow = OverTime(low.subject, planted[1].metrics, planted[1].replicates, [], low.latents, low.n_tokens)
    assert not any(c.held for c in findings_of([whole, fast, slow])[0].comparisons)
    assert findings_of([whole])[0].verdict == "not measured"


def test_differences_in_words_name_the_baseline(planted: list[OverTime]) -> None:
    rows = difference_rows(planted, "planted (low)")
    assert {(row["code"], row["baseline"]) for row in rows} == {("planted", "planted (low)"), ("planted (high)", "planted (low)")}
    assert baseline_of(planted[1], planted, None) is None
    with pytest.raises(ConfigError, match=r'"plantd".*Did you mean'):
        difference_rows(planted, "plantd")


def test_replicates_of_two_parts_are_of_the_same_documents(planted: list[OverTime]) -> None:
    whole, high, low = (each.replicates["smoothness_tv"] for each in planted)
    assert np.allclose(whole, high + low)


def test_medians_by_density_leave_out_what_hardly_fires(planted: list[OverTime]) -> None:
    rows = density_rows(planted)
    assert {row["code"] for row in rows} == {"planted"}
    assert sum(row["latents"] for row in rows) == len(_SLOW) + len(_FAST)  # one dense latent is no median
