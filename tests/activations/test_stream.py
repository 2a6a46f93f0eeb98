"""Streams give every item once per epoch, in an order that is a pure function, and go on from a cursor with the same bits."""

import itertools
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.activations import (
    Batch,
    Cursor,
    MultiStream,
    StreamCursor,
    StreamRequest,
    View,
    ViewStream,
    measure_mixing,
)
from monoseme.activations.shuffle import DelayShuffle
from monoseme.activations.views import FACTS
from monoseme.core.errors import ConfigError, CorpusError, SiteError, UndefinedMetricError
from monoseme.models.site import Site
from monoseme.tensors.processes import Group
from monoseme.testing.sources import TensorSource, random_source

ONE, TWO = Site.parse("resid_post.0"), Site.parse("resid_post.1")


def _source(n_contexts: int = 11, *, seed: int = 0, contexts_per_block: int = 2) -> TensorSource:
    return random_source(
        sites=(ONE, TWO), n_contexts=n_contexts, context_len=5, width=3, seed=seed, contexts_per_block=contexts_per_block
    )


def _same(left: Batch, right: Batch) -> bool:
    masks = left.mask is right.mask or (left.mask is not None and right.mask is not None and torch.equal(left.mask, right.mask))
    pairs = zip(
        (left.x, left.tokens, left.documents, left.positions),
        (right.x, right.tokens, right.documents, right.positions),
        strict=True,
    )
    return masks and all(torch.equal(a, b) for a, b in pairs)


def _view(name: str) -> View:
    return View(name=name, offset="random")  # pyright: ignore[reportArgumentType]


def _sites(name: str) -> tuple[Site, ...]:
    return (ONE, TWO) if name == "layers" else (ONE,)


views = st.sampled_from(["tokens", "pairs", "contexts", "layers"])


@settings(deadline=None, max_examples=40)
@given(
    name=views, n_contexts=st.integers(2, 11), window=st.integers(1, 5), batch_size=st.integers(1, 13), epochs=st.integers(1, 2)
)
def test_every_item_comes_once_per_epoch(name: str, n_contexts: int, window: int, batch_size: int, epochs: int) -> None:
    source = _source(n_contexts)
    stream = ViewStream(source, _view(name), sites=_sites(name), batch_size=batch_size, window=window, epochs=epochs)
    batches = list(stream)
    assert all(batch.n_items == batch_size for batch in batches[:-1])
    seen = Counter(row for batch in batches for row in batch.tokens.reshape(batch.n_items, -1)[:, 0].tolist())
    block = _source(n_contexts, contexts_per_block=n_contexts).block(0)
    if name == "contexts":
        expected = block.tokens[block.mask.any(dim=1), 0].tolist()
    elif name == "pairs":
        expected = sorted(seen)  # which tokens have an earlier one is tested with the views
    else:
        expected = block.tokens[block.mask].tolist()
    assert seen == Counter(dict.fromkeys(expected, epochs))
    for batch in batches:
        if name != "contexts":
            flat = batch.tokens.reshape(batch.n_items, -1)[:, 0]
            x = batch.x if name == "tokens" else batch.x[:, 0]
            assert torch.equal(x, block.activations[ONE].flatten(0, 1)[flat])


@settings(deadline=None, max_examples=25)
@given(name=views, window=st.integers(1, 5), batch_size=st.integers(1, 13), n_taken=st.integers(0, 40), seed=st.integers(0, 3))
def test_a_cursor_leads_to_the_same_bits(name: str, window: int, batch_size: int, n_taken: int, seed: int) -> None:
    def fresh() -> ViewStream:
        return ViewStream(_source(), _view(name), sites=_sites(name), batch_size=batch_size, window=window, seed=seed)

    whole = fresh()
    list(itertools.islice(whole, n_taken))
    cursor = Cursor(*json.loads(json.dumps(whole.cursor)))
    resumed = fresh()
    resumed.seek(cursor)
    assert resumed.cursor == cursor
    for left, right in itertools.islice(zip(whole, resumed, strict=True), 9):
        assert _same(left, right)
        assert whole.cursor == resumed.cursor


def test_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    def order(seed: int, epochs: int) -> list[int]:
        stream = ViewStream(_source(), View(), sites=[ONE], batch_size=1, seed=seed, epochs=epochs)
        return [int(batch.tokens[0]) for batch in stream]

    twice = order(0, 2)
    half = len(twice) // 2
    assert twice[:half] == order(0, 1)
    assert twice[:half] != twice[half:]
    assert sorted(twice[:half]) == sorted(twice[half:])
    assert order(1, 1) != order(0, 1)


