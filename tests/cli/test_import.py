"""`monoseme import`: the format is recognised, its settings are flags, an import that was stopped goes on to the same bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from monoseme.activations.store.layout import UNFINISHED
from monoseme.activations.store.reader import StoredActivations
from monoseme.cli.main import main
from monoseme.core.artifact import check_artifact
from monoseme.interchange import SAE_FORMATS
from tests.activations.formats.foreign_stores import write_batches, write_cache, write_tfa


def _error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_an_import_tells_what_it_kept_and_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tfa(tmp_path / "acts")
    words = [
        "import",
        str(tmp_path / "acts"),
        "--out",
        str(tmp_path / "store"),
        "--site",
        "resid_post.12",
        "--model",
        "gemma",
        "--json",
    ]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["n_contexts"], told["stored"]["n_tokens"]) == ("tfa", 12, 60)
    assert "rounds those above 256" in told["lost"][0]
    assert check_artifact(tmp_path / "store") == []
    config = StoredActivations.open(tmp_path / "store").config
    assert (config["model"], config["source"]) == ({"model": "gemma"}, str(tmp_path / "acts"))
    assert main(words[:-1]) == 2
    assert "exists already" in _error(capsys)
    assert main(["import", str(tmp_path / "acts"), "--out", str(tmp_path / "plain"), "--site", "resid_post.12"]) == 0
    assert "left behind: token ids" in capsys.readouterr().out


def test_places_of_a_store_are_mapped_by_a_list_and_the_type_is_chosen(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache", ("layer_3_out", "odd", "more"), dtype=torch.float32)
    words = ["import", str(tmp_path / "cache"), "--out", str(tmp_path / "store"), "--context_len", "4", "--dtype", "float16"]
    assert main([*words, "--site", "odd=mlp_out.3,more=skip"]) == 0
    index = StoredActivations.open(tmp_path / "store").index
    assert (list(index.sites), index.dtype, index.context_len) == (["resid_post.3", "mlp_out.3"], "float16", 4)


def test_a_folder_of_nothing_known_says_what_was_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["import", str(tmp_path / "empty"), "--out", str(tmp_path / "store")]) == 2
    told = _error(capsys)
    assert "batch_PID_N.pt" in told
    assert "--format NAME" in told
    for words, message in (
        ([str(tmp_path / "none"), "--out", "x"], "there is no file or folder"),
        ([str(tmp_path / "empty"), "--out", "x", "--format", "tfaa"], 'Did you mean "tfa"?'),
        ([str(tmp_path / "empty"), "--out", "x", "--format", "tfa"], "holds no states_00000_of_N.pkl"),
        (["s3://mine/acts", "--out", "x"], "Download it first"),
        (["--out", "x"], "import needs a folder"),
        ([str(tmp_path / "empty"), "--format", "tfa"], "import needs a place for the store"),
    ):
        assert main(["import", *words]) == 2
        assert message in _error(capsys)
    write_tfa(tmp_path / "both")
    torch.save(torch.zeros(3, 7), tmp_path / "both" / "batch_1_0.pt")
    assert main(["import", str(tmp_path / "both"), "--out", "x"]) == 2
    assert "could be llama3_sae_batches or tfa" in _error(capsys)


@pytest.mark.parametrize("words", [["--help"], [], ["--format", "llama3_sae_sentences", "--help"]])
def test_help_needs_no_folder(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if len(words) > 1:
        with pytest.raises(SystemExit) as done:
            main(["import", *words])
        assert done.value.code == 0
        assert "--shuffle_seed" in capsys.readouterr().out
    else:
        assert main(["import", *words]) == 0
        assert "llama3_sae_batches" in capsys.readouterr().out


def _files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"
    }


def test_a_stopped_import_goes_on_by_itself_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from monoseme.activations.formats import _input

    write_batches(tmp_path / "outs", {7: 40})
    flags = [
        "--context_len",
        "4",
        "--contexts_per_block",
        "5",
        "--shard_bytes",
        "1500",
        "--seed",
        "3",
        "--holdout_fraction",
        "0.2",
    ]
    assert main(["import", str(tmp_path / "outs"), "--out", str(tmp_path / "whole"), *flags]) == 0
    read = _input.ForeignInput.vectors

    def dies(self: Any, i: int, text: Any) -> Any:
        if i == 13:
            raise OSError(5, "Input/output error", "batch")
        return read(self, i, text)

    monkeypatch.setattr(_input.ForeignInput, "vectors", dies)
    assert main(["import", str(tmp_path / "outs"), "--out", str(tmp_path / "store"), *flags]) == 2
    monkeypatch.undo()
    assert (tmp_path / "store" / UNFINISHED).is_file()
    assert list((tmp_path / "store" / "shards").glob("*.json"))
    capsys.readouterr()
    assert main(["import", str(tmp_path / "outs"), "--out", str(tmp_path / "store"), "--resume", "--seed", "4"]) == 2
    assert "seed is 4, was 3" in _error(capsys)
    assert main(["import", "--out", str(tmp_path / "store"), "--resume"]) == 0
    assert _files(tmp_path / "store") == _files(tmp_path / "whole")
    whole, resumed = (StoredActivations.open(tmp_path / name).content_hash for name in ("whole", "store"))
    assert whole == resumed


def _give_sae(at: Path) -> Path:
    from safetensors.torch import save_file

    at.mkdir(parents=True)
    save_file(
        {"W_enc": torch.ones(4, 6), "b_enc": torch.ones(6), "W_dec": torch.ones(6, 4), "b_dec": torch.ones(4)},
        at / "sae_weights.safetensors",
    )
    told = {
        "architecture": "standard",
        "d_in": 4,
        "d_sae": 6,
        "dtype": "float32",
        "metadata": {"hook_name": "blocks.1.hook_resid_pre"},
    }
    (at / "cfg.json").write_text(json.dumps(told))
    return at


def test_an_sae_that_is_given_no_place_goes_to_saes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = _give_sae(tmp_path / "theirs" / "my sae")
    monkeypatch.chdir(tmp_path)
    assert main(["import", str(given)]) == 0
    assert "imported my_sae (saelens) to saes/my_sae" in capsys.readouterr().out
    assert check_artifact(tmp_path / "saes" / "my_sae") == []
    assert main(["import", str(given)]) == 2
    assert "saes/my_sae exists already" in _error(capsys)
    _give_sae(tmp_path / "theirs" / "other")
    assert main(["import", "theirs"]) == 0
    assert sorted(path.name for path in (tmp_path / "saes" / "theirs").iterdir()) == ["my_sae", "other"]
    (tmp_path / "run.json").write_text("{}")
    assert main(["import", str(given)]) == 2
    assert "this folder is a run" in _error(capsys)


def test_a_format_of_saes_is_an_import_of_saes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = _give_sae(tmp_path / "given")
    for name in SAE_FORMATS.names():
        if name != "saelens":
            assert main(["import", str(given), "--out", str(tmp_path / "out"), "--format", name]) == 2, name
            told = _error(capsys)
            assert "activation" not in told, name
            assert "given" in told, name
    for words, message in (
        ([str(given), "--format", "sealens"], 'no format of SAEs or activations is named "sealens". Did you mean "saelens"?'),
        (["--format", "gemma_scope"], "import needs a file or a folder"),
        ([str(tmp_path / "none.pt")], "there is no file or folder"),
        ([str(given / "cfg.json"), "--format", "goodfire"], "exactly one file *.pt or *.pth"),
    ):
        assert main(["import", *words]) == 2
        assert message in _error(capsys)
    write_tfa(tmp_path / "both")
    for file in given.iterdir():
        file.rename(tmp_path / "both" / file.name)
    assert main(["import", str(tmp_path / "both"), "--out", str(tmp_path / "out")]) == 2
    assert "holds an SAE (saelens) and activations (tfa)" in _error(capsys)
    assert not (tmp_path / "out").exists()


def test_help_of_a_format_of_saes_needs_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["import", "--format", "openai", "--help"])
    assert done.value.code == 0
    assert "--activation" in capsys.readouterr().out
