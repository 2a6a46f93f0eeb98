"""A card says each number with its interval beside what learned nothing, warns where it would mislead, and survives a failure."""

import json
import shutil
from pathlib import Path

import pytest

from monoseme.cli.main import main
from monoseme.core.errors import ConfigError
from monoseme.evaluation import Metric
from monoseme.evaluation.formats import read_saebench
from monoseme.pipeline import RunFolder
from monoseme.studies._card.bench import text_of
from monoseme.studies._card.controls import under_card_names
from monoseme.studies._card.letters import too_weak, without_number
from monoseme.studies._card.lines import Filled, Line, Pick, Value, lines_of, read_filled, value_of, write_filled
from monoseme.studies._card.measures import MEASURES, Measure
from monoseme.studies._card.page import card_rows, columns_of, dots, meaning_rows
from monoseme.studies._card.warnings import warnings_of
from monoseme.studies._controls import COMPONENTS, RANDOM
from monoseme.studies._workbench import SaeStudyConfig, Workbench
from monoseme.studies.card import Card


def _metric(value: float | None, *, name: str = "fvu", error: float | None = 0.1, unit: str = "fraction") -> Metric:
    why = None if value is not None else "no token"
    return Metric(
        name=name,
        value=value,
        why_missing=why,
        unit=unit,
        better="lower",
        n=7,
        n_documents=3,
        standard_error=error,
        definition=".",
    )


def _line(better: str, key: str = "fvu", **values: Value) -> Line:
    return Line(key, key.upper(), better, "What it says.", {name.replace("_", " "): value for name, value in values.items()})  # pyright: ignore


# --- lines ---------------------------------------------------------------------------------------------------------------


def test_an_interval_is_1_96_standard_errors_and_a_fraction_stays_one() -> None:
    assert value_of(_metric(0.5)) == Value(0.5, pytest.approx(0.304), pytest.approx(0.696))  # pyright: ignore
    assert value_of(_metric(0.05)).low == 0.0
    assert value_of(_metric(-0.05)).low == pytest.approx(-0.246)  # a variance explained may be below 0
    assert value_of(_metric(0.05, unit="nats")).low == pytest.approx(-0.146)
    assert value_of(_metric(0.5, error=None)) == Value(0.5)
    assert value_of(_metric(None, error=None)) == Value(None, why_missing="no token")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Value(0.41234, 0.4, 0.42), "0.412 ± 0.012"),
        (Value(20.04), "20.0"),
        (Value(20.04, 19.86, 20.22), "20.0 ± 0.2"),
        (Value(0.57, 0.5696, 0.5704), "0.570 ± <0.001"),
        (Value(20.0, 20.0, 20.0), "20.0"),
        (Value(1985.2), "1,985"),
        (Value(0.00042), "0.0004"),
        (Value(4.2e-5), "4e-05"),
        (Value(-1e-16), "0.000"),
        (Value(None), "–"),
    ],
)
def test_a_value_is_told_in_three_digits(value: Value, told: str) -> None:
    assert str(value) == told


def test_a_line_is_made_of_what_any_dictionary_has_and_survives_a_file(tmp_path: Path) -> None:
    metrics = {"a": [_metric(0.5), _metric(2.0, name="l0")], "PCA": [_metric(None, error=None)]}
    filled = Filled(metrics, ["Mind this."], {"core.json": "{}"})
    write_filled(tmp_path / "f.json", filled)
    kept = read_filled(tmp_path / "f.json")
    assert {name: list(held) for name, held in kept.metrics.items()} == metrics
    assert (kept.notes, kept.files) == (["Mind this."], {"core.json": "{}"})
    lines = lines_of([Pick("none", "?", "?"), Pick("l0", "L0", "?"), Pick("fvu", "FVU", "?")], kept.metrics)
    assert [(line.key, list(line.values)) for line in lines] == [("l0", ["a"]), ("fvu", ["a", "PCA"])]


