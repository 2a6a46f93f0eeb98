"""Stored activations are those of the live source, to the bit where float32 was stored, in any order and cut as one likes."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.activations.store.supplies import ONE, TWO, FakeSupply

from monoseme.activations import Block, LiveSource, MultiStream, SinkFilter, StreamCursor, StreamRequest, View, measure_mixing
from monoseme.activations.filters import TokenFilter
from monoseme.activations.store.capture import CapturedInput
from monoseme.activations.store.config import StorageConfig, StoredDtype
from monoseme.activations.store.encode import decode, encode
from monoseme.activations.store.reader import StoredActivations
from monoseme.activations.store.stored_source import StoredSource
from monoseme.activations.store.writer import write_store
from monoseme.core.errors import ConfigError, EmptyCorpusError, SiteError
from monoseme.core.folder import open_folder
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor
from monoseme.testing import tiny_model
from monoseme.testing.store_input import RandomInput
from monoseme.text import CorpusConfig, TokenStore

SMALL = 1 << 11
"""Bytes of a shard: a few blocks."""


def store_of(where: Path | str, supply: FakeSupply | RandomInput | CapturedInput, dtype: StoredDtype = "float32",
             shard_bytes: int = SMALL) -> StoredActivations:  # fmt: skip
    storage = StorageConfig(dtype=dtype, shard_bytes=shard_bytes)
    write_store(open_folder(where), supply, storage, config={"of": "a test"}, inputs={})
    return StoredActivations.open(where)


@pytest.fixture(scope="module")
def padded(tmp_path_factory: pytest.TempPathFactory) -> StoredActivations:
    return store_of(tmp_path_factory.mktemp("padded") / "store", FakeSupply(11, padded=True))


def _contexts(blocks: Sequence[Block], site: Site) -> dict[str, Tensor]:
    """All contexts one after the other; vectors of real tokens only."""
    found = {name: torch.cat([getattr(block, name) for block in blocks]) for name in _TEXT}
    return found | {"x": torch.cat([block.activations[site][block.real] for block in blocks])}


_TEXT = ("tokens", "mask", "real", "documents", "sources", "positions", "roles", "turns")


def _equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one)


def test_a_store_of_the_tiny_model_equals_the_live_source_to_the_bit(tmp_path: Path) -> None:
    corpus = tmp_path / "text.txt"
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "big", "red", "sun", "over", "two", "hills"]
    lines = [" ".join(words[(i * j) % 15] for j in range(5 + i % 17)) for i in range(1, 60)]
    corpus.write_text("\n\n".join(lines))
    model = tiny_model()
    text = TokenStore.build(
        CorpusConfig(source=str(corpus), separator="\n\n", context_len=13, packing="one_per_context", holdout_fraction=0.2),
        model.tokenizer,
    )
    sites = model.spec.sites("resid_post.0,mlp_out.1")
    sinks = SinkFilter(factor=1.2)  # low, so that some tokens are left out
    store = store_of(
        tmp_path / "store", CapturedInput(model, text, sites, contexts_per_block=3, filter=sinks), shard_bytes=1 << 14
    )
    assert len(store.index.shards) > 2
    for chosen in (sites, sites[1:]):
        thresholds = {str(site): store.index.sink_thresholds[str(site)] for site in chosen}
        given_sinks = SinkFilter(factor=1.2, thresholds=thresholds)
        for split in ("train", "heldout"):
            live = LiveSource(model, text.contexts(split), chosen, contexts_per_block=3, filter=given_sinks)
            stored = store.source(split, chosen, contexts_per_block=5)
            assert live.n_blocks > 1
            for site in chosen:
                assert _equal(_contexts(list(stored.blocks()), site), _contexts(list(live.blocks()), site))
            assert live.n_sinks > 0


@pytest.mark.parametrize("contexts_per_block", [1, 2, 7, 100, None])
def test_blocks_hold_every_context_of_the_split_once_however_they_are_cut(
    padded: StoredActivations, contexts_per_block: int | None
) -> None:
    supply = FakeSupply(11, padded=True)
    for split in ("train", "heldout", "all"):
        numbers = [i for i in range(11) if split == "all" or supply.is_heldout(i) == (split == "heldout")]
        texts = [supply.text(i) for i in numbers]
        blocks = [Block.of(text, supply.vectors(i, text), index=i) for i, text in zip(numbers, texts, strict=True)]
        source = padded.source(split, contexts_per_block=contexts_per_block)
        found = list(source.blocks())
        assert [block.index for block in found] == list(range(source.n_blocks))
        assert max(block.n_contexts for block in found) <= (contexts_per_block or 2048 // 11)
        for site in supply.sites:
            assert _equal(_contexts(found, site), _contexts(blocks, site))


def test_a_block_of_a_local_store_is_a_view_of_its_file_and_zeros_stand_at_padding(padded: StoredActivations) -> None:
    source = padded.source(contexts_per_block=2)
    one, two = source.block(0), source.block(1)
    assert one.vectors(ONE).rows.untyped_storage().data_ptr() == two.vectors(ONE).rows.untyped_storage().data_ptr()
    assert not one.real.all()
    assert (one.activations[ONE][~one.real] == 0).all()
    assert one.activations[ONE].dtype is torch.float32


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8"])
def test_what_was_rounded_comes_back_as_what_was_stored(tmp_path: Path, dtype: StoredDtype) -> None:
    supply = FakeSupply(7, padded=True, widths=(3, 5))
    store = store_of(tmp_path / "store", supply, dtype)
    text = supply.text(0)
    kept = encode(supply.vectors(0, text)[TWO][text.real], dtype)
    block = store.source("all", [TWO], contexts_per_block=3).block(0)
    assert torch.equal(block.activations[TWO][block.real], decode(kept.x, kept.scale))
    assert block.vectors(TWO).rows.dtype == getattr(torch, dtype)


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_store_at_an_address_gives_the_same_blocks(tmp_path: Path, dtype: StoredDtype) -> None:
    supply = FakeSupply(11, padded=True)
    near = store_of(tmp_path / "store", supply, dtype).source("train", contexts_per_block=2)
    far_store = store_of(f"memory://{tmp_path.name}-{dtype}/store", supply, dtype)
    far = far_store.source("train", contexts_per_block=2)
    far.will_need(range(99))
    for i in (4, 0, *range(near.n_blocks), 4):
        one, two = near.block(i), far.block(i)
        assert torch.equal(one.mask, two.mask)
        assert all(torch.equal(one.activations[site], two.activations[site]) for site in near.sites)
    with pytest.raises(IndexError):
        far.block(99)


views = st.sampled_from(["tokens", "pairs", "contexts", "layers"])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=views, n_taken=st.integers(0, 40), seed=st.integers(0, 2), window=st.integers(1, 70))
def test_a_stream_over_a_store_resumes_to_the_bit_in_any_epoch(
    padded: StoredActivations, name: str, n_taken: int, seed: int, window: int
) -> None:
    view = View(name=name)  # pyright: ignore[reportArgumentType]

    def fresh() -> MultiStream:
        source = padded.source(sites=[ONE], contexts_per_block=2)
        return MultiStream(source, [StreamRequest(view=view, sites=(ONE,), batch_size=6)], seed=seed, window=window)

    whole = fresh()
    list(itertools.islice(whole, n_taken))
    resumed = fresh()
    resumed.seek(StreamCursor.from_json(whole.cursor.to_json()))
    for left, right in itertools.islice(zip(whole, resumed, strict=True), 9):
        assert torch.equal(left[0].x, right[0].x)
        assert torch.equal(left[0].tokens, right[0].tokens)
        assert whole.cursor == resumed.cursor


def test_every_epoch_gives_every_token_once_in_a_new_order(padded: StoredActivations) -> None:
    source = padded.source(sites=[ONE], contexts_per_block=2)
    every = torch.cat([torch.stack([b.documents[b.mask], b.positions[b.mask]], 1) for b in source.blocks()])
    request = StreamRequest(view=View(), sites=(ONE,), batch_size=len(every))
    first, second = (step[0] for step in MultiStream(source, [request], epochs=2))
    again = next(iter(MultiStream(source, [request], epochs=2)))[0]
    for batch in (first, second):
        assert sorted(zip(batch.documents.tolist(), batch.positions.tolist(), strict=True)) == sorted(map(tuple, every.tolist()))
    assert not torch.equal(first.x, second.x)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(source.order(0, 0), source.order(0, 1))
    assert not torch.equal(source.order(0, 0), source.order(1, 0))


def test_a_batch_comes_from_the_whole_store(tmp_path: Path) -> None:
    """128 blocks of 8 documents of 8 tokens in 30 or more shards, window 32, batches of 256."""
    supply = RandomInput({ONE: 3}, n_blocks=128, contexts_per_block=8, context_len=8)
    store = store_of(tmp_path / "store", supply, shard_bytes=1 << 13)
    assert len(store.index.shards) >= 30
    stream = MultiStream(
        store.source(contexts_per_block=8), [StreamRequest(view=View(), sites=(ONE,), batch_size=256)], window=32, epochs=1
    )
    batches = [step[0] for step in stream]
    places = torch.stack([batch.documents.double() for batch in batches]) / supply.n_blocks / 8
    # Uniform over [0, 1]: a batch of about 32 blocks, whose mean has a standard deviation of 0.29 / sqrt(32) = 0.051.
    assert ((places.mean(1) - 0.5).abs() < 4 * 0.051).all()
    assert (places.std(1) - 12**-0.5).abs().max() < 0.1
    quarters = torch.stack([((places >= q / 4) & (places < (q + 1) / 4)).double().mean(1) for q in range(4)])
    assert quarters.min() > 0.03
    report = measure_mixing(batches)
    # Uniform sampling would pair two tokens of a document with probability 1 / 1024; the window reaches 32 of 128 blocks.
    assert report.within_batch < 5.5 * report.perfect


def test_attention_sinks_are_left_out_by_the_stored_norms_of_the_sites_asked_for(tmp_path: Path) -> None:
    supply = FakeSupply(5)
    supply.sink_factor, supply.sink_thresholds = 1.1, {str(ONE): 2.5, str(TWO): None}
    store = store_of(tmp_path / "store", supply, "int8")
    for sites in ([ONE, TWO], [TWO]):
        for block in store.source("all", sites, contexts_per_block=3).blocks():
            text = supply.text(block.index)
            norms = supply.vectors(block.index, text)[ONE].norm(dim=-1)
            assert torch.equal(block.mask, text.mask & (norms <= 2.5) if ONE in sites else text.mask)
    kept = store.source("all", [ONE], contexts_per_block=3, drop_sinks=False).block(0)
    assert torch.equal(kept.mask, supply.text(0).mask)


def test_filters_by_norm_place_and_id(padded: StoredActivations) -> None:
    supply = FakeSupply(11, padded=True)
    text = supply.text(0)
    norms = torch.stack([x.norm(dim=-1) for x in supply.vectors(0, text).values()])

    def mask(**bounds: object) -> Tensor:
        return padded.source("all", contexts_per_block=3, filters=TokenFilter(**bounds)).block(0).mask  # pyright: ignore

    absolute = mask(norms_in="absolute", least_norm=1.5, most_norm=3.0)
    assert torch.equal(absolute, text.mask & (norms >= 1.5).all(0) & (norms <= 3.0).all(0))
    medians = [padded.statistics.norm_quantile(site, 0.5) for site in padded.sites]
    assert None not in medians
    half = torch.stack([n >= 0.8 * m for n, m in zip(norms, medians, strict=True)]).all(0)
    assert torch.equal(mask(least_norm=0.8), text.mask & half)
    assert torch.equal(mask(min_context_position=4)[:, :4], torch.zeros(3, 4, dtype=torch.bool))
    assert torch.equal(mask(min_context_position=4)[:, 4:], text.mask[:, 4:])
    assert torch.equal(mask(min_document_position=2), text.mask & (text.positions >= 2))
    one = int(text.tokens[text.mask][0])
    assert torch.equal(mask(excluded_tokens=(one,)), text.mask & (text.tokens != one))


def test_filters_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no norm is between"):
        TokenFilter(least_norm=3.0, most_norm=2.0)
    with pytest.raises(ConfigError, match="medians, absolute"):
        TokenFilter(norms_in="means")
    with pytest.raises(ConfigError, match="0 or more"):
        TokenFilter(min_context_position=-1)
    supply = FakeSupply(4)
    supply.has_text = False  # pyright: ignore[reportAttributeAccessIssue]
    blind = store_of(tmp_path / "store", supply)
    assert blind.source(filters=TokenFilter(least_norm=0.1)).n_blocks > 0
    for bounds in ({"excluded_tokens": (3,)}, {"min_document_position": 1}, {"min_context_position": 1}):
        with pytest.raises(ConfigError, match="has no text"):
            blind.source(filters=TokenFilter(**bounds))  # pyright: ignore[reportArgumentType]


def test_what_a_store_does_not_hold_is_refused(padded: StoredActivations, tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"holds no resid_post\.9.*(?s:.*)resid_post\.0, mlp_out\.1"):
        padded.source(sites=["resid_post.9"])
    with pytest.raises(ConfigError, match="train, heldout, all"):
        padded.source("test")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="contexts_per_block is 0"):
        padded.source(contexts_per_block=0)
    trained = store_of(tmp_path / "store", RandomInput({ONE: 3}, n_blocks=2))
    with pytest.raises(EmptyCorpusError, match="no contexts of the split heldout"):
        trained.source("heldout")


def test_sources_tell_what_makes_them(padded: StoredActivations) -> None:
    source = padded.source("heldout", [TWO], filters=TokenFilter(least_norm=0.5))
    assert isinstance(source, StoredSource)
    assert source.spec["store"] == padded.content_hash
    assert (source.spec["split"], source.spec["sites"]) == ("heldout", ["mlp_out.1"])
    assert source.spec["filters"]["least_norm"] == 0.5
    assert repr(source) == f"StoredActivations.open({str(padded.folder)!r}).source('heldout', sites=['mlp_out.1'])"
    assert (source.sites, source.widths) == ((TWO,), {TWO: 7})
