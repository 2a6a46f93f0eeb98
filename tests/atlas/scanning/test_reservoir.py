"""Reservoirs keep the same entries whatever the order and the split of what they are offered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.atlas.keys import descending, hash_positions
from monoseme.atlas.scanning.reservoir import Entries, PayloadSpec, Reservoir

N_GROUPS, SIZE = 3, 5
# few distinct keys and documents, so that ties and repeated documents are common; (document, position) pairs are distinct
Row = tuple[int, int, int, int]
rows_strategy = st.lists(
    st.tuples(st.integers(0, N_GROUPS - 1), st.integers(0, 4), st.integers(0, 6), st.integers(0, 8)),
    unique_by=lambda row: (row[0], row[2], row[3]),
    max_size=60,
)


def _entries(rows: list[Row]) -> Entries:
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    payload = {"value": table[:, 1].astype(np.float32)}
    return Entries(table[:, 0], table[:, 1].astype(np.uint64), table[:, 2], table[:, 3], payload)


def _reservoir(*, distinct: bool) -> Reservoir:
    return Reservoir(N_GROUPS, SIZE, distinct_documents=distinct, payload={"value": PayloadSpec("float32")})


def _kept(reservoir: Reservoir) -> list[Row]:
    kept = reservoir.entries()
    assert (kept.payload["value"] == kept.key.astype(np.float32)).all()
    columns = (kept.group.tolist(), kept.key.tolist(), kept.document.tolist(), kept.position.tolist())
    return list(zip(*columns, strict=True))


def _slowly(rows: list[Row], *, distinct: bool) -> list[Row]:
    found: list[Row] = []
    for group in range(N_GROUPS):
        documents: set[int] = set()
        mine: list[Row] = []
        for row in sorted(row for row in rows if row[0] == group):
            if not (distinct and row[2] in documents):
                documents.add(row[2])
                mine.append(row)
        found += mine[:SIZE]
    return found


@given(rows_strategy, st.booleans(), st.randoms(use_true_random=False), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_any_order_and_split_keeps_what_sorting_keeps(rows: list[Row], distinct: bool, random: object, cut: int) -> None:
    shuffled = rows.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = _reservoir(distinct=distinct), _reservoir(distinct=distinct)
    first.offer(_entries(shuffled[:cut]))
    for row in shuffled[cut:]:
        second.offer(_entries([row]))
        second.counts()  # compacts, so that later offers meet a bound
    second.merge(first)
    assert _kept(second) == _slowly(rows, distinct=distinct)


def test_what_cannot_be_kept_is_told_before_it_is_offered() -> None:
    reservoir = _reservoir(distinct=False)
    reservoir.offer(_entries([(0, key, 0, key) for key in range(SIZE + 2)]))
    reservoir.counts()
    entering = reservoir.may_enter(np.array([0, 0, 1]), np.array([SIZE - 1, SIZE, SIZE], dtype=np.uint64))
    assert entering.tolist() == [True, False, True]


def test_larger_values_have_smaller_keys() -> None:
    values = np.array([1e-30, 0.1, 0.1000001, 3.0, 3e38], dtype=np.float32)
    assert (np.diff(descending(values).astype(np.float64)) < 0).all()


@pytest.mark.parametrize("other", [(1, 5, 7), (0, 6, 7), (0, 5, 8)])
def test_the_hash_depends_on_seed_document_and_position(other: tuple[int, int, int]) -> None:
    def hashed(seed: int, document: int, position: int) -> int:
        return int(hash_positions(seed, np.array([document]), np.array([position]))[0])

    assert hashed(0, 5, 7) != hashed(*other)


def test_the_hash_is_the_same_on_every_machine() -> None:
    found = hash_positions(3, np.array([0, 11]), np.array([2, 5]))

    def mixed(word: int) -> int:
        word = (word + 0x9E3779B97F4A7C15) % 2**64
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        return word ^ (word >> 31)

    assert found.tolist() == [mixed(mixed(mixed(3) ^ d) ^ p) for d, p in ((0, 2), (11, 5))]


def test_hashes_spread_evenly() -> None:
    n = 10_000
    found = hash_positions(0, np.zeros(n, dtype=np.int64), np.arange(n)).astype(np.float64) / 2.0**64
    # the mean of n uniforms has a standard deviation of 0.289 / sqrt(n) = 0.003; five of them
    assert abs(found.mean() - 0.5) < 0.015
