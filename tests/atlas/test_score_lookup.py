"""The table of tokens, by hand: how sure it is of each token, and from where on it says that a latent fires."""

import numpy as np
import pytest
from score_fakes import kept_evidence

from monoseme.atlas import Atlas, Explanation
from monoseme.atlas.excerpts import Excerpt
from monoseme.atlas.score._controls import others_of, versions
from monoseme.atlas.score._items import Item
from monoseme.atlas.score._lookup import TokenLookup, TokenTable, best_threshold

TABLE = TokenTable(np.array([3, 7]), np.array([0.25, 0.75]))


def _item(*tokens: int, fires: bool = True, marked: tuple[int, ...] = (), masked: int | None = None) -> Item:
    values = tuple(None if i == masked else 0.0 for i in range(len(tokens)))
    excerpt = Excerpt(
        document=0,
        position=0,
        source="",
        labels={},
        tokens=tokens,
        texts=("",) * len(tokens),
        values=values,
        focus=None,
        decile=None,
    )
    return Item(excerpt=excerpt, fires=fires, kind="random", marked=marked)


def test_an_excerpt_is_as_sure_as_its_surest_token() -> None:
    assert TABLE.strength(_item(1, 3, 9)) == 0.25
    assert TABLE.strength(_item(7, 3)) == 0.75
    assert TABLE.strength(_item(7, 3, masked=0)) == 0.25
    assert TABLE.strength(_item(1, 9)) == 0.0
    assert TABLE.strength(_item(7, 3, 1, marked=(0, 2))) == 0.375
    assert TokenTable(np.empty(0, dtype=np.int64), np.empty(0)).strength(_item(7)) == 0.0


def test_the_threshold_parts_the_explaining_excerpts_best() -> None:
    # from 0.75: 1 of 2 firing, none of 3 others; from 0.25: 2 of 2 firing, 1 of 3 others, which is better
    items = [_item(7), _item(3), _item(3, fires=False), _item(1, fires=False), _item(2, fires=False)]
    assert best_threshold(TABLE, items) == 0.25
    assert best_threshold(TABLE, [*items, _item(3, fires=False), _item(3, fires=False)]) == 0.75
    assert best_threshold(TABLE, items[:2]) == 0.5


def test_a_table_is_counted_on_the_explaining_half(planted: Atlas) -> None:
    evidence = kept_evidence(planted)
    table = TokenLookup(evidence).table(0)
    assert table.tokens.tolist() == [2]
    background = evidence.background(heldout=False)
    n_silent = len(background.document) - len(evidence.fires_in_background(0, heldout=False))
    density = float(evidence.densities[0])
    misses = (1 - density) * 0.5 / (n_silent + 1)
    assert table.precision[0] == pytest.approx(density / (density + misses))
    assert not len(TokenLookup(evidence).table(2).tokens)


def test_another_explanation_says_something_else_of_another_latent() -> None:
    said = [Explanation(latent=i, text=text) for i, text in enumerate(["a", "a", "b", None, "a"])]
    others = others_of(said, seed=0, scorer="x", is_told=lambda explanation: explanation.text)
    for own, other in zip(said, others, strict=True):
        assert other is not None
        assert other.latent != own.latent
        assert other.text not in (None, own.text)
    assert others_of(said[:2], seed=0, scorer="x", is_told=lambda explanation: explanation.text) == [None, None]


def test_controls_are_another_explanation_and_none() -> None:
    own, other = Explanation(latent=0, text="a"), Explanation(latent=5, text="b")
    assert versions(own, other, with_controls=True) == [("own", "a", 0), ("other", "b", 5), ("empty", None, None)]
    assert versions(own, None, with_controls=True) == [("own", "a", 0), ("empty", None, None)]
    assert versions(own, other, with_controls=False) == [("own", "a", 0)]
