"""Studies over HTTP: what was written is answered, tables are sorted, and no path of a request reaches the disk."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from monoseme.core.files import write_json
from monoseme.evaluation import Metric
from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies import Comparison, Finding, StudyResult, find_studies, read_study
from monoseme.studies._report import write_study_report
from monoseme.web._app import app_over
from monoseme.web.studies import StudyShelf

from .conftest import HOME
from .fake_run import HOSTILE

_METRIC = Metric(
    name="accuracy",
    value=0.5,
    unit="fraction",
    better="higher",
    n=11,
    n_documents=5,
    standard_error=0.1,
    definition="Right ones.",
)
_ROWS: list[dict[str, Any]] = [
    {"name": "b", "value": 2.0, "part": "x", "long": "x" * 5000},
    {"name": HOSTILE, "value": None, "part": "", "long": ""},
    {"name": "a", "value": -1.0, "part": "", "long": ""},
    {"name": "c", "value": float("nan"), "part": "", "long": ""},
]


def write_study(out: Path, *, text: str = "Asked *this*.") -> Path:
    """A study with everything that a report may have."""
    result = StudyResult(
        title=f"Planted {HOSTILE}",
        text=text,
        tables={"numbers": _ROWS, "hidden": [{"i": 3}]},
        shown={"numbers": ("name", "value"), "hidden": ()},
        metrics={"topk": [_METRIC]},
        figures=[interval_dots("dots", [Estimate("a", 1.0, 0.5, 1.5)], title="Dots", caption="What one sees.")],
        findings=[Finding("Holds.", (Comparison(True, "1 > 0"),)), Finding("Not asked.", (), "no labels")],
    )
    write_json(out / "study.json", {"study": "planted", "config": {}, "command": "monoseme study planted"})
    with pytest.MonkeyPatch.context() as patched:
        # Pictures take seconds, and nothing here looks at them.
        patched.setattr(Figure, "pictures", lambda _self, kinds, dark=False: dict.fromkeys(kinds, b"picture"))
        write_study_report(result, out / "report", study="planted", config={}, command="monoseme study planted")
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies: one finished, one without a report, one damaged."""
    root = tmp_path_factory.mktemp("studies")
    write_study(root / "reports" / "planted")
    write_json(root / "begun" / "study.json", {"study": "planted", "config": {}, "command": "monoseme study planted"})
    write_study(root / "torn")
    (root / "torn" / "report" / "report.json").write_text("{}")
    return root


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[TestClient]:
    with TestClient(app_over([], studies=StudyShelf([folder])), base_url=HOME) as client:
        yield client


def test_the_list_tells_finished_unfinished_and_damaged_ones_apart(served: TestClient) -> None:
    listed = {study["id"]: study for study in served.get("/api/studies").json()}
    assert {name: study["state"] for name, study in listed.items()} == {
        "begun": "unfinished",
        "planted": "finished",
        "torn": "damaged",
    }
    assert (listed["planted"]["n_findings"], listed["planted"]["n_reproduced"], listed["planted"]["n_figures"]) == (2, 1, 1)
    assert "--resume" in listed["begun"]["problem"]
    assert served.get("/api/studies/begun").status_code == 404


def test_a_report_is_answered_as_it_was_written(served: TestClient) -> None:
    study = served.get("/api/studies/planted").json()
    assert (study["text"], study["command"]) == ("Asked *this*.", "monoseme study planted")
    assert [finding["verdict"] for finding in study["findings"]] == ["reproduced", "not measured"]
    assert [(table["name"], table["n_rows"], table["is_shown"]) for table in study["tables"]] == [
        ("numbers", 4, True),
        ("hidden", 1, False),
    ]
    assert study["metrics"][0]["metrics"][0]["value"] == 0.5
    figure = study["figures"][0]
    assert (figure["title"], figure["caption"], figure["picture"]) == ("Dots", "What one sees.", None)
    spec = served.get("/api/studies/planted/figures/dots").json()
    assert not {"title", "config", "usermeta"} & set(spec)


def test_tables_are_sorted_with_missing_values_last(served: TestClient) -> None:
    def values(**query: Any) -> list[Any]:
        rows = served.get("/api/studies/planted/tables/numbers", params=query).json()["rows"]
        return [row[0] if query.get("sort") == "name" else row[1] for row in rows]

    assert values(sort="value") == [-1.0, 2.0, None, "nan"]
    assert values(sort="value", order="descending") == [2.0, -1.0, None, "nan"]
    assert values(sort="value", offset=1, limit=1) == [2.0]
    whole = served.get("/api/studies/planted/tables/numbers?columns=all").json()
    assert [column["name"] for column in whole["columns"]] == ["name", "value", "part", "long"]
    assert len(whole["rows"][0][3]) < 2_100
    assert served.get("/api/studies/planted/tables/numbers?sort=part").status_code == 200
    assert served.get("/api/studies/planted/tables/numbers?sort=nothing").status_code == 404


def test_files_are_saved_never_shown_and_known_by_number_alone(served: TestClient) -> None:
    files = served.get("/api/studies/planted").json()["files"]
    page = next(file for file in files if file["name"] == "index.html")
    answer = served.get(f"/api/studies/planted/files/{page['number']}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert len(answer.content) == page["n_bytes"]
    assert served.get(f"/api/studies/planted/files/{len(files)}").status_code == 404
    for path in ("..%2fstudy.json", "index.html", "-1"):
        assert served.get(f"/api/studies/planted/files/{path}").status_code in (404, 422)


def test_a_link_out_of_a_report_is_not_followed(tmp_path: Path) -> None:
    out = write_study(tmp_path / "planted")
    page = out / "report" / "index.md"
    secret = tmp_path / "secret"
    secret.write_bytes(page.read_bytes())
    page.unlink()
    page.symlink_to(secret)
    with TestClient(app_over([], studies=StudyShelf([tmp_path])), base_url=HOME) as client:
        number = next(f["number"] for f in client.get("/api/studies/planted").json()["files"] if f["name"] == "index.md")
        assert "leads out" in client.get(f"/api/studies/planted/files/{number}").json()["error"]


def test_an_id_stays_when_another_study_of_that_name_appears(tmp_path: Path) -> None:
    write_study(tmp_path / "b" / "planted")
    shelf = StudyShelf([tmp_path])
    first = {study.id: study.path for study in shelf}
    write_study(tmp_path / "a" / "planted")
    later = {study.id: study.path for study in shelf}
    assert later["planted"] == first["planted"]
    assert set(later) == {"planted", "planted-2"}


def test_reports_of_earlier_versions_are_read_without_what_they_lack(tmp_path: Path) -> None:
    out = write_study(tmp_path / "planted")
    manifest = json.loads((out / "report" / "manifest.json").read_text())
    content = json.loads((out / "report" / "report.json").read_text())
    old = {key: value for key, value in content.items() if key not in ("text", "shown", "table_names", "figure_files")}
    (out / "report" / "report.json").write_text(json.dumps(old))
    manifest["files"]["report.json"]["bytes"] = (out / "report" / "report.json").stat().st_size
    (out / "report" / "manifest.json").write_text(json.dumps(manifest))
    report = read_study(next(find_studies(tmp_path)))
    assert report.text == "Asked *this*."
    assert [(figure.title, figure.caption, figure.file) for figure in report.figures] == [("dots", "", "figures/dots")]
