"""Lists on flags of `train` and `run` may be written with commas."""

from pathlib import Path

import pytest

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
