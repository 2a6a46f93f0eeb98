"""Excerpts: real values on every token, two halves that never meet, silence only where the codes say so."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from atlas_fakes import SITE, planted_source
from score_fakes import kept_codes, kept_evidence

from monoseme.atlas import Atlas
from monoseme.atlas.evidence import Evidence
from monoseme.atlas.excerpts import Excerpt, Excerpts
from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.kept_windows import KeptWindows
from monoseme.atlas.pages import Related
from monoseme.atlas.split import is_heldout

KINDS = ("top", "by_decile", "silent", "active", "random", "near_misses")


@pytest.fixture(scope="module")
def excerpts(planted: Atlas) -> Excerpts:
    return Excerpts(kept_evidence(planted))


def _all(excerpts: Excerpts, kind: str, latent: int, *, heldout: bool) -> tuple[Excerpt, ...]:
    length = {} if kind in KINDS[:2] else {"length": 5}  # of 16 tokens at 30 % none would be silent
    return getattr(excerpts, kind)(latent, 7, heldout=heldout, **length)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latent", [0, 1, 3])
def test_every_token_has_the_value_that_the_source_has_there(excerpts: Excerpts, kind: str, latent: int) -> None:
    values = {}
    for block in planted_source().given:
        keys = zip(block.documents[block.mask].tolist(), block.positions[block.mask].tolist(), strict=True)
        values |= dict(zip(keys, block.activations[SITE][block.mask][:, latent].tolist(), strict=True))
    for excerpt in _all(excerpts, kind, latent, heldout=True):
        first = excerpt.position - (excerpt.focus or 0)
        for i, value in enumerate(excerpt.values):
            expected = values.get((excerpt.document, first + i))
            # values around a firing are kept to three digits
            assert value == (None if expected is None else pytest.approx(expected, rel=1e-3))
        assert len(excerpt.texts) == len(excerpt.tokens) == len(excerpt.values)


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_halves_share_no_document(excerpts: Excerpts, kind: str) -> None:
    for latent in (0, 1, 3):
        for heldout in (False, True):
            found = _all(excerpts, kind, latent, heldout=heldout)
            assert found or kind == "near_misses"
            assert (is_heldout(np.array([excerpt.document for excerpt in found], dtype=np.int64)) == heldout).all()


def test_silent_windows_are_silent_and_active_ones_fire(excerpts: Excerpts) -> None:
    assert not any(excerpt.is_active for excerpt in excerpts.silent(3, 20, heldout=True, length=5))
    assert all(excerpt.is_active for excerpt in excerpts.active(3, 20, heldout=True, length=5))
    assert {excerpt.is_active for excerpt in excerpts.random(3, 60, heldout=True, length=5)} == {False, True}
    # a latent that never fires is silent everywhere
    assert len(excerpts.silent(2, 5, heldout=True)) == 5
    assert excerpts.active(2, 5, heldout=True) == excerpts.top(2, 5, heldout=True) == ()


def test_top_excerpts_are_the_strongest_each_of_another_document(excerpts: Excerpts) -> None:
    found = excerpts.top(3, 9, heldout=False)
    values = [excerpt.values[excerpt.focus] for excerpt in found if excerpt.focus is not None]
    assert values == sorted(values, reverse=True)
    assert len({excerpt.document for excerpt in found}) == len(found) == len(values) == 9


def test_each_tenth_gives_as_many_as_asked_for(excerpts: Excerpts) -> None:
    found = excerpts.by_decile(3, 2, heldout=False)
    assert max(Counter(excerpt.decile for excerpt in found).values()) == 2
    deciles = [excerpt.decile for excerpt in found if excerpt.decile is not None]
    assert deciles == sorted(deciles)
    assert len(set(deciles)) >= 9  # values are eighths, so that edges of tenths may meet


def test_same_arguments_same_excerpts_another_seed_others(excerpts: Excerpts) -> None:
    first = excerpts.silent(0, 5, heldout=True, length=5)
    assert excerpts.silent(0, 5, heldout=True, length=5) == first
    assert excerpts.silent(0, 5, heldout=True, length=5, seed=1) != first
    assert excerpts.silent(1, 5, heldout=True, length=5) != first


def test_an_atlas_without_kept_codes_says_so_and_calls_nothing_silent(planted: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Evidence, "kept", None)
    without = Excerpts(planted.evidence("topk"))
    assert without.silent(0, 5, heldout=True) == without.near_misses(0, 5, heldout=True) == ()
    assert "scan again" in str(without.why_no_codes)
    assert len(without.top(0, 5, heldout=True)) == 5


def test_latents_that_write_alike_make_near_misses_too(excerpts: Excerpts, monkeypatch: pytest.MonkeyPatch) -> None:
    by_codes = excerpts.near_misses(0, 3, heldout=True, length=5)
    alike = Related(other=1, n_fired=1, n_other=1, n_together=0, jaccard=0.0, lift=None, correlation=None, cosine=0.999)
    related = SimpleNamespace(of=lambda latent: {"cosine_rank": (alike,)})
    monkeypatch.setattr(excerpts, "_relations", related)
    found = excerpts.near_misses(0, 3, heldout=True, length=5)
    assert found != by_codes
    for excerpt in found:  # latent 1 fires after " the"
        assert " the" in excerpt.texts[:-1]
        assert not excerpt.is_active


def _tiny() -> KeptCodes:
    """Two contexts; document 0 ends in the first, and position 2 of document 1 never reached the SAE."""
    document = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    position = np.array([0, 1, 2, 3, 4, 0, 1, 3, 4, 5, 6, 7])
    context = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
    dense = np.zeros((12, 3), dtype=np.float32)
    dense[[0, 3, 4, 5], 0] = [1.0, 2.0, 3.0, -1.0]
    dense[[0, 3, 4, 9, 10], 1] = [1.0, 1.0, 1.0, 4.0, 8.0]
    dense[[9, 10, 11], 2] = 5.0
    return kept_codes(document, position, context, dense)


def test_windows_cross_no_border_and_leave_short_ends_out() -> None:
    windows = KeptWindows(_tiny(), length=4)
    # 0-4 gives 0-3 and drops the one token 4; then 5-6, 7-8 behind the mask, and 9-11 of the other context
    assert list(zip(windows.first.tolist(), windows.last.tolist(), strict=True)) == [(0, 4), (5, 7), (7, 9), (9, 12)]
    assert windows.strongest(0).tolist() == [2.0, 0.0, 0.0, 0.0]
    assert windows.values(0, 0).tolist() == [1.0, 0.0, 0.0, 2.0]
    assert windows.values(0, 1).tolist() == [0.0, 0.0]  # a negative code is no firing


def test_neighbours_are_those_that_fire_together_and_near_windows_where_they_fire() -> None:
    windows = KeptWindows(_tiny(), length=4)
    # both fire on 3 tokens, 0 on 3 and 1 on 5
    assert windows.neighbours(0) == [(1, pytest.approx(3 / 5))]
    assert windows.neighbours(2) == []
    assert windows.nearness(windows.neighbours(0)).tolist() == pytest.approx([0.6 / 8, 0.0, 0.0, 0.6])
