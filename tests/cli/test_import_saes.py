"""`monoseme import` of SAEs: a file, a folder, several, a word of the hub; what it tells, and the flags that it asks for."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from monoseme.cli.main import main
from monoseme.core.artifact import check_artifact
from monoseme.interchange import FINGERPRINT
from monoseme.saes import load_sae
from tests.cli._tiny_saes import D, F, theirs


def _told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def test_a_folder_becomes_an_artifact_and_json_says_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, out = theirs(tmp_path / "given"), tmp_path / "out"
    assert main(["import", str(given), "--out", str(out), "--json"]) == 0
    told = _told(capsys)
    (sae,) = told["saes"]
    assert (told["format"], told["out"], sae["path"]) == ("saelens", str(out), str(out))
    assert (sae["architecture"], sae["d_in"], sae["n_latents"], sae["sites"], sae["model"]) == (
        "topk",
        D,
        F,
        "resid_post.1",
        "gpt2",
    )
    assert max(sae["agreement"]["codes"], sae["agreement"]["x_hat"]) < 1e-6
    assert check_artifact(out) == []
    assert main(["import", str(given), "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_several_go_into_a_folder_each_or_none_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for layer in (1, 2):
        theirs(tmp_path / "given" / f"layer_{layer}", layer=layer)
    assert main(["import", str(tmp_path / "given"), "--out", str(tmp_path / "out"), "--json"]) == 0
    found = {sae["name"]: sae["sites"] for sae in _told(capsys)["saes"]}
    assert found == {"layer_1": "resid_post.1", "layer_2": "resid_post.2"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["layer_1", "layer_2"]
    (tmp_path / "given" / "layer_2" / "sae_weights.safetensors").write_bytes(b"")
    assert main(["import", str(tmp_path / "given"), "--out", str(tmp_path / "none")]) == 2
    assert "layer_2" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_word_of_the_hub_is_fetched_and_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for layer in (1, 2):
        theirs(tmp_path / "hub" / "me" / "saes" / f"layer_{layer}", layer=layer)
    monkeypatch.setenv("MONOSEME_HUB", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    assert main(["import", "hf://me/saes/layer_2", "--out", "out", "--json"]) == 0
    assert _told(capsys)["saes"][0]["sites"] == "resid_post.2"
    assert main(["import", "me/saes", "--out", "both"]) == 2
    told = capsys.readouterr().err
    assert "holds 2 SAEs; name one" in told
    assert "hf://me/saes/layer_1" in told
    assert main(["import", "hf://me/none", "--out", "none"]) == 2
    assert "there is no repository me/none" in capsys.readouterr().err


def test_what_a_file_does_not_say_is_asked_for_by_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {"b_pre": torch.zeros(D), "encoder.weight": torch.randn(F, D), "encoder.bias": torch.zeros(F)}
    torch.save({**state, "decoder.weight": torch.randn(D, F)}, tmp_path / "sae.pth")
    words = ["import", str(tmp_path / "sae.pth"), "--out", str(tmp_path / "out")]
    for flags, asked in (
        ([], "--k"),
        (["--k", "3"], "--site resid_post.12"),
        (["--k", "3", "--site", "resid_psot.1"], "resid_post"),
    ):
        assert main([*words, *flags]) == 2
        told = capsys.readouterr().err
        assert asked in told
        assert "Traceback" not in told
        assert not (tmp_path / "out").exists()
    assert main([*words, "--k", "3", "--site", "resid_post.4"]) == 0
    assert "normalized_topk, D=7, 12 latents, at resid_post.4 of a model not named" in capsys.readouterr().out
    assert load_sae(tmp_path / "out").config.sites == ("resid_post.4",)


def test_one_that_is_not_what_its_fingerprint_says_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, other = theirs(tmp_path / "given"), theirs(tmp_path / "other", layer=2)
    words = ["import", str(given), "--out", str(tmp_path / "out"), "--fingerprint", str(other / FINGERPRINT)]
    assert main(words) == 2
    assert "does not compute what its fingerprint says" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
