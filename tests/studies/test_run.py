"""A study in its folder: record, report, resume."""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from monoseme.core.artifact import check_artifact, open_artifact
from monoseme.core.errors import ArtifactExistsError, ConfigError, Interrupted, ResumeError
from monoseme.reports.plain_tables import aligned_table, markdown_table
from monoseme.studies import STUDIES, Comparison, Finding, Study, StudyResult, read_record, run_study


class Counting(Study):
    """Counts."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Study.Config):
        """How far."""

        plugin_name = "counting"
        n: int = 3
        """How far (count)."""
        step: float = 1.0
        """No one takes it."""

    plugin_name = "counting"
    config: Config
    stops = False

    def investigate(self, work: Path) -> StudyResult:
        work.mkdir(exist_ok=True)
        done = work / "done"
        if self.stops and not done.exists():
            done.touch()
            raise KeyboardInterrupt
        rows = [{"i": i, "why": None} for i in range(self.config.n)] + [{"i": None, "why": "a | b"}]
        return StudyResult(
            title="Counting",
            text="One by one.",
            tables={"numbers": rows, "none": []},
            findings=[
                Finding("It ends.", (Comparison(True, "At 3."),)),
                Finding("It does not.", (Comparison(False, "It does."),)),
                Finding("Why?", (), "Unknown."),
            ],
        )


def test_the_report_is_an_artifact_with_tables_page_and_command(tmp_path: Path) -> None:
    path = run_study(Counting(), tmp_path / "c", command="monoseme study counting")
    assert open_artifact(path, kind="report").config == {"study": "counting", "n": 3, "step": 1.0}
    assert check_artifact(path) == []
    assert pq.read_table(path / "tables" / "numbers.parquet")["i"].to_pylist() == [0, 1, 2, None]
    page = (path / "index.md").read_text()
    assert "monoseme study counting" in page
    assert [
        word in page
        for word in ("**Reproduced.**\n    - At 3.\n", "It does. (does not hold)", "**Not measured.** Unknown.", "a \\| b")
    ] == [True] * 4
    assert json.loads((path / "report.json").read_text())["findings"][0]["verdict"] == "reproduced"


def test_a_folder_is_not_used_twice_but_resumed_with_its_first_command(tmp_path: Path) -> None:
    run_study(Counting(), tmp_path / "c", command="first")
    with pytest.raises(ArtifactExistsError, match="--resume"):
        run_study(Counting(), tmp_path / "c", command="second")
    path = run_study(Counting(), tmp_path / "c", command="second", resume=True)
    assert "first" in (path / "index.md").read_text()
    assert read_record(tmp_path / "c").config == {"n": 3, "step": 1.0}


def test_force_deletes_the_study_in_the_folder_and_nothing_that_is_no_study(tmp_path: Path) -> None:
    run_study(Counting(), tmp_path / "c", command="first")
    (tmp_path / "c" / "work" / "old").touch()
    path = run_study(Counting(Counting.Config(n=5)), tmp_path / "c", command="second", force=True)
    assert "second" in (path / "index.md").read_text()
    assert not (tmp_path / "c" / "work" / "old").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ArtifactExistsError):
        run_study(Counting(), tmp_path / "mine", command="third", force=True)
    assert (tmp_path / "mine" / "thesis.tex").exists()
    with pytest.raises(ConfigError, match="one of them"):
        run_study(Counting(), tmp_path / "c", command="fourth", force=True, resume=True)


def test_other_settings_are_not_resumed(tmp_path: Path) -> None:
    run_study(Counting(), tmp_path / "c", command="first")
    with pytest.raises(ResumeError, match="n differ"):
        run_study(Counting(Counting.Config(n=4)), tmp_path / "c", command="second", resume=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_setting_that_no_record_can_hold_is_refused_and_leaves_no_folder(tmp_path: Path, value: float) -> None:
    with pytest.raises(ConfigError, match=r"settings\.step must be a finite number"):
        run_study(Counting(Counting.Config(step=value)), tmp_path / "c", command="first")
    assert not (tmp_path / "c").exists()


def test_an_interrupted_study_says_how_to_go_on_and_does(tmp_path: Path) -> None:
    study = Counting()
    study.stops = True
    with pytest.raises(Interrupted, match=r"monoseme study counting --out .* --resume"):
        run_study(study, tmp_path / "c", command="first")
    assert run_study(study, tmp_path / "c", command="first", resume=True).is_dir()


def test_studies_are_listed_without_being_imported() -> None:
    assert {"architectures", "synthetic"} <= {info.name for info in STUDIES.infos()}


def test_tables_align_numbers_to_the_right_and_show_what_is_missing() -> None:
    rows = [{"name": "topk", "n": 12_345, "x": 0.123456}, {"name": "a", "n": 7, "x": None}]
    assert aligned_table(rows).splitlines() == ["name       n       x", "topk  12,345  0.1235", "a          7       –"]
    assert markdown_table(rows, ["name", "x"]).splitlines()[1:] == ["| --- | ---: |", "| topk | 0.1235 |", "| a | – |"]
    assert markdown_table([]) == aligned_table([]) == ""


@pytest.mark.parametrize("works", [False, True])
def test_a_study_that_is_refused_before_it_made_anything_leaves_no_folder(tmp_path: Path, works: bool) -> None:
    class Refused(Counting):
        def investigate(self, work: Path) -> StudyResult:
            if works:
                work.mkdir()
                (work / "half").touch()
            raise ConfigError("no SAE is named")

    with pytest.raises(ConfigError):
        run_study(Refused(), tmp_path / "c", command="c")
    assert (tmp_path / "c" / "work" / "half").exists() == (tmp_path / "c").exists() == works
