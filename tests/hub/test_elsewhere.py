"""Where the model or the text of a run that was pulled lies elsewhere, all that is said next leads to what works here."""

from pathlib import Path

import pytest

from monoseme.cli.main import main
from monoseme.core.files import read_json, write_json
from monoseme.hub import PushConfig, pull, push
from monoseme.hub._card import elsewhere_flags
from monoseme.pipeline import RUN_FILE, RunFolder


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than everything else here."""
    monkeypatch.setattr("monoseme.hub._push._PICTURES", ())


def test_commands_for_others_name_what_a_push_leaves_out(made: RunFolder, tmp_path: Path) -> None:
    to = str(tmp_path / "hub/me/tiny")
    flags = " --model FOLDER --corpus TEXT"
    assert f"\nmonoseme eval tiny/saes/batchtopk{flags}\n" in push(made.path, to, PushConfig(atlas=True)).card
    out, atlas = tmp_path / "back", tmp_path / "back-atlas"
    pulled = pull(to, out=out)
    (notes,) = pulled.annotations
    assert pulled.next[2:] == (
        f"monoseme eval {out}/saes/batchtopk{flags}",
        f"monoseme scan {out}{flags} --out {atlas}",
        f"monoseme import {notes} --atlas {atlas}",
    )
    assert pull(to, out=tmp_path / "whole", atlas=True).next[0] == f"monoseme serve {tmp_path / 'whole'} --model FOLDER"
    named = push(made.path, str(tmp_path / "hub/me/named"), PushConfig(base_model="me/model"))
    assert "\nmonoseme eval named/saes/batchtopk --corpus TEXT\n" in named.card
    assert elsewhere_flags("bundled", "bundled", context_len=32) == elsewhere_flags("me/model", "me/text") == ""
    assert elsewhere_flags("bundled", "texts.jsonl", context_len=32) == " --corpus TEXT --context_len 32"


def test_the_contexts_of_the_run_are_those_of_the_text_in_its_place(own: RunFolder, tmp_path: Path) -> None:
    record = read_json(own.path / RUN_FILE)
    record["config"]["corpus"]["context_len"] = 32
    write_json(own.path / RUN_FILE, record)
    assert "--corpus TEXT --context_len 32\n" in push(own.path, str(tmp_path / "hub/me/tiny")).card
    told = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back").next
    assert [line.rpartition(" TEXT ")[2] for line in told[2:4]] == [
        "--context_len 32",
        f"--corpus.context_len 32 --out {tmp_path / 'back-atlas'}",
    ]


def test_a_run_that_was_measured_elsewhere_leads_to_a_model_and_a_text_that_are_here(
    made: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(made.path, str(tmp_path / "hub/me/tiny"))
    out = pull(str(tmp_path / "hub/me/tiny"), out=tmp_path / "back").out
    assert main(["eval", str(out)]) == 2
    told = capsys.readouterr().err
    assert f"monoseme eval {out} --model FOLDER --corpus TEXT" in told
    assert "--overwrite" not in told
    assert main(["eval", str(out), "--overwrite", "--model", "bundled"]) == 2
    assert "--out NEW --corpus TEXT" in capsys.readouterr().err
