"""`--kernel NAME` is every command's: the SAEs it makes or opens use that set, and their folder says which trained them."""

import json
from pathlib import Path

import pytest

from monoseme.cli.main import main
from monoseme.core.artifact import open_artifact
from monoseme.kernels import default_choice, resolve
from monoseme.saes.topk import TopK


def _train(model: Path, corpus: Path, out: Path, *words: str) -> int:
    small = ["--sae", "topk,jumprelu", "--sae.n_latents", "37", "--train.n_steps", "3", "--train.batch_size", "64"]
    base = ["--model", str(model), "--corpus", str(corpus), "--corpus.context_len", "32", "--train.checkpoint_every", "1"]
    return main(["train", *base, *small, "--out", str(out), "--quiet", *words])


@pytest.mark.parametrize("flag", [("--kernel", "reference"), ("--kernel=reference",)])
def test_training_uses_the_kernels_named_and_writes_them_down(
    model_folder: Path, corpus_file: Path, tmp_path: Path, flag: tuple[str, ...]
) -> None:
    assert _train(model_folder, corpus_file, tmp_path / "a", *flag) == 0
    for sae in (tmp_path / "a" / "saes").iterdir():
        assert open_artifact(sae, kind="sae").config["kernels"] == "reference"
    state = json.loads((tmp_path / "a" / "training" / "checkpoints" / "step_00000003" / "state.json").read_text())
    assert {job["kernel"] for job in state["jobs"].values()} == {"reference"}


def test_without_the_flag_the_folder_names_what_auto_meant(model_folder: Path, corpus_file: Path, tmp_path: Path) -> None:
    assert _train(model_folder, corpus_file, tmp_path / "a") == 0
    assert {open_artifact(sae, kind="sae").config["kernels"] for sae in (tmp_path / "a" / "saes").iterdir()} == {resolve("auto")}


def test_the_flag_reaches_saes_that_a_command_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def pretend(words: list[str]) -> int:
        seen.extend([*words, TopK(TopK.Config(d_in=7, n_latents=11, k=3)).kernel_name])
        return 0

    monkeypatch.setattr("monoseme.cli.eval.main", pretend)
    assert main(["eval", "--kernel", "torch", "runs/a"]) == 0
    assert seen == ["runs/a", "torch"]
    assert default_choice() == "auto"


@pytest.mark.parametrize(
    ("words", "message"), [(["--kernel", "troch"], 'Did you mean "torch"'), (["--kernel"], "--kernel needs a name")]
)
def test_a_wrong_name_is_refused_before_anything_is_done(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["train", "--out", str(tmp_path / "a"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
