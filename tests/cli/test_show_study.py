"""`monoseme show` and `check` on what a study wrote."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from monoseme.cli.main import main
from monoseme.studies import Comparison, Finding, Study, StudyResult, run_study


class Planted(Study):
    """Finds what it was told."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Study.Config):
        """Nothing to set."""

        plugin_name = "planted"

    plugin_name = "planted"

    def investigate(self, work: Path) -> StudyResult:
        found = Finding("Codes last.", (Comparison(True, "0.5 [0.4, 0.6]"), Comparison(False, "0.1 [-0.1, 0.3]")))
        return StudyResult(title="A planted world", text="Asked.", tables={"numbers": [{"i": 3}]}, findings=[found])


@pytest.fixture
def out(tmp_path: Path) -> Path:
    run_study(Planted(), tmp_path / "s", command="monoseme study planted")
    return tmp_path / "s"


@pytest.mark.parametrize("below", ["", "report"])
def test_a_study_is_shown_by_its_findings_and_its_page(out: Path, below: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(out / below)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("A planted world\n  study planted, made by:  monoseme study planted\n")
    assert "[reproduced in 1 of 2 comparisons] Codes last.\n  + 0.5 [0.4, 0.6]\n  - 0.1 [-0.1, 0.3]\n" in shown
    assert shown.rstrip().endswith(f"open:  {out / 'report'}/index.html")


def test_programs_get_the_whole_report(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["findings"][0]["comparisons"][0] == {"held": True, "numbers": "0.5 [0.4, 0.6]"}
    assert len(told["content_hash"]) > 20


def test_a_study_is_verified_like_any_artifact(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(out)]) == 0
    (out / "report" / "index.html").write_text("other")
    assert main(["check", str(out)]) == 2
    assert "index.html" in capsys.readouterr().err


def test_a_study_that_is_not_at_its_end_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "study.json").write_text('{"study": "planted", "config": {}, "command": "monoseme study planted"}')
    assert main(["show", str(tmp_path)]) == 2
    assert f"monoseme study planted --out {tmp_path} --resume" in capsys.readouterr().err
