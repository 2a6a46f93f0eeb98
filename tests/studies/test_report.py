"""What a study's report writes: numbers, figures in every format, text from data as text, and no number lost to a figure."""

import csv
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from monoseme.core.artifact import check_artifact
from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation import Metric
from monoseme.evaluation._report import metrics_from_json
from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies import Comparison, Finding, StudyResult
from monoseme.studies._report import file_names, write_study_report

_EVIL = "<script>alert(1)</script> | [x](javascript:alert(1))\n# two `code` *it* ![i](//e.org/x.png)"
"""Everything that could become an element, a link, a picture, a heading or the end of a cell."""


def _metric(value: float | None) -> Metric:
    return Metric(
        name="accuracy",
        value=value,
        why_missing=None if value is not None else "no labels",
        unit="fraction",
        better="higher",
        n=11,
        n_documents=5,
        standard_error=0.125 if value is not None else None,
        definition="Share of right answers.",
    )


def _figure(name: str = "dots") -> Figure:
    return interval_dots(name, [Estimate("a", 1.0, 0.5, 1.5)], title="Dots", caption="What one sees.")


def _result(**more: Any) -> StudyResult:
    content: dict[str, Any] = {"title": "Planted", "text": "Asked.", "tables": {"numbers": [{"i": 3}]}}
    return StudyResult(**(content | more))


def _write(result: StudyResult, path: Path) -> tuple[dict[str, Any], str, str]:
    write_study_report(result, path, study="planted", config={}, command="monoseme study planted")
    assert check_artifact(path) == []
    text = [(path / name).read_text(encoding="utf-8") for name in ("report.json", "index.md", "index.html")]
    return json.loads(text[0]), text[1], text[2]


def test_metrics_are_written_typed_and_as_a_tidy_table(tmp_path: Path) -> None:
    held = {"topk": [_metric(0.5)], "tsae (high)": [_metric(None)]}
    content, markdown, html = _write(_result(metrics=held), tmp_path / "r")
    assert {name: list(metrics_from_json(rows)) for name, rows in content["metrics"].items()} == held
    rows = list(csv.DictReader((tmp_path / "r" / "tables" / "metrics.csv").read_text().splitlines()))
    assert [(row["subject"], row["metric"], row["value"], row["why_missing"]) for row in rows] == [
        ("topk", "accuracy", "0.5", ""),
        ("tsae (high)", "accuracy", "", "no labels"),
    ]
    assert "| accuracy | 0.5 ± 0.24 | – |" in markdown
    assert "Share of right answers." in markdown
    assert "Share of right answers." in html


def test_many_subjects_are_rows(tmp_path: Path) -> None:
    _, markdown, _ = _write(_result(metrics={f"s{i}": [_metric(0.5)] for i in range(9)}), tmp_path / "r")
    assert "| s8 | 0.5 ± 0.24 |" in markdown


def test_a_table_of_the_name_of_the_metrics_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Rename its own"):
        _write(_result(metrics={"topk": [_metric(0.5)]}, tables={"metrics": []}), tmp_path / "r")


def test_a_figure_is_written_in_every_format_and_for_both_themes(tmp_path: Path) -> None:
    content, markdown, _ = _write(_result(figures=[_figure()]), tmp_path / "r")
    written = {file.name for file in (tmp_path / "r" / "figures").iterdir()}
    assert written == {"dots.png", "dots.dark.png", "dots.svg", "dots.dark.svg", "dots.pdf", "dots.json"}
    assert content["figures_not_drawn"] == {}
    assert "![Dots](figures/dots.png)" in markdown
    light, dark = ((tmp_path / "r" / "figures" / f"dots{ending}").read_bytes() for ending in (".png", ".dark.png"))
    assert light[:4] == dark[:4] == b"\x89PNG"
    assert light != dark


def test_a_figure_that_fails_costs_no_number_and_is_drawn_when_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: Figure, *_: Any, **__: Any) -> None:
        raise ValueError(f"no {self.name}")

    class _Heard(SilentDisplay):
        warned: ClassVar[list[str]] = []

        def warn(self, text: str) -> None:
            self.warned.append(text)

    result = _result(figures=[_figure()], metrics={"topk": [_metric(0.5)]})
    with monkeypatch.context() as patched, use_display(_Heard()):
        patched.setattr(Figure, "pictures", failing)
        content, markdown, html = _write(result, tmp_path / "r")
        assert _Heard.warned == ['the figure "dots" could not be drawn: ValueError: no dots']
    assert content["figures_not_drawn"] == {"dots": "ValueError: no dots"}
    assert content["metrics"]["topk"][0]["value"] == 0.5
    assert "Not drawn: ValueError: no dots." in markdown
    assert "Not drawn: Dots (ValueError: no dots)." in html
    content, _, _ = _write(result, tmp_path / "r")
    assert content["figures_not_drawn"] == {}


def test_text_from_data_is_text_in_markdown(tmp_path: Path) -> None:
    _, markdown, html = _write(
        _result(
            title=_EVIL,
            tables={"numbers": [{"name": _EVIL, "i": 1}]},
            findings=[Finding(_EVIL, (Comparison(True, _EVIL),), _EVIL)],
            figures=[Figure(name="dots", title=_EVIL, caption=_EVIL, chart=_figure().chart, has_own_size=True)],
            metrics={_EVIL: [_metric(0.5)]},
        ),
        tmp_path / "r",
    )
    lines = markdown.splitlines()
    assert "<script" not in markdown
    assert "](javascript:" not in markdown.replace("\\[x](", "")
    assert "](//e.org" not in markdown.replace("\\[i](", "")
    assert not [line for line in lines if line.startswith("# two")]
    (row,) = (line for line in lines if line.startswith("| ") and "two" in line and line.endswith("| 1 |"))
    assert row.count(" | ") == 1
    assert "<script>alert" not in html


def test_a_long_table_is_cut_in_markdown_and_whole_in_its_file(tmp_path: Path) -> None:
    _, markdown, _ = _write(_result(tables={"numbers": [{"i": i} for i in range(70)]}), tmp_path / "r")
    assert "The first 60 of 70 rows." in markdown
    assert "| 60 |" not in markdown
    assert len((tmp_path / "r" / "tables" / "numbers.csv").read_text().splitlines()) == 71


def test_a_table_of_which_no_column_is_shown_is_linked_to(tmp_path: Path) -> None:
    _, markdown, html = _write(_result(shown={"numbers": ()}), tmp_path / "r")
    assert "1 rows: [CSV](tables/numbers.csv)" in markdown
    assert "|" not in markdown
    assert 'numbers: 1 rows, <a href="tables/numbers.csv">' in html
    assert "<caption>" not in html


def test_files_for_other_programs_are_kept_checked_and_linked(tmp_path: Path) -> None:
    content, markdown, html = _write(_result(files={"topk_saebench.json": b"{}"}), tmp_path / "r")
    assert content["files"] == ["files/topk_saebench.json"]
    assert (tmp_path / "r" / "files" / "topk_saebench.json").read_bytes() == b"{}"
    assert "(files/topk_saebench.json)" in markdown
    assert 'href="files/topk_saebench.json"' in html
    for name in ("../evil", "a/b", ".hidden", ""):
        with pytest.raises(ConfigError, match="cannot keep a file"):
            _write(_result(files={name: b""}), tmp_path / "bad")


def test_a_name_from_data_leads_to_no_other_folder() -> None:
    names = ["a_b", "../../x", "tsae (high)", "tsae [high]", "", "/etc/x"]
    assert list(file_names(names).values()) == ["a_b", "x", "tsae_high", "tsae_high_2", "unnamed", "etc_x"]
