"""A training run ends with one table."""

import pytest

from monoseme.core.files import read_json
from monoseme.pipeline import RunFolder
from monoseme.pipeline._summary import kernels_line, speed_facts, speed_line, speed_table, training_table
from monoseme.training.seconds import Seconds

_ROWS = [
    {"event": "validation", "sae": "topk", "step": 1, "fvu": 0.9, "l0": 4.0},
    {"event": "validation", "sae": "topk", "step": 2, "fvu": 0.123456, "l0": 4.0},
    {"sae": "topk", "step": 3, "fvu": 0.5},
    {"event": "validation", "sae": "a.longer.name", "step": 2, "fvu": 0.25, "l0": None},
]


def test_the_last_validation_of_each_sae_is_a_line() -> None:
    assert training_table(_ROWS, ["topk", "a.longer.name"]).splitlines() == [
        "SAE               FVU  L0",
        "topk           0.1235   4",
        "a.longer.name    0.25   –",
    ]


def test_without_a_validation_there_is_no_table() -> None:
    assert training_table([{"sae": "topk", "fvu": 0.5}], ["topk"]) == ""


_SPENT = Seconds(reading=1.0, model=8.0, stream=10.0, saes=5.0, validation=3.0, total=20.0)


def test_the_time_is_told_part_by_part_and_as_a_whole() -> None:
    assert speed_table(_SPENT, 10_000).splitlines() == [
        "part                    seconds  share  tokens/s alone",
        "reading and tokenising        1  5%             10,000",
        "model                         8  40%             1,250",
        "shuffling                     1  5%             10,000",
        "SAEs                          5  25%             2,000",
        "validation                    3  15%             3,333",
        "other                         2  10%             5,000",
        "all                          20  100%              500",
    ]


def test_the_facts_hold_the_rates_and_parts_that_add_up() -> None:
    facts = speed_facts(_SPENT, 10_000)
    rates = [facts[f"{name}tokens_per_second"] for name in ("", "model_", "saes_")]
    assert rates == [500.0, 1250.0, 2000.0]
    assert sum(facts["seconds"].values()) == facts["total_seconds"] == 20.0
    assert speed_facts(Seconds(), 0)["tokens_per_second"] is None


def test_a_line_names_the_largest_parts() -> None:
    assert speed_line(speed_facts(_SPENT, 10_000)) == "500 tokens/s (model 40%, SAEs 25%, validation 15%)"


def test_kernels_are_named_once_where_all_saes_had_the_same() -> None:
    assert kernels_line({"a": "numba", "b": "numba"}) == "numba"
    assert kernels_line({"a": "numba", "b": "torch", "c": "numba"}) == "numba (a, c), torch (b)"


def test_a_run_names_its_kernels(run: RunFolder) -> None:
    kernels = run.record()["environment"]["kernels"]
    assert kernels == {name: read_json(run.sae(name) / "manifest.json")["config"]["kernels"] for name in run.sae_names()}


def test_a_run_keeps_its_speed_and_the_report_tells_it(run: RunFolder) -> None:
    speed = run.record()["environment"]["speed"]
    assert speed["model_tokens_per_second"] > speed["tokens_per_second"] > 0
    assert sum(speed["seconds"].values()) == pytest.approx(speed["total_seconds"])
    assert read_json(run.report / "report.json")["facts"]["Training"] == speed_line(speed)