def test_the_table_has_a_row_for_each_line_and_a_column_for_each_dictionary() -> None:
    lines = [_line("lower", a=Value(0.1)), _line("neither", "l0", random_dictionary=Value(3.0))]
    assert columns_of(lines, ["b", "a"]) == ["b", "a", "random dictionary"]
    first, second = card_rows(lines, ["b", "a"])
    assert first == {"measure": "FVU ↓", "b": "–", "a": "0.100", "random dictionary": "–"}
    assert second["measure"] == "L0"
    assert meaning_rows(lines)[0] == {"measure": "FVU ↓", "what it says": "What it says."}
    figure = dots(lines, ["b", "a"])
    assert figure is not None
    assert "L0" not in json.dumps(figure.spec())  # neither good nor bad
    assert dots(lines[1:], ["a"]) is None


# --- warnings ------------------------------------------------------------------------------------------------------------


def test_an_sae_that_is_not_better_than_a_control_is_named() -> None:
    control = Value(0.3, 0.28, 0.32)
    l0 = _line("neither", "l0", a=Value(20.0), b=Value(14.0), PCA=Value(18.0))
    lines = [l0, _line("lower", a=Value(0.25, 0.23, 0.27), b=Value(0.27, 0.25, 0.29), PCA=control)]
    assert warnings_of(lines, ["a", "b"]) == ["FVU: b is not clearly better than PCA."]  # intervals that meet decide nothing
    higher = [l0, _line("higher", a=Value(0.25), b=Value(0.35), PCA=control)]
    assert warnings_of(higher, ["a", "b"]) == ["FVU: a is not clearly better than PCA."]
    assert warnings_of([_line("neither", a=Value(1.0), PCA=control)], ["a"]) == []
    assert warnings_of([_line("lower", "dead_fraction", a=Value(0.4), PCA=Value(0.0))], ["a"]) == []


def test_only_a_control_of_like_l0_is_said_not_to_be_beaten() -> None:
    lines = [
        _line("neither", "l0", sparse=Value(7.4), dense=Value(64.0), PCA=Value(63.0)),
        _line("lower", sparse=Value(0.5), dense=Value(0.4), PCA=Value(0.3)),
        _line("higher", "top_1_accuracy", sparse=Value(0.6), dense=Value(0.9), PCA=Value(0.7)),
    ]
    fvu, probe, left_out = warnings_of(lines, ["sparse", "dense"])
    assert fvu == "FVU: dense is not clearly better than PCA."
    assert probe == "TOP_1_ACCURACY: sparse is not clearly better than PCA."  # probes see one entry of both
    assert left_out.startswith("No control has an L0 near that of sparse, ")
    assert "(L0: sparse 7.4, PCA 63)" in left_out


def test_without_an_l0_a_control_is_held_against_the_one_sae_that_it_was_made_for() -> None:
    alone = [_line("lower", a=Value(0.4), PCA=Value(0.3))]
    assert warnings_of(alone, ["a"]) == ["FVU: a is not clearly better than PCA."]
    both = [_line("lower", a=Value(0.4), b=Value(0.4), PCA=Value(0.3))]
    assert warnings_of(both, ["a", "b"]) == [
        "Whether the controls are of the L0 of a, b is not known here: measure fidelity too."
    ]


def test_the_name_of_a_studys_own_control_says_its_l0() -> None:
    values = {"a": Value(0.4), "PCA of 64, 7 on": Value(0.3), "PCA of 64, 63 on": Value(0.2)}
    lines = [_line("neither", "l0", a=Value(60.0)), Line("fvu", "FVU", "lower", ".", values)]
    assert warnings_of(lines, ["a"]) == ["FVU: a is not clearly better than PCA of 64, 63 on."]


def test_many_dead_and_many_dense_latents_are_told() -> None:
    lines = [_line("lower", "dead_fraction", a=Value(0.51), b=Value(0.5)), _line("lower", "dense_fraction", b=Value(0.2))]
    assert [text[:3] for text in warnings_of(lines, ["a", "b"])] == ["51%", "20%"]


def test_weak_probes_say_that_absorption_says_nothing() -> None:
    rows = {
        "a": {"probe_f1": 0.41, "k_sparse_f1": 0.9},
        "b": {"probe_f1": 0.9, "k_sparse_f1": 0.6},
        "c": {"probe_f1": None} | {"k_sparse_f1": None},
    }
    assert too_weak(rows, ["a", "b", "c", "d"]) == ["Probe F1 0.41: absorption says nothing of a."]


