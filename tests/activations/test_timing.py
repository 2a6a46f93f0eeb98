"""A stream by itself is timed in parts."""

import pytest

from monoseme.activations import PrefetchSource, SourceSeconds, View, measure_stream
from monoseme.activations.timing import StreamTimes
from monoseme.core.errors import CorpusError, SiteError
from monoseme.models.site import Site
from monoseme.testing.sources import random_source

ONE, TWO = Site.parse("resid_post.0"), Site.parse("mlp_out.1")


def test_at_least_so_many_items_are_given_out_in_whole_batches() -> None:
    times = measure_stream(random_source(sites=(ONE,)), n_items=23, batch_size=7)
    assert times.n_items == 28
    assert times.total > 0
    assert times.items_per_second == pytest.approx(28 / times.total)


def test_the_parts_add_up_to_the_total() -> None:
    times = StreamTimes(n_items=100, total=10.0, reading=1.0, model=7.0, waiting=None)
    assert times.shuffling == pytest.approx(2.0)
    assert StreamTimes(n_items=100, total=10.0, reading=1.0, model=9.5, waiting=4.0).shuffling == pytest.approx(6.0)


def test_blocks_made_ahead_count_as_waiting() -> None:
    times = measure_stream(PrefetchSource(random_source(sites=(ONE,))), n_items=23, batch_size=7)
    assert times.waiting is not None
    assert 0 < times.waiting <= times.total


def test_only_what_comes_after_the_beginning_is_counted() -> None:
    source = random_source(sites=(ONE,))
    source.seconds = SourceSeconds(100.0, 100.0)
    assert measure_stream(source, n_items=7, batch_size=7).model == 0.0


def test_a_view_without_items_is_refused() -> None:
    source = random_source(sites=(ONE,), context_len=1)
    with pytest.raises(CorpusError, match="pairs"):
        measure_stream(source, n_items=7, view=View(name="pairs"))


def test_several_sites_need_the_view_layers() -> None:
    source = random_source(sites=(ONE, TWO))
    with pytest.raises(SiteError, match="takes one site"):
        measure_stream(source, n_items=7)
    assert measure_stream(source, n_items=7, batch_size=7, view=View(name="layers")).n_items == 7
