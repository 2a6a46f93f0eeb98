"""The store of a capture is sized to the byte before there is one."""

import json
from pathlib import Path

import pytest

from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.layout import INDEX
from monoseme.models import ModelConfig
from monoseme.pipeline import CaptureConfig, capture_run
from monoseme.planning.capture_sizes import CaptureOutline
from monoseme.text import CorpusConfig


def _config(model: Path, corpus: Path, storage: StorageConfig, *, packing: str = "packed", sinks: bool = True) -> CaptureConfig:
    return CaptureConfig(
        model=ModelConfig(model=str(model)),
        corpus=CorpusConfig(source=str(corpus), context_len=13, packing=packing),  # pyright: ignore[reportArgumentType]
        sites=("resid_post.0", "mlp_out.1"),
        contexts_per_block=5,
        max_tokens=2003,
        drop_sinks=sinks,
        storage=storage,
    )


@pytest.mark.parametrize(
    ("storage", "packing", "sinks"),
    [
        (StorageConfig(dtype="bfloat16"), "packed", True),
        (StorageConfig(dtype="int8", shard_bytes=50_000), "one_per_context", False),
        (StorageConfig(dtype="float32", shard_bytes=70_000, max_bytes=1_500_000), "packed", True),
    ],
)
def test_the_size_is_that_of_every_file_with_a_checksum(
    model_folder: Path, corpus_file: Path, tmp_path: Path, storage: StorageConfig, packing: str, sinks: bool
) -> None:
    config = _config(model_folder, corpus_file, storage, packing=packing, sinks=sinks)
    summary = capture_run(config, tmp_path / "store")
    thresholds = json.loads((tmp_path / "store" / INDEX).read_text())["sink_thresholds"]
    sizes = CaptureOutline(config).sizes(thresholds)
    assert (sizes.n_bytes, sizes.n_shards, sizes.n_tokens) == (summary.n_bytes, summary.n_shards, summary.n_tokens)
    assert sizes.index_bytes == (tmp_path / "store" / INDEX).stat().st_size
    assert sizes.is_cut == (storage.max_bytes is not None)


def test_before_the_text_is_read_the_size_is_about_that(model_folder: Path, corpus_file: Path) -> None:
    config = _config(model_folder, corpus_file, StorageConfig(), sinks=False)
    outline = CaptureOutline(config)
    vectors_and_text = outline.sizes().site_bytes + outline.sizes().text_bytes
    assert outline.estimated_bytes() == pytest.approx(vectors_and_text, rel=0.15)
