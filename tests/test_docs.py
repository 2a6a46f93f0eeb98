"""What the documentation shows works: Python is run, commands are parsed, files of settings are read."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from monoseme.cli import explain, score
from monoseme.cli._verbs import document, names
from monoseme.cli.main import _take_kernels
from monoseme.cli.study import _read as read_flags  # pyright: ignore[reportPrivateUsage]
from monoseme.core.errors import UnknownPluginError
from monoseme.core.files import write_json
from monoseme.pipeline import RUN_FILE, RunFolder
from monoseme.studies import STUDIES
from tests.pipeline.conftest import corpus_file, model_folder, run

__all__ = ["corpus_file", "model_folder", "run"]

ROOT = Path(__file__).resolve().parents[1]
ERROR_PAGES = ROOT / "docs" / "errors"
"""Half of what they show fails on purpose: tests/docs/test_errors.py runs them."""
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(page for page in (ROOT / "docs").rglob("*.md") if page.parent != ERROR_PAGES),
    ]
)
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(language: str) -> dict[str, list[str]]:
    found = {
        str(page.relative_to(ROOT)): [b for kind, b in _FENCE.findall(page.read_text()) if kind == language] for page in PAGES
    }
    return {page: blocks for page, blocks in found.items() if blocks}


def _commands() -> list[list[str]]:
    lines = [line for blocks in _blocks("sh").values() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("monoseme ")]


_LESS = {"n_tokens=60_000": "n_tokens=4_000", "max_tokens=120_000": "max_tokens=20_000"}
"""What is long for a test and no other way of saying it: counts of tokens."""


def _shortened(block: str) -> str:
    for long, short in _LESS.items():
        block = block.replace(long, short)
    return block


def test_what_is_shortened_stands_in_the_docs() -> None:
    said = "".join(block for blocks in _blocks("python").values() for block in blocks)
    assert [long for long in _LESS if long not in said] == []


@pytest.mark.parametrize("page", _blocks("python"))
def test_python_in_the_docs_runs(
    page: str, run: RunFolder, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(model_folder)
    demo = tmp_path / "runs" / "demo" / "evaluations"  # what examples may take as given
    demo.mkdir(parents=True)
    (demo / "topk").symlink_to(run.path / "evaluations" / "topk.resid_post_0")
    atlas = tmp_path / "runs" / "demo" / "atlas"
    for part in ("latents", "annotations"):
        (atlas / part).mkdir(parents=True)
        (atlas / part / "topk").symlink_to(run.atlas / part / "topk.resid_post_0")
    (atlas / "text").symlink_to(run.atlas / "text")
    _name_it_a_run(demo.parent, run)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "monoseme_docs"}
    for block in _blocks("python")[page]:
        exec(compile(_shortened(block), page, "exec"), scope)


def _name_it_a_run(folder: Path, run: RunFolder) -> None:
    """A record of the one SAE that examples know."""
    (folder / "saes").mkdir()
    (folder / "saes" / "topk").symlink_to(run.path / "saes" / "topk.resid_post_0")
    record = run.record()
    artifacts = {"saes": {"topk": "saes/topk"}, "atlas": "atlas", "evaluations": {"topk": {}}}
    write_json(folder / RUN_FILE, {**record, "artifacts": artifacts, "jobs": {"topk": record["jobs"]["topk.resid_post_0"]}})


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_a_command_in_the_docs_exists_with_its_options(words: list[str]) -> None:
    verb, (_, rest) = words[0], _take_kernels(words[1:])
    assert verb in names()
    flags = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--json", "--quiet"}
    if verb in ("train", "run", "demo"):
        _parse(verb, rest)
    elif verb == "study" and rest and rest[-1] not in ("--help", "--resume"):
        read_flags(rest[0], STUDIES.get(rest[0]), rest[1:])  # a wrong flag ends the program
    elif verb in ("explain", "score") and "--help" not in rest:
        {"explain": explain, "score": score}[verb].read_flags(rest)
    else:
        pages = [ROOT / "docs" / "verbs" / f"{verb}.md", ROOT / "docs" / "reference" / "flags" / f"{verb}.md"]
        if verb == "plan":  # takes the flags of what it plans
            flags = {flag for flag in flags if not flag.startswith("--sae.")}
            pages += [ROOT / "docs" / "reference" / "flags" / f"{planned}.md" for planned in ("run", "capture")]
        known = document(verb) + "".join(page.read_text() for page in pages if page.is_file())
        assert {flag for flag in flags if flag not in known} == set()


def _parse(verb: str, rest: list[str]) -> None:
    """The options are accepted; nothing is run."""
    from monoseme.cli._run_options import parse_run
    from monoseme.presets import preset

    rest = [word for word in rest if word not in ("--no-serve", "mine.toml", "--config")]
    try:
        found = parse_run(rest, verb=verb, summary="", default=preset("demo"), out=Path("runs/x"))
    except UnknownPluginError as error:
        assert "relative" in str(error)  # noqa: PT017 - the architecture that the reader has just written
    else:
        assert found.config.saes


@pytest.mark.parametrize("page", _blocks("toml"))
def test_settings_in_the_docs_are_read(page: str) -> None:
    from monoseme.pipeline import run_config_from_dict

    for block in _blocks("toml")[page]:
        data = tomllib.loads(block)
        if "project" in data:
            assert list(data["project"]["entry-points"]) == ["monoseme.saes"]
        else:
            assert run_config_from_dict(data).saes
