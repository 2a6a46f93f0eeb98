"""A model's activations as a store: the rows are those of a live source, and both sides of the split are in it from the start."""

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from safetensors.torch import load_file

from monoseme.activations import LiveSource, SinkFilter
from monoseme.activations.store.capture import CapturedInput
from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.layout import shard_name
from monoseme.activations.store.writer import write_store
from monoseme.core.folder import LocalFolder
from monoseme.models.site import Site
from monoseme.testing.models import tiny_model, tiny_tokenizer
from monoseme.text import CorpusConfig, TextTokenizer, TokenStore

SITES = (Site.parse("resid_post.0"), Site.parse("mlp_out.2"))
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "big", "red", "sun", "over", "two", "hills"]


def _text(folder: Path, *, n_rows: int = 120, **options: Any) -> TokenStore:
    file = folder / "rows.txt"
    rows = [" ".join(WORDS[(3 * i + j * j) % 15] for j in range(4 + i % 23)) for i in range(n_rows)]
    file.write_text("|".join(rows))
    config = CorpusConfig(**{"source": str(file), "separator": "|", "context_len": 13, "holdout_fraction": 0.25} | options)
    return TokenStore.build(config, tiny_tokenizer())


def _captured(text: TokenStore, **options: Any) -> CapturedInput:
    return CapturedInput(tiny_model("llama"), text, SITES, contexts_per_block=4, contexts_per_forward=3, **options)


def _sides(supply: CapturedInput) -> list[bool]:
    sides: list[bool] = []
    while supply.has_block(len(sides)):
        sides.append(supply.is_heldout(len(sides)))
    return sides


def test_both_sides_come_by_turns_and_each_block_comes_once(tmp_path: Path) -> None:
    text = _text(tmp_path)
    supply = _captured(text)
    sides = _sides(supply)
    n_train, n_heldout = (text.contexts(side).n_blocks(4) for side in ("train", "heldout"))
    assert (sides.count(False), sides.count(True)) == (n_train, n_heldout)
    assert sides[:8] == [False, True, False, False, False, True, False, False]
    for i, heldout in enumerate(sides):
        number = sides[:i].count(heldout)
        wanted = text.contexts("heldout" if heldout else "train").block(number, 4)
        assert torch.equal(supply.text(i).tokens, wanted.tokens)
    with pytest.raises(IndexError):
        supply.text(len(sides))
    assert not supply.has_block(-1)


def test_blocks_are_the_same_in_whatever_order_they_are_asked_for(tmp_path: Path) -> None:
    text = _text(tmp_path)
    one, two = _captured(text), _captured(text)
    assert two.has_block(7)
    for i in (5, 0, 7):
        assert torch.equal(one.text(i).tokens, two.text(i).tokens)
        assert one.is_heldout(i) == two.is_heldout(i)


def test_without_held_out_documents_all_is_for_training(tmp_path: Path) -> None:
    assert set(_sides(_captured(_text(tmp_path, holdout_fraction=0.0)))) == {False}


@pytest.mark.parametrize("packing", ["packed", "one_per_context"])
def test_stored_rows_are_those_of_a_live_source(tmp_path: Path, packing: str) -> None:
    text = _text(tmp_path, n_rows=47, packing=packing)
    supply = _captured(text)
    storage = StorageConfig(dtype="float32", shard_bytes=16_000)
    write_store(LocalFolder(tmp_path / "store"), supply, storage, config={}, inputs={})
    live = {
        side: LiveSource(
            tiny_model("llama"), text.contexts(side), SITES, contexts_per_block=4, contexts_per_forward=3, filter=None
        )
        for side in ("train", "heldout")
    }
    sides = _sides(supply)
    blocks = [live["heldout" if side else "train"].block(sides[:i].count(side)) for i, side in enumerate(sides)]
    n_shards = len(json.loads((tmp_path / "store/index.json").read_text())["shards"])
    assert n_shards > 1
    for site in SITES:
        found = [load_file(tmp_path / "store" / shard_name(number, str(site)))["x"] for number in range(n_shards)]
        assert torch.equal(torch.cat(found), torch.cat([block.activations[site][block.real] for block in blocks]))


def test_sinks_are_stored_and_their_thresholds_are_those_of_a_live_source(tmp_path: Path) -> None:
    text = _text(tmp_path, n_rows=47)
    supply = _captured(text, filter=SinkFilter(factor=1.2))
    live = LiveSource(
        tiny_model("llama"),
        text.contexts("train"),
        SITES,
        contexts_per_block=4,
        contexts_per_forward=3,
        filter=SinkFilter(factor=1.2),
    )
    write_store(LocalFolder(tmp_path / "store"), supply, StorageConfig(), config={}, inputs={})
    index = json.loads((tmp_path / "store/index.json").read_text())
    assert index["sink_factor"] == 1.2
    assert index["sink_thresholds"] == live.sink_thresholds
    live.block(0)
    assert live.n_sinks > 0
    stored = load_file(tmp_path / "store" / shard_name(0, "text"))
    assert torch.equal(stored["mask"][:4].bool(), text.contexts("train").block(0, 4).mask)


def test_without_a_filter_the_index_has_no_thresholds(tmp_path: Path) -> None:
    supply = _captured(_text(tmp_path), filter=None)
    assert supply.sink_factor is None
    assert supply.sink_thresholds == {}


def test_the_spec_is_known_before_the_corpus_is_read(tmp_path: Path) -> None:
    text = _text(tmp_path)
    supply = _captured(text)
    json.dumps(supply.spec)
    assert supply.spec == _captured(text).spec
    bare = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    other = TokenStore.build(CorpusConfig(source=text.config.source, separator="|"), TextTokenizer(bare))
    assert _captured(other).spec["tokenizer"] != supply.spec["tokenizer"]
