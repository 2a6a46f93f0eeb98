"""`monoseme export` and `monoseme import PATH --atlas`: flags are the format's settings, and what is lost is told."""

import json
import sys
from pathlib import Path

import pytest

from monoseme.atlas import open_atlas
from monoseme.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "atlas"))

from atlas_fakes import planted_atlas


@pytest.fixture
def atlas(tmp_path: Path) -> Path:
    planted_atlas(tmp_path / "atlas")
    return tmp_path / "atlas"


def test_an_export_goes_out_and_comes_in_again(atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["export", str(atlas), "--format", "neuronpedia", "--out", str(out), "--model_id", "tiny", "--latents", "0-1,3"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["keys"], told["n_latents"]) == ("neuronpedia", ["topk"], 3)
    assert any("no decoder was given" in line for line in told["lost"])
    assert (out / "tiny" / "1-topk" / "source.jsonl").is_file()
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["import", str(out), "--atlas", str(atlas), "--label", "theirs"]) == 0
    assert "theirs, theirs.examples of topk" in capsys.readouterr().out
    assert {said.source for said in open_atlas(atlas).latent("topk", 0).explanations} == {"offline", "theirs"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["export", "ATLAS"], "needs a format"),
        (["export", "ATLAS", "--format", "tsae"], "a new folder"),
        (["export", "ATLAS", "--format", "tsea", "--out", "x"], 'no format is named "tsea". Did you mean "tsae"'),
        (["export", "ATLAS", "--format", "tsae", "--out", "x", "--sae", "topp"], 'Did you mean "topk"'),
        (["export", "ATLAS", "--format", "neuronpedia", "--out", "x", "--vectors"], "needs the SAEs of a run"),
        (["export", "ATLAS", "--format", "tsae", "--out", "x", "--latents", "9"], "no latent 9"),
        (["export", "nowhere", "--format", "delphi", "--out", "x"], "no atlas or run at nowhere"),
        (["export", "nowhere", "--format", "tsae", "--out", "x"], "no SAE, run or checkpoint at nowhere"),
        (["export", "ATLAS", "--format", "tsae", "--out", "x", "--explanations", "detection.offline"], "holds scores"),
        (["import", "nowhere", "--atlas", "ATLAS"], "no file or folder nowhere"),
        (["import", "--atlas", "ATLAS"], "needs a file or a folder"),
    ],
)
def test_what_cannot_be_done_says_what_to_type(
    atlas: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(atlas) if word == "ATLAS" else word for word in words]) == 2
    assert told in capsys.readouterr().err


def test_help_names_the_formats_and_the_settings_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--help"]) == 0
    assert "circuit_tracer" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["export", "--format", "delphi", "--help"])
    assert "--n_splits" in capsys.readouterr().out
