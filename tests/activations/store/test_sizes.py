"""What is said of a shard's size beforehand is what is written."""

from pathlib import Path

import pytest
from tests.activations.store.supplies import FakeSupply, S

from monoseme.activations.store.config import BYTES, StorageConfig, StoredDtype
from monoseme.activations.store.layout import shard_name
from monoseme.activations.store.shard_writer import NewShard, ShardKind, write_shard
from monoseme.activations.store.sizes import blocks_per_shard, bytes_per_context, site_specs, text_specs
from monoseme.core.folder import LocalFolder
from monoseme.tensors.tensor_file import file_bytes


@pytest.mark.parametrize("dtype", list(BYTES))
def test_files_have_the_bytes_that_their_shapes_say(tmp_path: Path, dtype: StoredDtype) -> None:
    supply = FakeSupply(3, padded=True)
    texts = [supply.text(i) for i in range(2)]
    kind = ShardKind(widths=supply.widths, dtype=dtype, context_len=S, has_text=True, sink_thresholds={})
    shard = NewShard(number=0, texts=texts, heldout=[False, True])
    blocks = (supply.vectors(i, text) for i, text in enumerate(texts))
    record = write_shard(LocalFolder(tmp_path), kind, shard, blocks)
    said = {shard_name(0, "text"): file_bytes(text_specs(6, S))}
    said |= {shard_name(0, str(s)): file_bytes(site_specs(shard.n_rows, d, dtype)) for s, d in supply.widths.items()}
    assert {name: record.files[name]["bytes"] for name in said} == said
    assert {name: (tmp_path / name).stat().st_size for name in said} == said


def test_a_context_has_29_bytes_of_text_for_each_token_and_the_vectors() -> None:
    assert bytes_per_context([5, 7], "bfloat16", 11) == 1 + 11 * (29 + (5 * 2 + 4) + (7 * 2 + 4))
    assert bytes_per_context([5], "int8", 11) == 1 + 11 * (29 + 5 + 4 + 4)


def test_a_shard_has_as_many_blocks_as_fit_and_at_least_one() -> None:
    of_block = 3 * bytes_per_context([5, 7], "float32", 11)
    for size, wanted in ((1, 1), (of_block, 1), (2 * of_block - 1, 1), (2 * of_block, 2), (10 * of_block + 1, 10)):
        storage = StorageConfig(dtype="float32", shard_bytes=size)
        assert blocks_per_shard([5, 7], storage, context_len=11, contexts_per_block=3) == wanted
