"""Memory-mapped caches: sequences over the borders of shards, ids with borders, borders from a BOS, stretches without either."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.activations.formats.foreign_stores import contexts_of, imported, tokens_of, write_cache

from monoseme.activations.formats._importing import find_format
from monoseme.activations.store.reader import StoredActivations
from monoseme.core.errors import ConfigError, ForeignError, SiteError

FORMAT = "dictionary_learning"
SITE = "resid_post.3"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_sequences_are_documents_cut_into_contexts(tmp_path: Path, dtype: torch.dtype) -> None:
    cache = write_cache(tmp_path / "cache", dtype=dtype)
    assert find_format(tmp_path / "cache") == FORMAT
    found = imported(tmp_path / "cache", tmp_path / "store", FORMAT, context_len=4, holdout_fraction=0.0)
    held = contexts_of(tmp_path / "store", SITE)
    assert [len(context.rows) for context in held] == [4, 1, 2, 4, 4, 4, 1, 1, 4, 4]
    assert [context.documents[0] for context in held] == [0, 0, 1, 2, 2, 2, 2, 3, 4, 4]
    assert [context.positions[0] for context in held] == [0, 4, 0, 0, 4, 8, 12, 0, 0, 4]
    assert torch.equal(torch.cat([context.rows for context in held]), cache.rows["layer_3_out"].float())
    assert tokens_of(held) == cache.tokens.tolist()
    assert found.means[SITE].largest < 1e-6  # float64 on both sides; what the store keeps is what the mean is of
    assert StoredActivations.open(tmp_path / "store").index.dtype == str(dtype).removeprefix("torch.")


def test_several_modules_come_together_and_one_can_be_left_out(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache", ("layer_3_out", "layer_5_in", "odd"))
    with pytest.raises(
        SiteError, match=r"meant by odd.\n  Say so with --site odd=resid_post.12, or leave it out with --site odd=skip"
    ):
        imported(tmp_path / "cache", tmp_path / "store", FORMAT)
    imported(tmp_path / "cache", tmp_path / "store", FORMAT, site=("odd=skip",), holdout_fraction=0.0)
    assert [str(site) for site in StoredActivations.open(tmp_path / "store").sites] == [SITE, "resid_pre.5"]
    rows = torch.cat([context.rows for context in contexts_of(tmp_path / "store", "resid_pre.5")])
    assert torch.equal(rows, cache.rows["layer_5_in"].float())


def test_one_module_can_be_named_by_its_own_folder_and_finds_the_ids_beside_it(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache")
    place = tmp_path / "cache" / "layer_3_out"
    assert find_format(place) == FORMAT
    imported(place, tmp_path / "store", FORMAT, site=("mlp_out.3",), holdout_fraction=0.0)
    assert tokens_of(contexts_of(tmp_path / "store", "mlp_out.3")) == cache.tokens.tolist()


def test_without_borders_ids_are_left_out_unless_a_bos_tells_them(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache", borders=False)
    found = imported(tmp_path / "cache", tmp_path / "a", FORMAT, context_len=4, holdout_fraction=0.0)
    assert "nothing says where sequences begin" in found.lost[0]
    held = contexts_of(tmp_path / "a", SITE)
    assert [len(context.rows) for context in held] == [4, 4, 2, 4, 4, 2, 4, 4, 1]  # stretches stay in their shard
    assert torch.equal(torch.cat([context.rows for context in held]), cache.rows["layer_3_out"].float())
    imported(tmp_path / "cache", tmp_path / "b", FORMAT, context_len=4, holdout_fraction=0.0, bos_id=2)
    assert [context.documents[0] for context in contexts_of(tmp_path / "b", SITE)] == [0, 0, 1, 2, 2, 2, 2, 3, 4, 4]
    with pytest.raises(ConfigError, match="does not begin with the token 9, but with 2"):
        imported(tmp_path / "cache", tmp_path / "c", FORMAT, bos_id=9)


def test_shuffled_shards_lose_their_ids(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache", shuffle_shards=True)
    found = imported(tmp_path / "cache", tmp_path / "store", FORMAT)
    assert "were shuffled" in found.lost[0]


def test_shards_of_early_forks_are_float32_and_those_not_counted_are_told(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache", dtype=torch.float32, borders=False, shard_count=2, per_shard=10)
    place = tmp_path / "cache" / "layer_3_out"
    for number in range(3):
        meta = json.loads((place / f"shard_{number}.meta").read_text())
        (place / f"shard_{number}.meta").write_text(json.dumps({"shape": meta["shape"]}))
    (tmp_path / "cache" / "tokens.pt").unlink()
    torch.save(cache.tokens[:20], place / "tokens.pt")  # they count 20 tokens there, too
    found = imported(tmp_path / "cache", tmp_path / "store", FORMAT, bos_id=2, holdout_fraction=0.0)
    assert found.stored.n_tokens == 20
    assert found.lost == (f"shards beyond the shard_count of config.json, from {place / 'shard_2.memmap'} on",)


def _set(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache", ("layer_3_out", "layer_5_out"))
    place = tmp_path / "cache" / "layer_3_out"
    meta = (place / "shard_1.meta").read_text()
    for change, message in (
        ({"shape": [11, 7]}, r"shard_1.memmap has 140 bytes; its .meta promises 11 rows of 7 bfloat16"),
        ({"shape": [7, 10]}, "1 types and 2 widths"),
        ({"shape": "x"}, r"\[rows, width\] is needed"),
        ({"dtype": "complex64"}, "names the type 'complex64'"),
    ):
        _set(place / "shard_1.meta", **change)
        with pytest.raises(ForeignError, match=message):
            imported(tmp_path / "cache", tmp_path / "store", FORMAT)
        (place / "shard_1.meta").write_text(meta)
    _set(place / "config.json", shard_count=2)
    with pytest.raises(ForeignError, match=r"resid_post.3: 20 rows of torch.bfloat16, resid_post.5: 29 rows"):
        imported(tmp_path / "cache", tmp_path / "store", FORMAT)
    _set(place / "config.json", shard_count=3)
    torch.save(torch.tensor([0, 7, 5, 29]), tmp_path / "cache" / "sequence_ranges.pt")
    with pytest.raises(ForeignError, match="does not go from 0 to 29 in order"):
        imported(tmp_path / "cache", tmp_path / "store", FORMAT)
    torch.save(torch.arange(5), tmp_path / "cache" / "tokens.pt")
    with pytest.raises(ForeignError, match="ids of 29 rows are needed"):
        imported(tmp_path / "cache", tmp_path / "store", FORMAT)
