"""A package of someone else, with one file and an entry point, adds an architecture: installed with pip, it lists and trains."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monoseme.pipeline import open_sae
from tests.tiny_input import corpus_file, model_folder

__all__ = ["corpus_file", "model_folder"]

_PAGE = Path(__file__).resolve().parents[1] / "docs" / "add-an-architecture.md"
_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "relative-saes"
version = "0.1"

[project.entry-points."monoseme.saes"]
relative = "relative_saes.relative:Relative"
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which the architecture of the documentation is installed as a package."""
    source, target = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("site")
    (source / "relative_saes").mkdir()
    (source / "pyproject.toml").write_text(_PYPROJECT)
    (source / "relative_saes" / "__init__.py").touch()
    blocks = re.findall(r"^```python\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (source / "relative_saes" / "relative.py").write_text(blocks[0])
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    return {**os.environ, "PYTHONPATH": str(target)}


def _monoseme(words: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "monoseme", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_with_its_source(installed: dict[str, str]) -> None:
    listed = {info["name"]: info for info in json.loads(_monoseme(["ls", "saes", "--json"], installed))}
    assert listed["relative"]["source"].startswith("relative_saes")
    assert listed["relative"]["summary"] == "Relative: keep each token's latents above a share of its largest one."


def test_it_trains_by_its_name_and_flags_and_opens(
    installed: dict[str, str], model_folder: Path, corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "--model", str(model_folder), "--corpus", str(corpus_file), "--corpus.context_len", "32"]
    words += [
        "--sae",
        "relative",
        "--sae.share",
        "0.4",
        "--sae.n_latents",
        "37",
        "--train.n_steps",
        "8",
        "--train.batch_size",
        "96",
    ]
    words += ["--train.start_tokens", "200", "--train.validation_tokens", "200", "--out", str(tmp_path / "run")]
    _monoseme(words, installed)
    monkeypatch.syspath_prepend(installed["PYTHONPATH"])
    opened = open_sae(str(tmp_path / "run" / "saes" / "relative"))
    assert opened.sae.plugin_name == "relative"
    assert opened.sae.config.share == 0.4
