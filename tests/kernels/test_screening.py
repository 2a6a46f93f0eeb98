"""What a screen counts, and who sees it."""

from monoseme.kernels._screening import count, counted


def test_collectors_see_what_happens_inside_them() -> None:
    count(rows=99, uncertified=9, candidates=999)
    with counted() as outer:
        count(rows=5, uncertified=1, candidates=28)
        with counted() as inner:
            count(rows=7, uncertified=0, candidates=11)
    count(rows=99, uncertified=9, candidates=999)
    assert (inner.n_rows, inner.n_uncertified, inner.n_candidates) == (7, 0, 11)
    assert (outer.n_rows, outer.n_uncertified, outer.n_candidates) == (12, 1, 39)
    assert outer.uncertified_fraction == 1 / 12
    assert outer.candidates_per_row == 39 / 11


def test_without_rows_there_are_no_rates() -> None:
    with counted() as screened:
        pass
    assert screened.uncertified_fraction is None
    assert screened.candidates_per_row is None
    count(rows=1, uncertified=1, candidates=0)
    assert screened.candidates_per_row is None
