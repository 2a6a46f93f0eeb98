"""`monoseme push` and `monoseme pull`: what they say, what they refuse."""

import json
from pathlib import Path

import pytest

from monoseme.cli._verbs import document, names
from monoseme.cli.main import main
from monoseme.cli.push import _place
from monoseme.pipeline import RunFolder
from tests.hub.conftest import made

__all__ = ["made"]


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.hub._push._PICTURES", ())


def test_a_push_says_what_it_sent_and_a_pull_what_to_type_next(
    made: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONOSEME_HUB", str(tmp_path / "hub"))
    assert main(["push", str(made.path), "me/tiny", "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "would send" in told
    assert "saes/topk/sae.safetensors" in told
    assert "no licence is stated" in told
    assert not (tmp_path / "hub").exists()
    assert main(["push", str(made.path), "me/tiny", "--licence", "mit", "--base-model", "me/model", "--atlas", "--json"]) == 0
    sent = json.loads(capsys.readouterr().out)
    assert (sent["repo"], sent["is_new"], sent["atlas"]["repo"]) == ("me/tiny", True, "me/tiny-atlas")
    assert main(["push", str(made.path), "me/tiny", "--licence", "mit", "--base-model", "me/model", "--atlas"]) == 0
    told = capsys.readouterr().out
    assert "nothing to send" in told
    assert f"monoseme pull me/tiny@{sent['revision']} --out tiny --atlas\n" in told
    out = tmp_path / "back"
    assert main(["pull", f"me/tiny@{sent['revision']}", "--out", str(out), "--atlas"]) == 0
    told = capsys.readouterr().out
    assert "every checksum holds" in told
    assert f"monoseme serve {out}" in told
    assert main(["check", str(out)]) == 0
    assert main(["show", str(out / "saes" / "topk")]) == 0
    assert main(["pull", "me/tiny", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["push"], "what is sent, and where to"),
        (["push", "RUN"], "what is sent, and where to"),
        (["push", "RUN", "nowhere"], "names no repository"),
        (["push", "nowhere", "me/tiny"], "no run or SAE at nowhere"),
        (["push", "RUN", "me/tiny", "--licence", "My Own"], "no licence as the hub writes"),
        (["push", "RUN/atlas/text", "me/tiny"], "'sae' is needed"),
        (["push", "RUN/training", "me/tiny"], "neither a run nor an SAE"),
        (["pull"], "needs a repository"),
        (["pull", "me/tiny"], "needs a new folder"),
        (["pull", "me/tiny", "--out", "OUT"], "no repository me/tiny"),
    ],
)
def test_what_cannot_be_is_told_in_one_message(
    words: list[str],
    told: str,
    made: RunFolder,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MONOSEME_HUB", str(tmp_path / "hub"))
    given = [str(tmp_path / "out") if word == "OUT" else word.replace("RUN", str(made.path)) for word in words]
    assert main(given) == 2
    assert told in capsys.readouterr().err


def test_both_are_listed_beside_export() -> None:
    listed = list(names())
    assert listed[listed.index("export") + 1 :][:2] == ["push", "pull"]
    assert all(flag in document("push") for flag in ("--atlas", "--explanations", "--dry-run", "--also"))


@pytest.mark.parametrize(
    ("address", "told"), [("shared/me/mine", "./shared/me/mine"), ("/d/m", "/d/m"), ("https://h/me/mine", "https://h/me/mine")]
)
def test_a_folder_in_place_of_the_hub_is_told_as_a_path(address: str, told: str) -> None:
    assert _place(address) == told
