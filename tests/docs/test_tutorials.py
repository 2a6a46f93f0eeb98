"""The tutorials are followed from their first line to their last, on a tiny model and text."""

import re
import shlex
from pathlib import Path

import pytest

from monoseme.cli.main import main

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "tutorials"
_FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_NOT_RUN = ("serve", "plan")
"""`serve` does not end; `plan` has tests of its own, and times this machine. Nor is a judge asked, and `study steering` needs
latents that mean something, which the tiny model has not."""
_IN_SMALL = {"resid_post.2,resid_post.4": "resid_post.1,resid_post.2"}
"""The tiny model has three blocks."""
_SHORTER = {
    "--train.n_tokens": "2000",
    "--sae.n_latents": "64",
    "--sae.k": "4",
    "--sae.target_l0": "4",
    "--most-latents": "8",
}
_SMALLER = {
    "capture": {"--max_tokens": "20000"},
    "study": {"--l0": "4"},
}
_ALSO = {
    ("study", "card"): (
        "--measure",
        "fidelity,smoothness",
        "--n_tokens",
        "2000",
        "--n_loss_tokens",
        "500",
        "--n_replicates",
        "20",
    ),
    ("study", "architectures"): ("--n_tokens", "2048", "--n_latents", "64", "--n_measured", "1000", "--n_loss_tokens", "500"),
}
_SMALL = ("--train.batch_size", "128", "--fidelity.n_replicates", "8", "--fidelity.max_loss_tokens", "500")
_SMALL_MODEL = ("--model", "models/mine", "--corpus", "notes.jsonl", "--corpus.context_len", "32")


def commands(page: str) -> list[list[str]]:
    """The words of the commands of a page, in order."""
    text = (FOLDER / f"{page}.md").read_text().replace("\\\n", " ")
    lines = [line for block in _FENCE.findall(text) for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("monoseme ")]


def shortened(words: list[str]) -> list[str]:
    """A command as a test can wait for it: fewer tokens and latents, the tiny model and text."""
    shorter = _SHORTER | _SMALLER.get(words[0], {})
    out = [shorter.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    out += _ALSO.get((words[0], words[1]), ())
    if words[0] in ("eval", "scan") and "--corpus" in words:
        out += ["--context_len" if words[0] == "eval" else "--corpus.context_len", "32"]
    if words[0] in ("run", "train", "capture") and "--resume" not in words:
        small = _SMALL if words[0] != "capture" else ()
        model = () if "--model" in words or "--activations" in words else _SMALL_MODEL
        out += [*small, *model]
        if "--model" in words:
            out += ["--corpus.context_len", "32"]
    return [re.sub("^452(?=$|=)", "7", _IN_SMALL.get(word, word)) for word in out]  # latent 452 of the pages


def follow(page: str) -> None:
    """Runs the commands of a page. Fails at the first that does."""
    for words in commands(page):
        if words[0] in _NOT_RUN or "--judge" in words or words[:2] == ["study", "steering"]:
            continue
        assert main(shortened(words)) == 0, shlex.join(words)


@pytest.fixture
def place(tmp_path: Path, model_folder: Path, corpus_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader has: a model and a text."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(model_folder)
    (tmp_path / "notes.jsonl").write_text(corpus_file.read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_first_three_tutorials_are_followed_to_the_end(place: Path) -> None:
    follow("first-sae")
    assert (place / "runs/first/report/index.html").is_file()
    follow("explain-and-score")
    follow("steer")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", ["compare-architectures", "sweep"])
def test_sweeps_are_followed_to_the_end(page: str, place: Path) -> None:
    follow(page)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_somebody_elses_sae_is_imported_and_used(place: Path) -> None:
    words = [
        "--sae",
        "topk",
        "--sae.n_latents",
        "64",
        "--sae.k",
        "4",
        "--site",
        "resid_post.1",
        "--out",
        "made",
        "--train.n_tokens",
        "2000",
    ]
    assert main(["train", *words, *_SMALL, *_SMALL_MODEL]) == 0
    assert main(["export", "made/saes/topk", "--format", "plain", "--out", "theirs"]) == 0
    fingerprints = sorted(path for path in (place / "theirs").rglob("*fingerprint*"))
    assert fingerprints
    fingerprints[0].rename(place / "theirs" / "fingerprint.safetensors")
    follow("import-an-sae")


def test_what_a_test_makes_shorter_stands_in_the_tutorials() -> None:
    said = {word for page in FOLDER.glob("*.md") for words in commands(page.stem) for word in words}
    told = {*_SHORTER, *(flag for flags in _SMALLER.values() for flag in flags), *_IN_SMALL}
    assert [word for word in told if word not in said] == []
