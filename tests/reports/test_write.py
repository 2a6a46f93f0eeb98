"""The report artifact and its figures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from monoseme.core.artifact import check_artifact, open_artifact
from monoseme.core.errors import ArtifactExistsError, ConfigError
from monoseme.evaluation import metrics_from_json
from monoseme.reports import RunReport, figures_of, write_run_report
from monoseme.reports.figures import density_histogram, metric_bars, training_curves
from monoseme.reports.figures.training import thin


@pytest.fixture
def written(report: RunReport, tmp_path: Path) -> Path:
    write_run_report(report, tmp_path / "report", inputs={"topk": "sha256:0"}, formats=("svg", "json"))
    return tmp_path / "report"


def test_report_json_holds_every_metric_of_every_sae(written: Path, report: RunReport):
    content = json.loads((written / "report.json").read_text())
    assert content["schema"] == 1
    assert list(content["saes"]) == sorted(sae.name for sae in report.saes)
    for sae in report.saes:
        assert metrics_from_json(content["saes"][sae.name]["metrics"]) == tuple(sae.metrics())


def test_the_artifact_is_sound_and_not_overwritten(written: Path, report: RunReport):
    assert open_artifact(written, kind="report").config == {"text": report.title}
    assert check_artifact(written) == []
    with pytest.raises(ArtifactExistsError):
        write_run_report(report, written, inputs={})


def test_each_figure_is_a_file_and_a_specification_with_its_data(written: Path, report: RunReport):
    for figure in figures_of(report):
        assert (written / "figures" / f"{figure.name}.svg").read_text().startswith("<svg")
        spec = json.loads((written / "figures" / f"{figure.name}.json").read_text())
        assert spec["title"] == figure.title
        assert "url" not in json.dumps(spec.get("data"))


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_figures_render_without_a_browser(report: RunReport, kind: str, start: bytes):
    figure = metric_bars("fvu", {sae.name: sae.metric("fvu") for sae in report.saes})
    rendered = figure.render(kind)
    assert isinstance(rendered, bytes)
    assert rendered.startswith(start)


def test_an_unknown_format_is_refused(report: RunReport, tmp_path: Path):
    with pytest.raises(ConfigError, match='"gif"'):
        figures_of(report)[0].save(tmp_path / "figure.gif")


def test_curves_keep_validation_points_and_leave_out_what_cannot_be_drawn():
    rows = [{"sae": "a", "tokens": i, "fvu": value} for i, value in enumerate((1.0, 0.5, 0.0, float("nan"), 0.25))]
    rows += [{"sae": "a", "tokens": 5, "fvu": 0.3, "event": "validation"}]
    (figure,) = training_curves(rows)
    points = figure.spec()["data"]["values"]
    assert [p["value"] for p in points] == [1.0, 0.5, 0.25, 0.3]
    assert [p["held_out"] for p in points] == [False, False, False, True]


def test_thinning_averages_neighbours_and_keeps_the_mean():
    points = [{"sae": "a", "tokens": i, "value": float(i % 7), "held_out": False} for i in range(3000)]
    thinned = thin(points)
    assert len(thinned) == 300
    assert sum(p["value"] for p in thinned) / 300 == pytest.approx(sum(p["value"] for p in points) / 3000)


def test_density_says_how_many_latents_are_dead_and_draws_the_rest(report: RunReport):
    figure = density_histogram({"topk": report.saes[0].table("density")})
    assert "topk 3" in figure.caption
    (measured,) = (drawn for drawn in figures_of(report) if drawn.name == "density")
    n = report.saes[0].metric("dead_fraction").n
    assert f"fired on none of the {n:,} tokens measured" in measured.caption
    assert sum(row["n_latents"] for row in figure.spec()["data"]["values"][:-1]) == 14


def test_an_sae_has_one_colour_in_all_figures(report: RunReport):
    names = [sae.name for sae in report.saes]
    turned = replace(report, training=tuple(sorted(report.training, key=lambda row: names.index(str(row["sae"])), reverse=True)))
    orders = {figure.name: _colour_order(json.loads(figure.render("json"))) for figure in figures_of(turned)}
    assert orders
    assert {name: order for name, order in orders.items() if order != names} == {}


def _colour_order(spec: object) -> list[str] | None:
    """The names that the first colour scale of a specification lists."""
    if isinstance(spec, list):
        return next((found for item in spec if (found := _colour_order(item))), None)
    if not isinstance(spec, dict):
        return None
    own = spec.get("color", {}).get("scale", {}).get("domain") if isinstance(spec.get("color"), dict) else None
    return own or _colour_order(list(spec.values()))
