"""Bad input gives exit code 2 and one message that says what to type; nothing is lost or half-written."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from monoseme.cli.main import main
from monoseme.core.artifact import check_artifact


class Outcome(NamedTuple):
    code: int
    told: str


class Shell:
    """Runs commands in process, in an empty folder."""

    def __init__(self, model: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.base = ["--model", str(model), "--corpus", str(corpus), "--corpus.context_len", "32"]
        self.small = ["--sae.n_latents", "37", "--sae.k", "5", "--train.n_steps", "3", "--train.batch_size", "64"]
        self._capsys = capsys

    def __call__(self, *words: str) -> Outcome:
        self._capsys.readouterr()
        try:
            code = main(words)
        except SystemExit as ended:  # tyro's own refusals
            code = ended.code if isinstance(ended.code, int) else 2
        out, err = self._capsys.readouterr()
        return Outcome(code, out + err)

    def train(self, *words: str) -> Outcome:
        out = [] if "--out" in words else ["--out", "run"]
        sae = [] if "--sae" in words else ["--sae", "topk"]
        return self("train", *self.base, *self.small, *sae, *out, *words)


@pytest.fixture
def shell(
    model_folder: Path,
    corpus_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(model_folder, corpus_file, capsys)


def _refused(outcome: Outcome, *texts: str) -> None:
    assert outcome.code == 2, outcome.told
    assert "Traceback" not in outcome.told
    squeezed = " ".join(outcome.told.split())
    for text in texts:
        assert text in squeezed, outcome.told


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (("--model", "nowhere/model"), ("nowhere/model",)),
        (("--site", "resid_post.7"), ("no resid_post.7", "resid_post.2")),
        (("--site", "resid_pots.1"), ('Did you mean "resid_post"',)),
        (("--sae.k", "38"), ("k is 38", "n_latents = 37")),
        (("--sae.kk", "3"), ("none of topk has this setting",)),
        (("--sae", "topkk"), ('Did you mean "topk"',)),
        (("--train.batch_sise", "3"), ("--train.batch_sise", "--train.batch_size")),
        (("--train.clip_norm", "-1"), ("clip_norm",)),
        (("--config", "none.toml"), ("no config file none.toml",)),
        (("--preset", "dmeo"), ('Did you mean "demo"',)),
        (("--train.trackers", "tensorbord"), ('Did you mean "tensorboard"',)),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_wrong_setting_is_refused_by_name(shell: Shell, words: tuple[str, ...], texts: tuple[str, ...]) -> None:
    _refused(shell.train(*words), *texts)
    assert not Path("run").exists()


def test_a_misspelt_key_in_a_file_is_refused_with_what_was_meant(shell: Shell) -> None:
    Path("a.toml").write_text("[train]\nbatchsize = 3\n")
    _refused(shell.train("--config", "a.toml"), 'config.train has no setting "batchsize"', 'Did you mean "batch_size"')


def test_an_unknown_command_is_refused_with_what_was_meant(shell: Shell) -> None:
    _refused(shell("trian"), 'Did you mean "train"')


@pytest.mark.parametrize("content", ["", "\n\n", '{"text": ""}\n'])
def test_an_empty_corpus_is_refused(shell: Shell, content: str) -> None:
    Path("empty.jsonl").write_text(content)
    _refused(shell.train("--corpus", "empty.jsonl"), "empty.jsonl")
    assert not Path("run/saes").exists()


def test_a_missing_corpus_is_refused(shell: Shell) -> None:
    _refused(shell.train("--corpus", "no/such.jsonl"), "no/such.jsonl")


def test_a_broken_line_is_counted_and_told_or_under_strict_refused(shell: Shell, corpus_file: Path) -> None:
    good = corpus_file.read_text().splitlines()
    Path("broken.jsonl").write_text("\n".join([*good[:2], '{"text": ', *good[2:]]) + "\n")
    _refused(shell.train("--corpus", "broken.jsonl", "--corpus.strict"), "broken.jsonl", "line 3")
    outcome = shell.train("--corpus", "broken.jsonl", "--out", "lenient")
    assert outcome.code == 0, outcome.told
    assert "line 3" in outcome.told


def test_an_existing_folder_is_refused_and_untouched(shell: Shell) -> None:
    Path("run").mkdir()
    Path("run/mine.txt").write_text("mine")
    _refused(shell.train(), "run exists already", "--out")
    assert [p.name for p in Path("run").iterdir()] == ["mine.txt"]


def test_damaged_wrong_and_newer_artifacts_are_told_apart(shell: Shell) -> None:
    assert shell.train().code == 0
    tensors = Path("run/saes/topk/sae.safetensors")
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1])
    _refused(shell("eval", "run"), "bytes instead of")
    tensors.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    _refused(shell("check", "run"), "sae.safetensors", "differs from its checksum")
    tensors.write_bytes(whole)
    manifest = Path("run/saes/topk/manifest.json")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"schema": 99}))
    _refused(shell("eval", "run"), "pip install --upgrade")
    manifest.write_text(json.dumps(content | {"kind": "report"}))
    _refused(shell("eval", "run"), "'sae' is needed")


def test_check_tells_all_that_is_wrong_with_a_run(shell: Shell) -> None:
    assert shell.train("--sae", "topk,batchtopk").code == 0
    Path("run/saes/topk/manifest.json").write_text("{")
    shutil.rmtree("run/saes/batchtopk")
    _refused(shell("check", "run"), "run/saes/topk/manifest.json", "not valid JSON", "run/saes/batchtopk: missing")
    Path("run/run.json").write_text("no json")
    _refused(shell("check", "run"), "run/saes/topk/manifest.json", "run.json is not valid JSON")


def test_a_file_where_a_folder_is_needed_is_told_without_a_traceback(shell: Shell) -> None:
    Path("file").write_text("")
    _refused(shell.train("--out", "file/run"), "cannot use file/run", "Not a directory")
    Path("folder.toml").mkdir()
    _refused(shell.train("--config", "folder.toml"), "cannot use folder.toml", "Is a directory")


def test_a_path_to_type_is_quoted_for_the_shell(shell: Shell) -> None:
    outcome = shell.train("--out", "a b")
    assert outcome.code == 0
    assert "monoseme eval 'a b'" in outcome.told
    _refused(shell.train("--out", "a b"), "rm -r 'a b'")


@pytest.mark.parametrize("words", [("ls",), ("ls", "saes"), ("check", "run"), ("show", "run"), ("eval", "run")])
def test_json_is_one_value_on_the_output(shell: Shell, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert shell.train().code == 0
    assert main([*words, "--json"]) == 0
    json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("verb", ["eval", "scan", "explain", "report", "serve", "check", "show"])
def test_a_path_without_a_run_is_refused(shell: Shell, verb: str) -> None:
    _refused(shell(verb, "nowhere"), "nowhere")
    _refused(shell(verb))
    _refused(shell(verb, "--no-such-flag", "x"))


def test_no_latents_to_explain_is_refused_and_not_taken_for_all(shell: Shell) -> None:
    assert shell.train().code == 0
    _refused(shell("explain", "run", "--most-latents", "0"), "most_latents must be at least 1")


def test_one_sae_of_a_run_can_be_measured_alone(shell: Shell) -> None:
    assert shell.train("--fidelity.max_tokens", "300", "--fidelity.n_replicates", "4").code == 0
    outcome = shell("eval", "run/saes/topk")
    assert outcome.code == 0, outcome.told
    assert "topk: FVU" in outcome.told
    assert not Path("run/evaluations").exists()


def test_a_port_in_use_is_refused(shell: Shell) -> None:
    assert shell.train().code == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        _refused(shell("serve", "run", "--port", str(taken.getsockname()[1])), "in use", "--port")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)], capture_output=True)
    if not done or done.returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_what_was_complete_stays(shell: Shell, small_disk: Path) -> None:
    run = small_disk / "run"
    outcome = shell.train("--sae.n_latents", "200", "--train.checkpoint_every", "1", "--train.keep", "9", "--out", str(run))
    _refused(outcome, "the disk is full")
    for state in run.rglob("state.json"):
        assert json.loads(state.read_text())["files"]
    assert not [path for path in run.rglob("*") if "draft" in path.name]
    for manifest in run.rglob("manifest.json"):
        assert check_artifact(manifest.parent) == []


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    code = "import monoseme.cli.ls as ls; ls.main = lambda words: 1 / 0\nfrom monoseme.cli.main import main; main(['ls'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
