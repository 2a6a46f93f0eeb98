"""`monoseme export` of an SAE: every format that can hold it, what is told, and what is refused."""

import json
from pathlib import Path

import pytest

from monoseme.cli.main import main
from monoseme.interchange import FINGERPRINT, SAE_FORMATS, find_sae_format
from tests.cli._tiny_saes import ours, theirs

READ_ONLY = [name for name in SAE_FORMATS.names() if not SAE_FORMATS.get(name).writes]


@pytest.mark.parametrize("format", ["saelens", "sparsify", "dictionary_learning", "plain"])
def test_an_sae_goes_out_and_is_read_again(format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["export", str(ours(tmp_path / "topk")), "--format", format, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["format"], told["out"]) == (format, str(out))
    assert told["n_files"] == len([path for path in out.rglob("*") if path.is_file()])
    assert max(told["codes_off"], told["x_hat_off"]) < 1e-6
    assert find_sae_format(out) == format
    assert len(list(out.rglob(FINGERPRINT))) == 1


def test_the_files_of_another_tool_become_those_of_a_third(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, out = theirs(tmp_path / "given"), tmp_path / "out"
    words = ["export", str(given), "--format", "sparsify", "--out", str(out), "--no-fingerprint"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert f"exported given to {out} (sparsify)" in told
    assert "read again: codes within" in told
    assert (out / "layers.1" / "cfg.json").is_file()
    assert not list(out.rglob(FINGERPRINT))
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_what_a_format_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups, plain = str(ours(tmp_path / "groups", groups=True)), str(ours(tmp_path / "topk"))
    out = tmp_path / "out"
    for sae, format in [(groups, "saelens"), (plain, "tfa"), (plain, "tsae"), *((plain, name) for name in READ_ONLY)]:
        assert main(["export", sae, "--format", format, "--out", str(out)]) == 2, format
        told = capsys.readouterr().err
        assert told.startswith("monoseme: "), format
        assert "Traceback" not in told, format
        assert not out.exists(), format
        assert format not in READ_ONLY or "can be read, but not written" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--format", "saelens"], "needs a new folder"),
        (["--format", "sealens", "--out", "x"], 'Did you mean "saelens"'),
        (["--out", "x"], "needs a format"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(ours(tmp_path / "topk")), *words]) == 2
    assert told in capsys.readouterr().err