def test_going_back_is_possible_too() -> None:
    stream = ViewStream(_source(), View(), sites=[ONE], batch_size=4)
    first = next(iter(stream))
    list(itertools.islice(stream, 20))
    stream.seek(Cursor())
    assert _same(first, next(iter(stream)))


def test_items_are_held_back_less_than_the_window() -> None:
    window = 3
    source = _source(20)
    shuffle = DelayShuffle(View(), (ONE,), 0, window)
    held = {b: shuffle.draw(source.block(b), 0) for b in range(source.n_blocks)}
    delays: list[int] = []
    for e in range(source.n_blocks + window):
        emission = shuffle.emission(e, 0, held)
        blocks = [] if emission is None else (emission.facts[:, 0, FACTS.token] // 5 // 2).tolist()
        delays += [e - b for b in blocks]
    assert set(delays) == set(range(window))
    # Each delay has a third of the items: about 30 of 90, give or take 4 standard deviations of 4.5.
    assert all(12 < n < 48 for n in Counter(delays).values())


def _requests() -> list[StreamRequest]:
    return [
        StreamRequest(view=View(), sites=(ONE,), batch_size=3),
        StreamRequest(view=_view("pairs"), sites=(TWO,), batch_size=4),
        StreamRequest(view=View(), sites=(ONE,), batch_size=3),
        StreamRequest(view=View(name="contexts"), sites=(ONE,), batch_size=2),
        StreamRequest(view=View(name="layers"), sites=(ONE, TWO), batch_size=2),
    ]


@settings(deadline=None, max_examples=15)
@given(n_taken=st.integers(0, 40), window=st.integers(1, 4), seed=st.integers(0, 2), contexts_per_block=st.integers(1, 8))
def test_a_stream_of_many_views_resumes_to_the_bit(n_taken: int, window: int, seed: int, contexts_per_block: int) -> None:
    whole = MultiStream(_source(contexts_per_block=contexts_per_block), _requests(), seed=seed, window=window)
    list(itertools.islice(whole, n_taken))
    cursor = StreamCursor.from_json(json.loads(json.dumps(whole.cursor.to_json())))
    assert cursor == whole.cursor
    resumed = MultiStream(_source(contexts_per_block=contexts_per_block), _requests(), seed=seed, window=window)
    resumed.seek(cursor)
    assert resumed.cursor == cursor
    for left, right in itertools.islice(zip(whole, resumed, strict=True), 12):
        assert all(_same(a, b) for a, b in zip(left, right, strict=True))
        assert whole.cursor == resumed.cursor
    assert whole.n_dropped == resumed.n_dropped


def test_one_pass_feeds_all_views_and_equal_requests_share() -> None:
    class Counting(TensorSource):
        def block(self, i: int) -> Any:
            asked[i] += 1
            return super().block(i)

    asked: Counter[int] = Counter()

    base = _source()
    source = Counting({site: base._activations[site] for site in base.sites}, contexts_per_block=2)
    for step in MultiStream(source, _requests(), epochs=1):
        assert step[0] is step[2]
        assert [batch.n_items for batch in step] == [3, 4, 3, 2, 2]
    assert asked == Counter(range(source.n_blocks))


def test_surplus_is_dropped_counted_and_never_piles_up() -> None:
    requests = [
        StreamRequest(view=View(name="contexts"), sites=(ONE,), batch_size=2),
        StreamRequest(view=View(), sites=(ONE,), batch_size=1),
    ]
    stream = MultiStream(_source(40), requests, epochs=1)
    n_steps, held = 0, []
    for step in stream:
        n_steps += 1
        held.append(stream._lanes[1].n_items)
        assert step[1].n_items == 1
    assert n_steps == 20
    assert stream.n_dropped[0] == 0
    n_tokens = int(_source(40, contexts_per_block=40).block(0).mask.sum())
    assert stream.n_dropped[1] + n_steps + stream._lanes[1].n_items == n_tokens
    # Two batches are kept; one emission of a block of ten tokens comes on top, twice where the blocks' items gather.
    assert max(held) <= 30


def test_a_last_step_that_is_not_full_is_given_or_left_out() -> None:
    request = StreamRequest(view=View(), sites=(ONE,), batch_size=7)
    n_tokens = int(_source(contexts_per_block=11).block(0).mask.sum())
    sizes = [step[0].n_items for step in MultiStream(_source(), [request], epochs=1, drop_last=False)]
    assert sum(sizes) == n_tokens
    assert [step[0].n_items for step in MultiStream(_source(), [request], epochs=1)] == [7] * (n_tokens // 7)


def test_text_without_items_for_a_view_ends_in_an_error_and_not_in_a_loop() -> None:
    single = TensorSource({ONE: torch.zeros(4, 1, 3)})
    with pytest.raises(CorpusError, match="nothing for the view pairs"):
        next(iter(ViewStream(single, _view("pairs"), batch_size=2)))
    masked = TensorSource({ONE: torch.zeros(4, 5, 3)}, mask=torch.zeros(4, 5, dtype=torch.bool))
    with pytest.raises(CorpusError, match="nothing for the view tokens"):
        next(iter(ViewStream(masked, View(), batch_size=2)))


def test_requests_that_cannot_be_served_are_refused() -> None:
    source = _source()
    with pytest.raises(SiteError, match=r"no resid_post\.9.*(?s:.*)resid_post\.0, resid_post\.1"):
        ViewStream(source, View(), sites=[Site.parse("resid_post.9")], batch_size=2)
    with pytest.raises(SiteError, match="takes one site, not 2"):
        ViewStream(source, View(), batch_size=2)
    with pytest.raises(ConfigError, match="batch_size is 0"):
        ViewStream(source, View(), sites=[ONE], batch_size=0)
    with pytest.raises(ConfigError, match="window and epochs"):
        ViewStream(source, View(), sites=[ONE], batch_size=1, window=0)
    with pytest.raises(ConfigError, match="at least one request"):
        MultiStream(source, [])
    uneven = TensorSource({ONE: torch.zeros(2, 3, 5), TWO: torch.zeros(2, 3, 7)})
    with pytest.raises(SiteError, match="sites of one width"):
        ViewStream(uneven, View(name="layers"), batch_size=2)
    stream = MultiStream(source, _requests())
    with pytest.raises(ConfigError, match="the cursor is of 1 views"):
        stream.seek(StreamCursor(stream.cursor.lanes[:1]))


def test_a_wider_window_mixes_better() -> None:
    # 64 documents of 16 tokens, one context each, 2 contexts in a block; batches of 64.
    source = TensorSource({ONE: torch.zeros(64, 16, 1)}, contexts_per_block=2)

    def measured(window: int) -> Any:
        return measure_mixing(ViewStream(source, View(), batch_size=64, window=window, epochs=1))

    reports = [measured(window) for window in (1, 4, 16)]
    shares = [report.within_batch for report in reports]
    assert shares == sorted(shares, reverse=True)
    # Unmixed, a batch of 64 holds 4 whole documents: 15 of 63 partners are of one's own.
    assert shares[0] == pytest.approx(15 / 63, rel=0.02)
    assert reports[0].perfect == pytest.approx(15 / 1023)
    assert shares[2] < 0.1
    assert reports[2].neighbours < reports[0].neighbours


def test_mixing_by_hand() -> None:
    documents = torch.tensor([1, 1, 2, 1])
    empty = torch.zeros(4)
    report = measure_mixing([Batch(empty, None, documents, documents, documents, (ONE,))])
    assert (report.neighbours, report.within_batch, report.perfect) == (1 / 3, 3 / 6, 3 / 6)
    with pytest.raises(UndefinedMetricError):
        measure_mixing([])


@settings(max_examples=10)
@given(size=st.integers(1, 4), batch_size=st.integers(1, 9), seed=st.integers(0, 2))
def test_ranks_share_every_batch_out_and_stand_at_one_cursor(size: int, batch_size: int, seed: int) -> None:
    requests = [replace(request, batch_size=batch_size) for request in _requests()]
    whole = MultiStream(_source(), requests, seed=seed, epochs=1)
    ranks = [MultiStream(_source(), requests, seed=seed, epochs=1, part=Group(rank=r, size=size)) for r in range(size)]
    for step, *parts in zip(whole, *ranks, strict=True):
        for i, batch in enumerate(step):
            mine = [part[i] for part in parts]
            assert [one.n_items for one in mine] == [
                len(range(*Group(r, size).part_of(batch_size).indices(99))) for r in range(size)
            ]
            masks = [one.mask for one in mine if one.mask is not None]
            joined = Batch(
                torch.cat([one.x for one in mine]),
                torch.cat(masks) if masks else None,
                *(torch.cat([one[at] for one in mine]) for at in (2, 3, 4)),
                sites=batch.sites,
            )
            assert _same(joined, batch)
        assert {rank.cursor for rank in ranks} == {whole.cursor}
    assert {rank.n_dropped for rank in ranks} == {whole.n_dropped}
