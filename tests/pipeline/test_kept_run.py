"""A run of SAEs that were given to it is not trained, nor written over,
nor made in their place; one that trained them says on what."""

from pathlib import Path

import pytest

from monoseme.atlas import open_atlas
from monoseme.cli.main import main
from monoseme.core.files import read_json
from monoseme.pipeline import RunFolder


@pytest.fixture
def words(run: RunFolder, corpus_file: Path) -> list[str]:
    """The SAE of a run on a text, without what `--out` says."""
    name = next(iter(run.record()["artifacts"]["saes"]))
    return [str(run.sae(name)), "--corpus", str(corpus_file), "--context_len", "32", "--evaluations", "smoothness"]


def test_it_is_not_trained_and_not_made_twice(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made"
    assert main(["eval", *words, "--out", str(made)]) == 0
    before = sorted(path.relative_to(made) for path in made.rglob("*"))
    for again, told in (
        (["train", "--out", str(made), "--resume"], "were not trained in it: there is nothing to resume"),
        (["eval", *words, "--out", str(made)], f"is a run already.\n  To measure what it holds:  monoseme eval {made}"),
    ):
        capsys.readouterr()
        assert main(again) == 2
        assert told in capsys.readouterr().err
    assert sorted(path.relative_to(made) for path in made.rglob("*")) == before


@pytest.mark.parametrize(("out", "told"), [("", "--out needs a path"), ("THE SAE", "--out is what is to be measured")])
def test_its_folder_is_a_new_one(words: list[str], capsys: pytest.CaptureFixture[str], out: str, told: str) -> None:
    assert main(["eval", *words, f"--out={words[0] if out else ''}"]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "rm -r" not in said


def test_another_tool_is_told_the_text_and_the_contexts(run: RunFolder, tmp_path: Path) -> None:
    name = next(iter(run.record()["artifacts"]["saes"]))
    assert main(["export", str(run.sae(name)), "--format", "saelens", "--out", str(tmp_path / "theirs")]) == 0
    (told,) = (read_json(path)["metadata"] for path in (tmp_path / "theirs").rglob("cfg.json"))
    corpus = run.record()["config"]["corpus"]
    assert (told["dataset_path"], told["context_size"]) == (Path(corpus["source"]).name, corpus["context_len"])
    assert (told["exclude_special_tokens"], told["prepend_bos"]) == (True, True)  # keep_special is off, as it is by default


def test_saes_of_the_same_settings_are_one_run_that_can_be_scanned(words: list[str], model_folder: Path, tmp_path: Path) -> None:
    made, theirs = tmp_path / "made", tmp_path / "theirs"
    assert main(["export", words[0], "--format", "saelens", "--out", str(theirs)]) == 0
    assert main(["eval", str(theirs), *words, "--model", str(model_folder), "--out", str(made)]) == 0
    assert main(["scan", str(made), "--n_tokens", "600"]) == 0
    assert set(open_atlas(RunFolder(made).atlas).saes()) == {"theirs", Path(words[0]).name}
