"""The statistics of a scan: equal to slow ones, and the same however the text is cut up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from atlas_fakes import SITE, FakeBlock, FakeContextSAE, FakeSAE, random_source
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from monoseme.atlas import LatentState, StateConfig, Target, load_state, merge_states, save_state
from monoseme.atlas.bins import N_BINS, bin_of
from monoseme.atlas.keys import hash_positions
from monoseme.atlas.scanning.feed import Feed, Gathered, block_rows
from monoseme.atlas.text_store import TokenGrid
from monoseme.core.errors import ArtifactDamagedError, ConfigError, UndefinedMetricError
from monoseme.saes import Codes

F = 7
CONFIG = StateConfig(n_top=3, n_spare=0, n_sampled=5, n_counted_documents=6, n_background=11, left=3, right=2, seed=1)
SOURCE = random_source(n_blocks=3, n_contexts=5, seq_len=11, n_latents=F, n_documents=13, seed=2)


def _grid(block: FakeBlock) -> TokenGrid:
    tokens, mask, documents, positions, sources = (column.numpy() for column in block[:5])
    return TokenGrid(tokens, mask, documents, positions, sources)


def _contexts() -> list[FakeBlock]:
    """Every context as a block of its own."""
    return [
        FakeBlock(*(column[i : i + 1] for column in block[:5]), {SITE: block.activations[SITE][i : i + 1]})
        for block in SOURCE.given
        for i in range(len(block.tokens))
    ]


class _State(LatentState):
    """A state that gathers, with nowhere to write."""

    checkpoint = restore = merge = write = LatentState.add


def _feed(sae: FakeSAE, config: StateConfig = CONFIG, *, rows_per_encode: int = 4096) -> Feed:
    gathered = Gathered("t", {"latents": _State(sae.n_latents, config)}, gap=config.gap)
    return Feed(Target("t", sae, (SITE,)), [gathered], rows_per_encode=rows_per_encode)


def _of(feed: Feed) -> LatentState:
    feed.flush()
    state = feed.gathered[0].gatherers["latents"]
    assert isinstance(state, LatentState)
    return state


def _state(blocks: list[FakeBlock], config: StateConfig = CONFIG) -> LatentState:
    feed = _feed(FakeSAE(F), config, rows_per_encode=17)
    for number, block in enumerate(blocks):
        feed.add(number, block.activations, block_rows(_grid(block), gap=config.gap, first_context=100 * number))
    return _of(feed)


def _everything(state: LatentState) -> dict[str, Any]:
    kept: dict[str, Any] = {name: getattr(state, name) for name in ("n_rows", "n_fired", "n_contexts", "histogram", "maximum")}
    for name in ("top", "sample", "documents"):
        entries = getattr(state, name).entries()
        kept |= {f"{name}.{column}": getattr(entries, column) for column in ("group", "key", "document", "position")}
        kept |= {f"{name}.{column}": values for column, values in entries.payload.items()}
    return kept | {f"background.{name}": column for name, column in state.background.kept()._asdict().items()}


def _assert_equal(first: LatentState, second: LatentState) -> None:
    ours, theirs = _everything(first), _everything(second)
    for name in ours:
        assert_array_equal(ours[name], theirs[name], err_msg=name)
    # sums of at most 100 float64 numbers in another order
    assert_allclose(first.mean, second.mean, rtol=1e-13)
    assert_allclose(first.squares, second.squares, rtol=1e-12, atol=1e-12)


def _slow_rows() -> list[tuple[int, int, int, np.ndarray]]:
    """(context, document, position, codes) of every valid token, one by one."""
    rows = []
    for context, block in enumerate(_contexts()):
        for s in range(block.tokens.shape[1]):
            if block.mask[0, s]:
                x = block.activations[SITE][0, s].double().numpy()
                rows.append((context, int(block.documents[0, s]), int(block.positions[0, s]), x))
    return rows


def test_counts_moments_and_histogram_equal_slow_ones() -> None:
    state, rows = _state(list(SOURCE.given)), _slow_rows()
    assert state.n_rows == len(rows)
    for f in range(F):
        values = np.array([x[f] for _, _, _, x in rows if x[f] > 0])
        assert state.n_fired[f] == len(values)
        assert state.n_contexts[f] == len({context for context, _, _, x in rows if x[f] > 0})
        assert state.n_documents()[f] >= 6
        assert state.maximum[f] == values.max()
        assert_allclose([state.mean[f], state.variance[f]], [values.mean(), values.var()], rtol=1e-12)
        assert_array_equal(state.histogram[f], np.bincount(bin_of(values.astype(np.float32)), minlength=N_BINS))


def test_top_examples_are_the_strongest_of_distinct_documents_and_ties_go_to_the_earlier() -> None:
    entries, rows = _state(list(SOURCE.given)).top.entries(), _slow_rows()
    for f in range(F):
        best: dict[int, tuple[float, int, int]] = {}
        for _, document, position, x in rows:
            if x[f] > 0 and (document not in best or (-x[f], position) < (best[document][0], best[document][2])):
                best[document] = (-x[f], document, position)
        mine = entries.pick(entries.group == f)
        found = list(zip(mine.payload["value"].tolist(), mine.document.tolist(), mine.position.tolist(), strict=True))
        assert found == [(-value, document, position) for value, document, position in sorted(best.values())[:3]]


def test_the_sample_is_the_firings_with_the_smallest_hash() -> None:
    entries, rows = _state(list(SOURCE.given)).sample.entries(), _slow_rows()
    for f in range(F):
        fires = [(d, p) for _, d, p, x in rows if x[f] > 0]
        hashed = hash_positions(1, np.array([d for d, _ in fires]), np.array([p for _, p in fires]))
        mine = entries.pick(entries.group == f)
        found = list(zip(mine.document.tolist(), mine.position.tolist(), strict=True))
        assert found == [fires[i] for i in np.argsort(hashed)[:5]]


def test_windows_hold_the_neighbours_of_the_same_context_and_document() -> None:
    state, rows = _state(list(SOURCE.given)), _slow_rows()
    at = {(document, position): (context, x) for context, document, position, x in rows}
    entries = state.sample.entries()
    for i in range(len(entries.key)):
        document, position, f = int(entries.document[i]), int(entries.position[i]), int(entries.group[i])
        context, x = at[document, position]
        for offset in range(-3, 3):
            there = at.get((document, position + offset))
            near = there[1][f] if there is not None and there[0] == context else 0.0
            # a ratio in float16 is good to 2^-11
            assert_allclose(entries.payload["window"][i, offset + 3], near / x[f], rtol=2**-11)


def test_the_background_holds_all_codes_of_the_sampled_tokens() -> None:
    kept, rows = _state(list(SOURCE.given)).background.kept(), _slow_rows()
    hashed = hash_positions(1, np.array([row[1] for row in rows]), np.array([row[2] for row in rows]))
    chosen = [rows[i] for i in np.argsort(hashed)[:11]]
    assert list(zip(kept.document.tolist(), kept.position.tolist(), strict=True)) == [(d, p) for _, d, p, _ in chosen]
    dense = np.zeros((11, F))
    dense[kept.row, kept.latent] = kept.value
    assert_array_equal(dense, np.stack([x for *_, x in chosen]))


@given(st.randoms(use_true_random=False), st.integers(0, 15), st.integers(0, 15))
@settings(max_examples=25, deadline=None)
def test_merged_states_of_any_partition_equal_one_pass(random: object, one: int, two: int) -> None:
    contexts = _contexts()
    random.shuffle(contexts)  # type: ignore[attr-defined]
    low, high = sorted((one, two))
    parts = [_state(contexts[:low]), _state(contexts[low:high]), _state(contexts[high:])]
    merged = merge_states(merge_states(parts[2], parts[0]), parts[1])
    _assert_equal(merged, _state(list(SOURCE.given)))


def test_a_saved_state_goes_on_where_it_was(tmp_path: Path) -> None:
    contexts = _contexts()
    save_state(_state(contexts[:8]), tmp_path / "state.npz")
    loaded = load_state(tmp_path / "state.npz")
    _assert_equal(loaded, _state(contexts[:8]))
    _assert_equal(merge_states(loaded, _state(contexts[8:])), _state(contexts))


def test_a_cut_state_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    save_state(_state(_contexts()[:2]), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ArtifactDamagedError, match="Scan again"):
        load_state(path)


def test_states_that_kept_different_things_do_not_merge() -> None:
    with pytest.raises(ConfigError, match="same settings"):
        merge_states(LatentState(F, CONFIG), LatentState(F, StateConfig()))


def test_documents_are_estimated_beyond_the_exact_count() -> None:
    source = random_source(n_blocks=5, n_contexts=47, seq_len=11, n_latents=2, n_documents=1175, seed=5, sparsity=0.0)
    config = StateConfig(n_counted_documents=101)
    feed = _feed(FakeSAE(2), config)
    for number, block in enumerate(source.given):
        feed.add(number, block.activations, block_rows(_grid(block), gap=config.gap, first_context=100 * number))
    # standard deviation about 1 / sqrt(100) of the count; three of them
    assert_allclose(_of(feed).n_documents(), 1175, rtol=0.3)


def test_negative_codes_are_counted_and_are_no_firings() -> None:
    block = _contexts()[0]
    signed = FakeSAE(F)
    signed.encode = lambda x: Codes({"all": -x.clamp(min=0)})  # type: ignore[method-assign]
    feed = _feed(signed)
    feed.add(0, block.activations, block_rows(_grid(block), gap=CONFIG.gap))
    assert _of(feed).n_fired.sum() == 0
    assert _of(feed).n_negative.sum() == int((block.activations[SITE][block.mask] > 0).sum())


def test_codes_that_are_not_finite_are_refused() -> None:
    block = _contexts()[0]
    x = block.activations[SITE].clone()
    x[0, 3, 2] = torch.inf
    feed = _feed(FakeSAE(F))
    with pytest.raises(UndefinedMetricError, match="t gives codes that are not finite"):
        feed.add(0, {SITE: x}, block_rows(_grid(block), gap=CONFIG.gap))


@pytest.mark.parametrize("rows_per_encode", [1, 30, 4096])
def test_an_sae_that_reads_contexts_is_given_whole_ones(rows_per_encode: int) -> None:
    block = SOURCE.given[0]
    feed = _feed(FakeContextSAE(F), rows_per_encode=rows_per_encode)
    feed.add(0, block.activations, block_rows(_grid(block), gap=CONFIG.gap))
    feed.flush()
    seen = block.activations[SITE] * block.mask[..., None]
    expected = (seen.cummax(1).values[block.mask] > 0).sum(0)
    assert_array_equal(_of(feed).n_fired, expected)
