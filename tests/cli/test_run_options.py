"""Lists on flags of `train` and `run` may be written with commas."""

import sys
from pathlib import Path

import pytest

from monoseme.api import recipe
from monoseme.cli._run_options import parse_run
from monoseme.cli.demo import _how_it_is_typed
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


def test_the_demo_says_how_monoseme_is_typed_where_the_shell_does_not_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "activate").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"source {tmp_path}/bin/activate" in _how_it_is_typed()
    (tmp_path / "monoseme").touch(mode=0o755)
    assert not _how_it_is_typed()
