"""The two forms of llama3-sae's activations: sentences in files of their own, and batches of rows with a mean."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tests.activations.formats.foreign_stores import contexts_of, imported, write_batches, write_sentences

from monoseme.activations.formats._importing import find_format
from monoseme.activations.store.reader import StoredActivations
from monoseme.core.errors import ConfigError, ForeignError

LENGTHS = {0: 3, 2: 5, 10: 1, 11: 4, 7: 2}
SITE = "attn_in.22"
MODEL = Path(__file__).resolve().parents[3] / "src" / "monoseme" / "bundled" / "model"


def test_sentences_come_in_the_order_of_their_numbers_and_not_of_their_names(tmp_path: Path) -> None:
    written = write_sentences(tmp_path / "outs", LENGTHS)
    assert find_format(tmp_path / "outs") == find_format(tmp_path / "outs" / "layer_22") == "llama3_sae_sentences"
    imported(tmp_path / "outs", tmp_path / "store", "llama3_sae_sentences", holdout_fraction=0.0)
    held = contexts_of(tmp_path / "store", SITE)
    assert [context.documents[0] for context in held] == [0, 2, 7, 10, 11]
    for context in held:
        assert torch.equal(context.rows, written[context.documents[0]].float())
        assert context.positions == list(range(LENGTHS[context.documents[0]]))


def test_numbers_keep_their_type_and_ids_are_not_made_up(tmp_path: Path) -> None:
    write_sentences(tmp_path / "outs", LENGTHS)
    found = imported(tmp_path / "outs", tmp_path / "store", "llama3_sae_sentences")
    index = StoredActivations.open(tmp_path / "store").index
    assert (index.dtype, index.has_text) == ("bfloat16", False)
    assert found.stored.storage_errors[SITE].squares == 0.0
    assert found.stored.n_tokens == sum(LENGTHS.values())
    assert "token ids" in found.lost[0]
    assert "7 sentences whose number has no file" in found.lost[1]


def test_layers_come_together_and_must_hold_the_same_sentences(tmp_path: Path) -> None:
    for layer in (22, 9):
        write_sentences(tmp_path / "outs", LENGTHS, layer=layer)
    imported(tmp_path / "outs", tmp_path / "store", "llama3_sae_sentences", site=("layer_9=resid_post.8",))
    assert [str(site) for site in StoredActivations.open(tmp_path / "store").sites] == ["resid_post.8", SITE]
    (tmp_path / "outs" / "layer_9" / "activations_l9_idx7.pt").unlink()
    with pytest.raises(ForeignError, match="do not hold the same sentences: first number 7"):
        imported(tmp_path / "outs", tmp_path / "other", "llama3_sae_sentences")
    write_sentences(tmp_path / "outs", {7: 3}, layer=9)
    with pytest.raises(ForeignError, match=r"l22_idx7.pt has 2 rows, but .*l9_idx7.pt 3"):
        imported(tmp_path / "outs", tmp_path / "another", "llama3_sae_sentences")


def test_a_sentence_longer_than_a_context_is_an_error_that_says_the_length(tmp_path: Path) -> None:
    write_sentences(tmp_path / "outs", {0: 3, 1: 9})
    with pytest.raises(ForeignError, match=r"idx1.pt has 9 rows, above 8.\n  Give --context_len 9"):
        imported(tmp_path / "outs", tmp_path / "store", "llama3_sae_sentences", context_len=8)


def _sentences(tmp_path: Path) -> tuple[Path, list[list[int]]]:
    """A dataset of sentences on disk, and the ids of each place in it after it was shuffled as the pipeline does."""
    from transformers import AutoTokenizer

    texts = [
        f"Once there was a {word}." for word in ("cat", "little dog", "very big tree", "ball", "red bird", "small boat", "fox")
    ]
    dataset = Dataset.from_dict({"text": texts})
    dataset.to_parquet(str(tmp_path / "train-00000-of-00001.parquet"))
    tokenizer = AutoTokenizer.from_pretrained(str(MODEL))
    shuffled = dataset.shuffle(seed=42)
    return tmp_path / "train-00000-of-00001.parquet", [
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in shuffled["text"]
    ]


def test_ids_are_recovered_from_the_sentences_as_the_pipeline_shuffled_them(tmp_path: Path) -> None:
    parquet, ids = _sentences(tmp_path)
    write_sentences(tmp_path / "outs", {number: len(of_one) for number, of_one in enumerate(ids)})
    options = {"sentences": str(parquet), "tokenizer": str(MODEL)}
    imported(tmp_path / "outs", tmp_path / "store", "llama3_sae_sentences", **options)
    assert StoredActivations.open(tmp_path / "store").index.has_text
    for context in contexts_of(tmp_path / "store", SITE):
        assert context.tokens == ids[context.documents[0]]


def test_a_sentence_of_another_length_than_its_file_is_named_with_its_row(tmp_path: Path) -> None:
    parquet, ids = _sentences(tmp_path)
    write_sentences(tmp_path / "outs", {number: len(of_one) + (number == 3) for number, of_one in enumerate(ids)})
    row = int(np.random.default_rng(42).permutation(len(ids))[3])
    with pytest.raises(ForeignError, match=rf"sentence 3 \(row {row} of .*parquet\) has {len(ids[3])} tokens, but its file has"):
        imported(tmp_path / "outs", tmp_path / "store", "llama3_sae_sentences", sentences=str(parquet), tokenizer=str(MODEL))
    write_sentences(tmp_path / "outs", {3: len(ids[3]), 50: 2})
    with pytest.raises(ForeignError, match=r"there is no sentence 50: .* has 7"):
        imported(tmp_path / "outs", tmp_path / "other", "llama3_sae_sentences", sentences=str(parquet), tokenizer=str(MODEL))
    with pytest.raises(ConfigError, match="takes both the sentences and the tokenizer"):
        imported(tmp_path / "outs", tmp_path / "another", "llama3_sae_sentences", sentences=str(parquet))


def test_batches_are_read_by_process_and_number_in_stretches_that_stay_in_their_file(tmp_path: Path) -> None:
    written = write_batches(tmp_path / "outs_batched", {4711: 12, 99: 2})
    assert find_format(tmp_path / "outs_batched") == "llama3_sae_batches"
    options = {"context_len": 4, "holdout_fraction": 0.0, "contexts_per_block": 5}
    found = imported(tmp_path / "outs_batched", tmp_path / "store", "llama3_sae_batches", **options)
    held = contexts_of(tmp_path / "store", SITE)
    assert [len(context.rows) for context in held[:4]] == [4, 4, 3, 4]
    order = sorted(written)
    assert torch.equal(torch.cat([context.rows for context in held]), torch.cat([written[key] for key in order]).float())
    assert found.stored.n_tokens == 14 * 11
    assert not StoredActivations.open(tmp_path / "store").index.has_text


def test_a_batch_is_held_out_as_a_whole(tmp_path: Path) -> None:
    write_batches(tmp_path / "outs_batched", {4711: 30})
    imported(tmp_path / "outs_batched", tmp_path / "store", "llama3_sae_batches", context_len=4, holdout_fraction=0.3)
    sides = [
        {d for context in contexts_of(tmp_path / "store", SITE, side) for d in context.documents} for side in ("train", "heldout")
    ]
    assert sides[0] | sides[1] == set(range(30))
    assert not sides[0] & sides[1]
    assert len(sides[1]) > 1


def test_the_mean_beside_the_batches_is_compared_with_the_mean_of_the_rows(tmp_path: Path) -> None:
    written = write_batches(tmp_path / "outs_batched", {1: 3})
    mean = torch.cat(list(written.values())).double().mean(dim=0)
    mean[2] += 0.5
    torch.save(mean, tmp_path / "outs_mean.pt")
    found = imported(tmp_path / "outs_batched", tmp_path / "store", "llama3_sae_batches", context_len=4, holdout_fraction=0.0)
    assert found.means[SITE].largest == pytest.approx(0.5, abs=1e-9)  # sums are in float64 on both sides
    details = StoredActivations.open(tmp_path / "store").config["found"]["details"]
    assert details["mean"]["file"] == "outs_mean.pt"
    torch.save(torch.zeros(5), tmp_path / "outs_mean.pt")
    with pytest.raises(ForeignError, match=r"outs_mean.pt holds \(5,\) numbers"):
        imported(tmp_path / "outs_batched", tmp_path / "other", "llama3_sae_batches")


def test_batches_of_different_shapes_and_types_are_told(tmp_path: Path) -> None:
    write_batches(tmp_path / "outs", {1: 3})
    torch.save(torch.zeros(10, 7, dtype=torch.bfloat16), tmp_path / "outs" / "batch_1_2.pt")
    with pytest.raises(ForeignError, match=r"batch_1_2.pt has 10 rows; the first file has 11"):
        imported(tmp_path / "outs", tmp_path / "a", "llama3_sae_batches")
    torch.save(torch.zeros(11, 7), tmp_path / "outs" / "batch_1_2.pt")
    with pytest.raises(
        ForeignError, match=r"batch_1_2.pt holds \(11, 7\) numbers of torch.float32; the first file has rows of 7 of"
    ):
        imported(tmp_path / "outs", tmp_path / "b", "llama3_sae_batches")
    with pytest.raises(ConfigError, match="keeps no token ids"):
        imported(tmp_path / "outs", tmp_path / "c", "llama3_sae_batches", tokenizer=str(MODEL))
