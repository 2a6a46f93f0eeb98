"""The text of an atlas: what the model saw, found again by document and position."""

from pathlib import Path

import numpy as np
import pytest
from atlas_fakes import WORDS

from monoseme.atlas import Atlas, TextNames, TextStore
from monoseme.atlas.scanning.text_draft import add_text
from monoseme.atlas.text_store import TextWriter, TokenGrid, clean_text
from monoseme.core.errors import ArtifactDamagedError, ArtifactExistsError


def _grid() -> TokenGrid:
    """Two contexts: the end of document 7 goes on in the second, between them document 9 begins; 0 is a packed BOS."""
    tokens = np.array([[0, 1, 2, 0, 3, 4], [0, 5, 6, 7, 0, 0]])
    documents = np.array([[7, 7, 7, 9, 9, 9], [7, 7, 7, 7, -1, -1]])
    positions = np.array([[-1, 0, 1, -1, 0, 1], [-1, 2, 3, 4, -1, -1]])
    return TokenGrid(tokens, (tokens > 0), documents, positions, np.where(documents >= 0, documents // 8, -1))


def _fill(writer: TextWriter) -> None:
    writer.add(_grid())


@pytest.fixture
def store(tmp_path: Path) -> TextStore:
    names = TextNames(texts=lambda ids: [WORDS[i] for i in ids], n_vocabulary=len(WORDS), sources={0: "one", 1: "two"})
    return add_text(tmp_path / "atlas", _fill, names, scratch=tmp_path / "scratch")


def test_a_window_is_cut_where_the_context_ends(store: TextStore) -> None:
    window = store.window(7, 1, left=5, right=5)
    assert (window.tokens.tolist(), window.mask.tolist(), window.focus) == ([0, 1, 2], [False, True, True], 2)


def test_a_document_that_goes_on_in_the_next_context_is_found_there(store: TextStore) -> None:
    window = store.window(7, 3, left=1, right=1)
    assert (window.tokens.tolist(), window.focus) == ([5, 6, 7], 1)


def test_a_window_is_cut_where_the_document_begins(store: TextStore) -> None:
    assert store.window(9, 0, left=5, right=5).tokens.tolist() == [0, 3, 4]


def test_gather_marks_what_lies_outside_the_segment(store: TextStore) -> None:
    found = store.gather(np.array([7, 9, 7]), np.array([2, 1, 0]), [-1, 0, 1])
    assert found.tolist() == [[-1, 5, 6], [3, 4, -1], [0, 1, 2]]


def test_padding_is_not_stored_and_masked_tokens_are_not_counted(store: TextStore) -> None:
    assert store.n_tokens == 10
    assert store.token_counts.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_where_contexts_begin_is_known(store: TextStore) -> None:
    assert store.context_starts is not None
    assert store.context_starts.tolist() == [0, 6]


def test_sources_have_names(store: TextStore) -> None:
    assert (store.source_of(7, 4), store.source_of(9, 0)) == ("one", "two")


@pytest.mark.parametrize(("document", "position"), [(8, 0), (7, 5), (9, 2), (0, 0), (7, 1000)])
def test_a_position_that_is_not_stored_is_refused(store: TextStore, document: int, position: int) -> None:
    with pytest.raises(ArtifactDamagedError, match=f"no token at document {document}, position {position}"):
        store.window(document, position, left=1, right=1)


def test_the_same_text_is_accepted_again_and_another_is_not(tmp_path: Path, store: TextStore) -> None:
    names = TextNames(texts=lambda ids: [WORDS[i] for i in ids], n_vocabulary=len(WORDS), sources={0: "one", 1: "two"})
    assert add_text(tmp_path / "atlas", _fill, names, scratch=tmp_path / "scratch").content_hash == store.content_hash

    def other(writer: TextWriter) -> None:
        writer.add(_grid()._replace(tokens=_grid().tokens + 1))

    with pytest.raises(ArtifactExistsError, match="atlas of another text"):
        add_text(tmp_path / "atlas", other, names, scratch=tmp_path / "scratch")
    assert sorted(path.name for path in (tmp_path / "atlas").iterdir()) == ["text"]
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize(("before", "is_same"), [("<0x0A>", True), ("<0x0B>", False), ("x", False)])
def test_a_text_whose_line_breaks_were_shown_as_bytes_is_the_same(tmp_path: Path, before: str, *, is_same: bool) -> None:
    """As atlases of tokenizers with byte fallback were written; SAEs scanned later go beside those scanned before."""

    def add(first: str) -> TextStore:
        names = TextNames(texts=lambda ids: [first, *WORDS[1 : len(ids)]], n_vocabulary=len(WORDS), sources={0: "one", 1: "two"})
        return add_text(tmp_path / "old", _fill, names, scratch=tmp_path / "scratch")

    held = add(before)
    if not is_same:
        with pytest.raises(ArtifactExistsError, match="atlas of another text"):
            add("\n")
        return
    again = add("\n")
    assert again.content_hash == held.content_hash
    assert again.token_text(0) == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_nothing_is_left_when_the_pass_fails(tmp_path: Path) -> None:
    def broken(writer: TextWriter) -> None:
        writer.add(_grid())
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        add_text(tmp_path / "fresh", broken, TextNames(), scratch=tmp_path / "scratch")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_only_bytes_that_are_no_text_are_replaced() -> None:
    odd = "<script>alert('x\")</script>\x00\x07\u0085\u202e"
    assert clean_text(odd) == odd
    assert clean_text("a\udc80b") == "a\ufffdb"


def test_markup_and_control_characters_reach_the_page_as_they_are(planted: Atlas) -> None:
    examples = planted.latent("topk", 3).top
    texts = {text for example in examples for text in example.texts}
    assert {"<script>", ' "', "\x07", "\n", "\ufffd"} <= texts
    assert {example.source for example in examples} >= {"stories", '<img src="x">', "2"}
    assert examples[0].labels == {"domain": f"d{examples[0].document % 2}"}
