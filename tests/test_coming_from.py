"""docs/coming-from: no cell is empty, every name is there, every command runs on tiny inputs."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monoseme.cli._verbs import names as verbs
from monoseme.cli.main import main
from tests.coming_from import HEAD, all_rows, rows_of, small

ROWS = all_rows()
_COMMANDS = sorted({command for row in ROWS for command in row.commands})
_RUNS = {
    "tsae": "--preset tsae_pythia_160m --sae tsae",
    "mlsae": "--preset mlsae_pythia_70m",
    "tfa": "--preset tfa_gemma_2_2b",
    "llama": "--preset llama3_sae_llama_3_2_3b --atlas.sentences both",
    "mine": "--site resid_post.1 --sae topk,batchtopk",
}
_THEIRS = {
    "trainer_0": ("runs/tsae/saes/tsae", "tsae"),
    "saelens": ("runs/mine/saes/topk", "saelens"),
    "dictionary_learning": ("runs/mine/saes/topk", "dictionary_learning"),
    "sparsify": ("runs/mine/saes/topk", "sparsify"),
}


def test_rows_are_found_and_an_empty_cell_is_seen() -> None:
    assert len(ROWS) > 150
    assert len({row.page for row in ROWS}) == 9
    text = "| " + " | ".join(HEAD) + " |\n|---|---|---|---|\n| `a` | b |  | d |\n"
    (row,) = rows_of(text, "x.md")
    assert row.cells == ("`a`", "b", "", "d")


@pytest.mark.parametrize("page", sorted({row.page for row in ROWS}))
def test_no_cell_is_empty_and_each_row_says_what_to_type(page: str) -> None:
    rows = [row for row in ROWS if row.page == page]
    assert [row.cells for row in rows if len(row.cells) != len(HEAD) or not all(row.cells)] == []
    assert [row.cells[0] for row in rows if not row.commands and not row.names] == []


@pytest.mark.parametrize("name", sorted({name for row in ROWS for name in row.names}))
def test_a_python_name_is_there(name: str) -> None:
    """A module, or what a module offers; a method of a class."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for part in parts[n:]:
            found = getattr(found, part)
        return
    raise AssertionError(name)


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_names_a_verb(command: str) -> None:
    assert command.split()[1] in verbs()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with small runs, and their SAEs as other tools keep them."""
    place = tmp_path_factory.mktemp("coming-from")
    before = Path.cwd()
    os.chdir(place)
    try:
        for name, said in _RUNS.items():
            assert main([*small(f"monoseme run {said} --out x", out=f"runs/{name}"), "--quiet"]) == 0
        (place / "runs" / "letters").symlink_to(place / "runs" / "mine")
        for name, (sae, format) in _THEIRS.items():
            assert main(["export", sae, "--format", format, "--out", f"theirs/{name}", "--quiet"]) == 0
        assert (
            main([*small("monoseme capture --site resid_post.1 --max_tokens 2000 --out x", out="stores/gemma"), "--quiet"]) == 0
        )
        (place / "stores" / "llama").symlink_to(place / "stores" / "gemma")
        assert main(["export", "runs/tsae", "--sae", "tsae", "--format", "tsae", "--out", "explained", "--quiet"]) == 0
        yield place
    finally:
        os.chdir(before)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")  # probes of a few hundred tokens do not converge, and scikit-learn says so
@pytest.mark.parametrize("command", _COMMANDS)
def test_a_command_runs(command: str, place: Path, request: pytest.FixtureRequest) -> None:
    words = small(command, out=f"out/{abs(hash(request.node.name))}")
    if "tensorboard" in words:
        pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    if words[0] == "serve":
        _serves(words, place)
        return
    if "--resume" in words:  # there must be something to go on with
        assert main([*(word for word in words if word != "--resume"), "--quiet"]) == 0
    try:
        code = main(words if "--help" in words else [*words, "--quiet"])
    except SystemExit as ended:  # --help ends so
        code = int(ended.code or 0)
    assert code == 0


def _serves(words: list[str], place: Path) -> None:
    """The app says where it listens, and ends when told."""
    asked = [sys.executable, "-m", "monoseme", *words, "--port", "0"]
    with subprocess.Popen(asked, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if "http://" in line:
                break
        server.terminate()  # not SIGINT, which a shell's background jobs ignore until the server listens
        try:
            server.communicate(timeout=60)
        finally:
            server.kill()
    assert "http://" in said
