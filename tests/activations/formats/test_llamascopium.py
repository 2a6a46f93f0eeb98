"""Llamascopium's chunks: hooks are sites, padding that is named is left out, hooks must hold the same tokens."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.activations.formats.foreign_stores import contexts_of, imported, write_llamascopium

from monoseme.activations.formats import find_format
from monoseme.activations.store.reader import StoredActivations
from monoseme.core.errors import ForeignError

FORMAT = "llamascopium"
SITE = "resid_post.2"


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_contexts_come_with_their_ids_and_without_their_padding(tmp_path: Path, ending: str) -> None:
    found, tokens = write_llamascopium(tmp_path / "cache", ("blocks.2.hook_resid_post", "blocks.1.hook_mlp_out"), ending=ending)
    assert find_format(tmp_path / "cache") == FORMAT
    imported(tmp_path / "cache", tmp_path / "store", FORMAT, pad_id=0, contexts_per_block=5, holdout_fraction=0.3)
    for site, hook in ((SITE, "blocks.2.hook_resid_post"), ("mlp_out.1", "blocks.1.hook_mlp_out")):
        held = {context.documents[0]: context for context in contexts_of(tmp_path / "store", site)}
        assert sorted(held) == list(range(11))
        for number, context in held.items():
            length = 2 + number % 4
            assert context.tokens == tokens[number, :length].tolist()
            assert torch.equal(context.rows, found[hook][number, :length].float())


def test_without_a_padding_token_every_place_is_real(tmp_path: Path) -> None:
    write_llamascopium(tmp_path / "cache")
    imported(tmp_path / "cache", tmp_path / "store", FORMAT)
    assert StoredActivations.open(tmp_path / "store").n_rows == 55


def test_chunks_that_do_not_fit_together_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    write_llamascopium(folder, ("blocks.2.hook_resid_post", "blocks.1.hook_mlp_out"))
    path = folder / "blocks.1.hook_mlp_out" / "chunk-00000001.safetensors"
    whole = load_file(path)
    save_file({**whole, "tokens": whole["tokens"] + 1}, path)
    with pytest.raises(
        ForeignError, match=r"resid_post/chunk-00000001.safetensors holds other tokens than .*hook_mlp_out/chunk-00000001"
    ):
        imported(folder, tmp_path / "a", FORMAT)
    save_file({**whole, "tokens": whole["tokens"][:2].clone()}, path)
    with pytest.raises(ForeignError, match=r"activation \(4, 5, 7\) and tokens \(2, 5\) do not fit"):
        imported(folder, tmp_path / "b", FORMAT)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(ForeignError, match="not a whole safetensors file"):
        imported(folder, tmp_path / "c", FORMAT)
    path.unlink()
    with pytest.raises(ForeignError, match=r"resid_post.2 and mlp_out.1 do not have the same chunks"):
        imported(folder, tmp_path / "d", FORMAT)