def test_what_has_no_number_says_why_once_for_all_saes() -> None:
    few = _metric(None, name="absorption_rate", error=None)
    held = {"a": [few], "b": [few, _metric(0.5, name="absorption_fraction")], "PCA": [few]}
    assert without_number(held, ["a", "b"]) == ["No absorption rate: no token."]


def test_controls_of_other_studies_stand_under_the_names_of_the_cards_unless_there_are_several() -> None:
    metrics = {"tsae": [_metric(0.1)], "random of 64, 5 on": [_metric(0.2)], "random latents": [_metric(0.5)]}
    made = under_card_names(metrics | {"PCA of 20, 5 on": [_metric(0.4)], "PCA of 20, 9 on": [_metric(0.3)]})
    assert list(made) == ["tsae", RANDOM, "random latents", "PCA of 20, 5 on", "PCA of 20, 9 on"]
    assert made[RANDOM][0].value == 0.2


def test_documents_are_held_out_only_where_a_run_trained_the_sae(studied_run: RunFolder, tmp_path: Path) -> None:
    own = f"{studied_run.path}/saes/topk"
    moved = tmp_path / "foreign"
    shutil.copytree(own, moved)
    given = tmp_path / "given"
    shutil.copytree(studied_run.path, given)
    record = json.loads((given / "run.json").read_text())
    del record["artifacts"]["training"]  # as in a run that was given its SAEs
    (given / "run.json").write_text(json.dumps(record))

    def told(*saes: str) -> str:
        return text_of(Workbench(SaeStudyConfig(sae=saes)))

    assert told(own) == "documents that their run held out"
    assert told(own, f"{moved}").endswith("that the run of topk set apart (what foreign learned from is not known to this card)")
    assert "held out" not in told(f"{given}/saes/topk")


# --- the study -----------------------------------------------------------------------------------------------------------


def test_a_measure_that_fails_costs_a_sentence_and_the_rest_is_resumed(
    tmp_path: Path, studied_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(_: object) -> Filled:
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setitem(MEASURES, "tpp", Measure(breaks, ()))  # pyright: ignore
    out = tmp_path / "card"
    sizes = ["--n_tokens", "200", "--n_loss_tokens", "60", "--n_replicates", "20", "--measure", "fidelity,tpp"]
    saes = f"{studied_run.path}/saes/topk,{studied_run.path}/saes/mlsae"
    assert main(["study", "card", "--sae", saes, "--out", str(out), *sizes, "--quiet"]) == 0
    page = (out / "report" / "index.md").read_text()
    assert "tpp could not be measured: ZeroDivisionError: nothing to divide by" in page
    assert "| FVU ↓ |" in page
    content = json.loads((out / "report" / "report.json").read_text())
    assert set(content["metrics"]) == {"topk", "mlsae", RANDOM, COMPONENTS}
    (core,) = [name for name in content["files"] if "topk" in name]
    told = read_saebench(out / "report" / core)
    l0 = next(metric["value"] for metric in content["metrics"]["topk"] if metric["name"] == "l0")
    assert told.metrics["sparsity"]["l0"] == pytest.approx(l0)
    assert told.metrics["model_behavior_preservation"]["kl_div_score"] is None

    monkeypatch.setitem(MEASURES, "fidelity", Measure(breaks, MEASURES["fidelity"].picks))  # pyright: ignore
    monkeypatch.setitem(MEASURES, "tpp", Measure(lambda _: Filled({"topk": [_metric(0.3, name="x")]}), [Pick("x", "X", ".")]))  # pyright: ignore
    assert main(["study", "card", "--out", str(out), "--resume", "--quiet"]) == 0
    page = (out / "report" / "index.md").read_text()
    assert "| FVU ↓ |" in page  # kept
    assert "| X ↓ |" in page  # tried again
    assert "could not be measured" not in page


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match='no measure "fidelty"'):
        Card.Config(measure=("fidelty",))
    with pytest.raises(ConfigError, match="n_replicates is 5"):
        Card.Config(n_replicates=5)
