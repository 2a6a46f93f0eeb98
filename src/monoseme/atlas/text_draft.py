"""Puts the text of a pass into an atlas: as its text store, or, where one is there, as proof that it is the same text."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from monoseme.atlas.text_store import TextStore, TextWriter
from monoseme.core.artifact import new_artifact, open_artifact
from monoseme.core.errors import ArtifactExistsError

_SHOWN_CONFIG = {"holds": "text"}


class TextNames(NamedTuple):
    """What a source of blocks does not know: how tokens are written and what the sources are called."""

    texts: Callable[[Sequence[int]], Sequence[str]] | None = None
    """Shows token ids as text, whatever bytes they hold; None asks the model, or shows the number."""
    n_vocabulary: int | None = None
    """Ids in the vocabulary; None asks the model, or takes the largest seen."""
    sources: Mapping[int, str] = {}
    """Names of sources; a source without one is shown as its number."""
    labels: Callable[[int], Mapping[str, str]] | None = None
    """Labels of a document, such as its domain; None for none."""


class NamedText(Protocol):
    """What a token store knows of its text; `monoseme.text.TokenStore` fits."""

    @property
    def source_names(self) -> Sequence[str]:
        """Name of each source by its number."""
        ...

    def document_labels(self, i: int) -> Mapping[str, str]:
        """Labels of document i."""
        ...


def names_of(store: NamedText) -> TextNames:
    """The names of a token store's sources and the labels of its documents."""
    return TextNames(sources=dict(enumerate(store.source_names)), labels=store.document_labels)


def add_text(folder: Path, fill: Callable[[TextWriter], None], names: TextNames) -> TextStore:
    """Let `fill` write the text of a pass, and give back the text store of the atlas at `folder`.

    Raises ArtifactExistsError if the atlas was made from another text; whatever `fill` raises, with nothing left behind.
    """
    path = folder / "text"
    is_new = not path.exists()
    written = path if is_new else folder / "text.compared"
    shutil.rmtree(folder / "text.compared", ignore_errors=True)
    with (
        new_artifact(written, kind="atlas", config=_SHOWN_CONFIG) as draft,
        TextWriter(draft.folder) as writer,
    ):
        fill(writer)
        writer.finish_vocabulary(names.texts or _numbers, n_vocabulary=names.n_vocabulary)
        writer.finish_documents(names.sources, labels=names.labels)
    if not is_new:
        _compare(path, written)
    return TextStore(open_artifact(path, kind="atlas"))


def _compare(path: Path, written: Path) -> None:
    held, passed = open_artifact(path, kind="atlas"), open_artifact(written, kind="atlas")
    is_same = held.content_hash == passed.content_hash
    shutil.rmtree(written)
    if not is_same:
        raise ArtifactExistsError(
            f"{path.parent} is an atlas of another text, and all SAEs of an atlas share one.\n"
            "  Scan the same text (corpus, seed, number of tokens), or choose another folder with --out."
        )


def _numbers(ids: Sequence[int]) -> list[str]:
    return [f"[{token}]" for token in ids]
