"""Metrics, results and their artifact: nothing is invented, and everything comes back as it was."""

import math
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from monoseme.core.artifact import check_artifact, new_artifact
from monoseme.core.errors import ArtifactExistsError, ArtifactKindError, ConfigError, UndefinedMetricError
from monoseme.core.files import read_json, write_json
from monoseme.evaluation import (
    EVALUATIONS,
    EvalResult,
    Evaluation,
    Metric,
    metrics_from_json,
    metrics_to_json,
    read_report,
    write_report,
)
from monoseme.evaluation._metric import Definition, measured

_SOME = {"unit": "fraction", "better": "lower", "n": 55, "n_documents": 7, "definition": "Test."}


def _result() -> EvalResult:
    return EvalResult(
        evaluation="fidelity",
        subject="topk",
        metrics=(
            Metric(name="fvu", value=0.25, standard_error=0.01, **_SOME),
            Metric(name="kl", value=None, why_missing="no language model was given", **_SOME),
        ),
        tables={"density": pa.table({"low": [0.0, 0.1], "n_latents": [3, 5]})},
        facts={"site": "resid_post.1", "part": None},
    )


def test_a_metric_has_a_value_or_a_reason_never_both_never_neither():
    with pytest.raises(UndefinedMetricError, match="either a value or the reason"):
        Metric(name="fvu", value=None, **_SOME)
    with pytest.raises(UndefinedMetricError, match="either a value or the reason"):
        Metric(name="fvu", value=0.0, why_missing="because", **_SOME)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_metric_is_never_nan(number: float):
    with pytest.raises(UndefinedMetricError, match="needs its reason instead"):
        Metric(name="fvu", value=number, **_SOME)
    with pytest.raises(UndefinedMetricError, match="needs its reason instead"):
        Metric(name="fvu", value=1.0, standard_error=number, **_SOME)


def test_measured_turns_a_number_that_does_not_exist_into_its_reason():
    definition = Definition(name="fvu", definition="Test.", unit="fraction", better="lower")
    found = measured(definition, math.nan, n=3, n_documents=2, standard_error=0.1, why_missing="constant")
    assert (found.value, found.why_missing, found.standard_error) == (None, "constant", None)
    assert str(found) == "fvu: missing (constant)"


def test_metrics_survive_json():
    metrics = _result().metrics
    assert metrics_from_json(metrics_to_json(metrics)) == metrics
    with pytest.raises(ConfigError, match="metric fvu"):
        metrics_from_json([{"name": "fvu", "value": "high"}])


def test_a_report_comes_back_as_it_was(tmp_path: Path):
    result = _result()
    write_report(result, tmp_path / "fidelity", config={"seed": 0}, inputs={"sae": "sha256:0"}, environment={"seconds_x": 1.5})
    again = read_report(tmp_path / "fidelity")
    assert (again.evaluation, again.subject, again.metrics, again.facts) == ("fidelity", "topk", result.metrics, result.facts)
    assert again.tables["density"].equals(result.tables["density"])
    assert check_artifact(tmp_path / "fidelity") == []
    written = read_json(tmp_path / "fidelity" / "report.json")
    assert written["schema"] == 1
    assert set(written["metrics"][0]) == {
        "name", "value", "why_missing", "unit", "better", "n", "n_documents", "standard_error", "definition",
    }  # fmt: skip


def test_a_report_is_not_overwritten_unless_asked(tmp_path: Path):
    for overwrite in (False, True):
        write_report(_result(), tmp_path / "r", config={}, inputs={}, overwrite=overwrite)
    with pytest.raises(ArtifactExistsError):
        write_report(_result(), tmp_path / "r", config={}, inputs={})


def test_a_report_of_another_sort_is_refused(tmp_path: Path):
    with new_artifact(tmp_path / "run_report", kind="report", config={}) as draft:
        write_json(draft.folder / "report.json", {"schema": 1, "saes": {}})
    with pytest.raises(ArtifactKindError, match="not of an evaluation"):
        read_report(tmp_path / "run_report")


def test_fidelity_is_found_by_its_file_name():
    assert "fidelity" in EVALUATIONS.names()
    cls = EVALUATIONS.get("fidelity")
    assert issubclass(cls, Evaluation)
    assert cls.plugin_name == cls.Config.plugin_name == "fidelity"
    assert all(not name.startswith("_") for name in EVALUATIONS.names())


def test_every_definition_reads_as_a_sentence():
    for definition in EVALUATIONS.get("fidelity").definitions():
        assert definition.definition.endswith("."), definition.name
        assert definition.unit
        assert definition.better in ("higher", "lower", "neither")


def test_listing_evaluations_imports_neither_torch_nor_pyarrow():
    code = (
        "import sys, monoseme.evaluation as e; e.EVALUATIONS.infos(); e.Metric;"
        "print([m for m in ('torch', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
