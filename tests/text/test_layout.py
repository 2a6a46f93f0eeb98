"""Packing places every token exactly once and mixes only what it may."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.text.layout import Layout, lay_out, permutation, reorder_contexts

lengths_of_sections = st.lists(st.integers(1, 23), min_size=1, max_size=17)
policies = st.sampled_from(["always", "document", "never"])


def _cells(layout: Layout, context_len: int) -> list[list[tuple[int, int] | str | None]]:
    """What stands in each column of each context: (section, token), "bos" or None for padding. Fails on an overlap."""
    rows: list[list[tuple[int, int] | str | None]] = []
    for c in range(layout.n_contexts):
        row: list[tuple[int, int] | str | None] = [None] * context_len
        for s in range(int(layout.bounds[c]), int(layout.bounds[c + 1])):
            column, start, has_bos = int(layout.column[s]), int(layout.start[s]), bool(layout.has_bos[s])
            content = [(int(layout.section[s]), start + t) for t in range(int(layout.length[s]))]
            for i, cell in enumerate(["bos", *content] if has_bos else content):
                assert row[column + i] is None
                row[column + i] = cell
        rows.append(row)
    return rows


@given(lengths=lengths_of_sections, context_len=st.integers(2, 11), bos=policies, alone=st.booleans())
def test_every_token_stands_exactly_once(lengths: list[int], context_len: int, bos: str, alone: bool) -> None:
    order = list(reversed(range(len(lengths))))
    layout = lay_out(lengths, order=order, context_len=context_len, bos=bos, one_per_context=alone)  # pyright: ignore[reportArgumentType]
    cells = [cell for row in _cells(layout, context_len) for cell in row if isinstance(cell, tuple)]
    assert cells == [(section, t) for section in order for t in range(lengths[section])]


@given(lengths=lengths_of_sections, context_len=st.integers(2, 11), bos=policies, alone=st.booleans())
def test_bos_stands_where_the_policy_says(lengths: list[int], context_len: int, bos: str, alone: bool) -> None:
    order = list(range(len(lengths)))
    layout = lay_out(lengths, order=order, context_len=context_len, bos=bos, one_per_context=alone)  # pyright: ignore[reportArgumentType]
    for row in _cells(layout, context_len):
        for column, cell in enumerate(row):
            begins_document = isinstance(cell, tuple) and cell[1] == 0
            begins_context = column == 0 and isinstance(cell, tuple)
            after_bos = column > 0 and row[column - 1] == "bos"
            assert cell != "bos" or column + 1 < context_len
            if isinstance(cell, tuple):
                assert after_bos == ((bos != "never" and begins_document) or (bos == "always" and after_bos))
            if bos == "always":
                assert not begins_context
            if bos == "never":
                assert cell != "bos"


@given(lengths=lengths_of_sections, context_len=st.integers(2, 11), bos=policies)
def test_one_per_context_mixes_no_documents(lengths: list[int], context_len: int, bos: str) -> None:
    layout = lay_out(lengths, order=range(len(lengths)), context_len=context_len, bos=bos, one_per_context=True)  # pyright: ignore[reportArgumentType]
    for row in _cells(layout, context_len):
        assert len({cell[0] for cell in row if isinstance(cell, tuple)}) == 1


@given(lengths=lengths_of_sections, context_len=st.integers(2, 11), bos=policies)
def test_padding_is_at_the_end_only(lengths: list[int], context_len: int, bos: str) -> None:
    layout = lay_out(lengths, order=range(len(lengths)), context_len=context_len, bos=bos, one_per_context=False)  # pyright: ignore[reportArgumentType]
    for c, row in enumerate(_cells(layout, context_len)):
        n_padding = row.count(None)
        assert None not in row[: context_len - n_padding]
        # One column may stay free where a document would begin with a BOS and no room for a token.
        assert n_padding <= (bos != "never") or c == layout.n_contexts - 1


def test_a_case_by_hand() -> None:
    layout = lay_out([3, 4], order=[1, 0], context_len=5, bos="always", one_per_context=False)
    assert _cells(layout, 5) == [
        ["bos", (1, 0), (1, 1), (1, 2), (1, 3)],
        ["bos", (0, 0), (0, 1), (0, 2), None],
    ]


def test_reordered_contexts_keep_their_content() -> None:
    layout = lay_out([7, 5, 11, 2], order=[2, 0, 3, 1], context_len=5, bos="document", one_per_context=False)
    order = permutation(layout.n_contexts, 7, "contexts")
    before, after = _cells(layout, 5), _cells(reorder_contexts(layout, order), 5)
    assert after == [before[i] for i in order]
    assert sorted(order.tolist()) == list(range(layout.n_contexts))


def test_no_sections_give_no_contexts() -> None:
    assert lay_out([], order=[], context_len=5, bos="always", one_per_context=False).n_contexts == 0


@pytest.mark.parametrize("seed", [0, 1])
def test_a_permutation_is_a_pure_function_of_its_names(seed: int) -> None:
    assert np.array_equal(permutation(13, seed, "x", 3), permutation(13, seed, "x", 3))
    assert not np.array_equal(permutation(13, seed, "x", 3), permutation(13, seed, "x", 4))
