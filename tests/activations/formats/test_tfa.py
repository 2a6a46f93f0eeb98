"""TFA's precomputed states: ids only where their type kept them, one clear error for what does not fit."""

import json
from pathlib import Path

import pytest
import torch
from tests.activations.formats.foreign_stores import contexts_of, heldout_documents, imported, write_tfa

from monoseme.activations.formats._importing import find_format
from monoseme.activations.store.reader import StoredActivations
from monoseme.core.errors import ForeignError, SiteError

SITE = "resid_post.12"
FORMAT = "tfa"


def test_each_context_is_a_document_and_keeps_its_numbers(tmp_path: Path) -> None:
    states, _ = write_tfa(tmp_path / "acts")
    assert find_format(tmp_path / "acts") == FORMAT
    imported(tmp_path / "acts", tmp_path / "store", FORMAT, site=(SITE,), contexts_per_block=5)
    held = {context.documents[0]: context for context in contexts_of(tmp_path / "store", SITE)}
    assert sorted(held) == list(range(12))
    for number, context in held.items():
        assert torch.equal(context.rows, states[number].float())
        assert set(context.documents) == {number}
        assert context.positions == [0, 1, 2, 3, 4]
    assert StoredActivations.open(tmp_path / "store").index.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("dtype", "top", "certain"),
    [
        (torch.bfloat16, 90000, False),
        (torch.bfloat16, 256, True),
        (torch.float16, 2048, True),
        (torch.float16, 90000, False),
        (torch.float32, 90000, True),
        (torch.int64, 90000, True),
    ],
)
def test_ids_come_along_where_their_type_kept_them_exactly(tmp_path: Path, dtype: torch.dtype, top: int, certain: bool) -> None:
    _, ids = write_tfa(tmp_path / "acts", ids_dtype=dtype, top=top)
    found = imported(tmp_path / "acts", tmp_path / "store", FORMAT, site=(SITE,))
    assert StoredActivations.open(tmp_path / "store").index.has_text is certain
    held = contexts_of(tmp_path / "store", SITE)
    if certain:
        assert all(context.tokens == ids[context.documents[0]].tolist() for context in held)
        assert found.lost == ()
    else:
        assert all(not any(context.tokens) for context in held)
        assert "which rounds those above" in found.lost[0]


def test_an_id_of_256_in_bfloat16_may_have_been_257(tmp_path: Path) -> None:
    write_tfa(tmp_path / "acts", top=10)
    path = tmp_path / "acts" / "input_ids_00002_of_00003.pkl"
    ids = torch.load(path, weights_only=True)
    ids[3, 4] = 257
    assert int(ids[3, 4]) == 256
    torch.save(ids, path)
    found = imported(tmp_path / "acts", tmp_path / "store", FORMAT, site=(SITE,))
    assert found.lost == (f"token ids: they are stored as bfloat16, which rounds those above 256, as in {path}",)


def test_the_site_has_to_be_said(tmp_path: Path) -> None:
    write_tfa(tmp_path / "acts")
    with pytest.raises(SiteError, match=r"meant by states.\n  Say so with --site resid_post.12"):
        imported(tmp_path / "acts", tmp_path / "store", FORMAT)


def test_the_choice_of_the_held_out_is_a_function_of_the_seed(tmp_path: Path) -> None:
    write_tfa(tmp_path / "acts", n_files=8)
    sides = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        imported(tmp_path / "acts", tmp_path / name, FORMAT, site=(SITE,), seed=seed, holdout_fraction=0.4)
        sides.append(heldout_documents(tmp_path / name, SITE))
    assert sides[0] == sides[1] != sides[2]
    assert 5 <= len(sides[0]) <= 21  # 12.8 expected of 32
    same = StoredActivations.open(tmp_path / "a").manifest["files"]
    assert same == StoredActivations.open(tmp_path / "b").manifest["files"]


def test_files_that_do_not_fit_together_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "acts"
    write_tfa(folder)
    torch.save(torch.zeros(3, 5, 7, dtype=torch.bfloat16), folder / "states_00001_of_00003.pkl")
    with pytest.raises(
        ForeignError, match=r"states_00001_of_00003.pkl has the shape \(3, 5, 7\); the first file has \(4, 5, 7\)"
    ):
        imported(folder, tmp_path / "a", FORMAT, site=(SITE,))
    (folder / "states_00001_of_00003.pkl").unlink()
    found = imported(folder, tmp_path / "b", FORMAT, site=(SITE,))
    assert found.n_contexts == 8
    assert found.lost[-1] == "1 of 3 files are not there, first number 1"
    (folder / "metadata.json").write_text(json.dumps({"shape": [4, 5, 9], "dtype": "torch.bfloat16"}))
    with pytest.raises(ForeignError, match=r"metadata.json speaks of \[4, 5, 9\]"):
        imported(folder, tmp_path / "c", FORMAT, site=(SITE,))
    (folder / "states_00000_of_00009.pkl").write_bytes((folder / "states_00000_of_00003.pkl").read_bytes())
    with pytest.raises(ForeignError, match="files of 2 runs: of 3, 9 files"):
        imported(folder, tmp_path / "d", FORMAT, site=(SITE,))


def test_rows_that_are_not_finite_are_refused_or_dropped_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "acts"
    states, ids = write_tfa(folder, ids_dtype=torch.int64)
    path = folder / "states_00001_of_00003.pkl"
    bad = torch.load(path, weights_only=True)
    bad[2, 3, 1] = float("nan")
    bad[2, 0, 6] = float("-inf")
    torch.save(bad, path)
    with pytest.raises(ForeignError, match=r"states_00001_of_00003.pkl, context 2 holds NaN or infinity, as do 2 of the"):
        imported(folder, tmp_path / "a", FORMAT, site=(SITE,), holdout_fraction=0.0)
    found = imported(folder, tmp_path / "b", FORMAT, site=(SITE,), bad_rows="drop", holdout_fraction=0.0)
    assert (found.n_bad_rows, found.stored.n_tokens) == (2, 58)
    context = contexts_of(tmp_path / "b", SITE)[6]
    assert context.positions == [1, 2, 4]
    assert torch.equal(context.rows, states[6][[1, 2, 4]].float())
    assert context.tokens == ids[6][[1, 2, 4]].tolist()
