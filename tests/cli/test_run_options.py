"""Lists on flags of `train` and `run` may be written with commas."""

from pathlib import Path

import pytest

from monoseme.api import recipe
from monoseme.cli._run_options import parse_run
from monoseme.pipeline import RunConfig


@pytest.mark.parametrize(
    "words",
    [
        ["--evaluations", "fidelity,smoothness"],
        ["--evaluations=fidelity,smoothness"],
        ["--evaluations", "fidelity", "smoothness"],
    ],
)
def test_evaluations_may_be_parted_by_commas(words: list[str]) -> None:
    command = parse_run(words, verb="run", summary="", default=RunConfig(), out=Path("runs/a"))
    assert command.config.evaluations == ("fidelity", "smoothness")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["normalized_topk"]),
        (["--start_from", "runs/a@last"], []),
        (["--start_from", "runs/a@last", "--sae", "normalized_topk,relu"], ["normalized_topk", "relu"]),
    ],
)
def test_what_learns_on_takes_the_place_of_a_presets_own(words: list[str], names: list[str]) -> None:
    asked = ["--preset", "llama3_sae_llama_3_2_3b", *words]
    command = parse_run(asked, verb="train", summary="", default=RunConfig(), out=Path("runs/a"))
    assert [config.plugin_name for config in command.config.saes] == names
    made = recipe(
        words[3].split(",") if len(words) > 2 else None,
        config="llama3_sae_llama_3_2_3b",
        settings={"start_from": words[1:2]} if words else None,
    )
    assert made == command.config
