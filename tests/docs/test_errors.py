"""Every page of an error shows a message that its wrong code really gives, and right code that works."""

import re
import sys
from pathlib import Path

import pytest

from monoseme.core import errors
from monoseme.core.errors import MonosemeError
from monoseme.saes import SAES
from tests.docs.error_pages import PAGES, blocks, shown

_LIGHT = ("BadRowError", "CorpusError", "DiskFullError", "EmptyCorpusError", "ExtraMissingError")
"""Pages whose code imports no torch; the others are slow together, not each."""


def _gated(*_: object) -> Path:
    """What the hub's client raises for a model whose licence was not accepted."""
    from huggingface_hub.errors import GatedRepoError

    raise GatedRepoError.__new__(GatedRepoError, "401")


@pytest.fixture
def place(tmp_path: Path, corpus_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages take as given: a text, and no package of Google."""
    (tmp_path / "notes.jsonl").write_text(corpus_file.read_text())
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.setattr(SAES, "_added", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def place_of_models(place: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same with a model, and a hub that has only gated models."""
    (place / "models").mkdir()
    (place / "models" / "mine").symlink_to(model_folder)
    monkeypatch.setattr("monoseme.models._loading._hub_file", _gated)
    return place


def _run(block: str, name: str) -> None:
    exec(compile(block, name, "exec"), {"__name__": "monoseme_docs"})


@pytest.mark.filterwarnings("ignore:.*(skipped|broken):UserWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in _LIGHT], ids=lambda page: page.stem)
def test_wrong_code_gives_the_message_shown_and_right_code_works(page: Path, place: Path) -> None:
    _check(page)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*(skipped|broken):UserWarning")
@pytest.mark.parametrize("page", [page for page in PAGES if page.stem not in _LIGHT], ids=lambda page: page.stem)
def test_the_same_of_pages_about_models_and_saes(page: Path, place_of_models: Path) -> None:
    _check(page)


def _check(page: Path) -> None:
    kind = getattr(errors, page.stem)
    found = blocks(page.read_text())
    with pytest.raises(MonosemeError) as caught:
        _run(found.wrong, page.name)
    assert isinstance(caught.value, kind)
    assert type(caught.value) is kind or kind.__subclasses__(), "a class without subclasses is shown by itself"
    assert shown(caught.value) == found.symptom
    _run(found.right, page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_its_class_by_its_own_words(page: Path) -> None:
    text = page.read_text()
    kind = getattr(errors, page.stem)
    assert text.startswith(f"# {page.stem}\n\n{(kind.__doc__ or '').strip().splitlines()[0]}\n")
    assert re.search(rf"Exit code {kind.exit_code}\.", text)
    assert [head for head in ("## Symptom", "## Cause", "## Wrong", "## Right") if f"\n{head}\n" not in text] == []
