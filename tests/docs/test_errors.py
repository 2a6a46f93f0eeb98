"""Every page of an error shows a message that its wrong code really gives, and right code that works."""

import re
import sys
from pathlib import Path

import pytest
from huggingface_hub.errors import GatedRepoError

from monoseme.core import errors
from monoseme.core.errors import MonosemeError
from monoseme.models import _loading
from monoseme.saes import SAES
from tests.docs.error_pages import PAGES, blocks, shown
from tests.pipeline.conftest import corpus_file, model_folder

__all__ = ["corpus_file", "model_folder"]


class _Gated(GatedRepoError):
    """What the hub's client raises for a model whose licence was not accepted."""

    def __init__(self) -> None:
        OSError.__init__(self, "401")


def _gated(*_: object) -> Path:
    raise _Gated


@pytest.fixture
def place(tmp_path: Path, model_folder: Path, corpus_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages take as given: a text and a model, no package of Google, and a hub that has only gated models."""
    (tmp_path / "notes.jsonl").write_text(corpus_file.read_text())
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine").symlink_to(model_folder)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.setattr(_loading, "_hub_file", _gated)
    monkeypatch.setattr(SAES, "_added", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(block: str, name: str) -> None:
    exec(compile(block, name, "exec"), {"__name__": "monoseme_docs"})


@pytest.mark.filterwarnings("ignore:.*(skipped|broken):UserWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_wrong_code_gives_the_message_shown_and_right_code_works(page: Path, place: Path) -> None:
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
