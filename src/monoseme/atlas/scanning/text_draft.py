"""Puts the text of a pass into an atlas: as its text store, or, where one is there, as proof that it is the same text."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow.parquet as pq

from monoseme.atlas.text_store import VOCABULARY_FILE, TextStore, TextWriter
from monoseme.core.artifact import Artifact, new_artifact, open_artifact
from monoseme.core.errors import ArtifactExistsError
from monoseme.core.files import sync_folder

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


def add_text(folder: Path, fill: Callable[[TextWriter], None], names: TextNames, *, scratch: Path) -> TextStore:
    """Let `fill` write the text of a pass, and give back the text store of the atlas at `folder`. `scratch`: a folder to work in.

    Raises ArtifactExistsError if the atlas was made from another text; whatever `fill` raises, with nothing left behind.
    """
    path, written = folder / "text", scratch / "text"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(written, ignore_errors=True)
    with (
        new_artifact(written, kind="atlas", config=_SHOWN_CONFIG) as draft,
        TextWriter(draft.folder) as writer,
    ):
        fill(writer)
        writer.finish_vocabulary(names.texts or _numbers, n_vocabulary=names.n_vocabulary)
        writer.finish_documents(names.sources, labels=names.labels)
    if not _moved(written, path):
        _compare(path, written)
    return TextStore(open_artifact(path, kind="atlas"))


def _moved(written: Path, path: Path) -> bool:
    """Whether the text became that of the atlas; False where there is one already, of a scan before or beside this one."""
    try:
        written.rename(path)
    except OSError:
        if not path.is_dir():
            raise
        return False
    sync_folder(path.parent)
    return True


def _compare(path: Path, written: Path) -> None:
    held, passed = open_artifact(path, kind="atlas"), open_artifact(written, kind="atlas")
    is_same = held.content_hash == passed.content_hash or _differs_in_names_of_bytes(held, passed)
    shutil.rmtree(written)
    if not is_same:
        raise ArtifactExistsError(
            f"{path.parent} is an atlas of another text, and all SAEs of an atlas share one.\n"
            "  Scan the same text (corpus, seed, number of tokens), or choose another folder with --out."
        )


def _differs_in_names_of_bytes(held: Artifact, passed: Artifact) -> bool:
    """Whether the texts are the same but for `<0x0A>`, as atlases once showed bytes that are characters."""
    others = [{n: f for n, f in one.manifest["files"].items() if n != VOCABULARY_FILE} for one in (held, passed)]
    before, now = (pq.read_table(one.file(VOCABULARY_FILE)) for one in (held, passed))
    if others[0] != others[1] or not before.drop_columns("text").equals(now.drop_columns("text")):
        return False
    pairs = zip(before["text"].to_pylist(), now["text"].to_pylist(), strict=True)
    return all(old == new or (len(new) == 1 and old == f"<0x{ord(new):02X}>") for old, new in pairs)


def _numbers(ids: Sequence[int]) -> list[str]:
    return [f"[{token}]" for token in ids]
