"""The figure of a dictionary's life: every latent of every window is drawn once, joined windows keep their sums."""

from dataclasses import replace
from typing import Any

import pytest

from monoseme.reports import RunReport, figures_of
from monoseme.reports.figures import dictionary_life

_EDGES = [-3.0, -2.0, -1.0, 0.0]


def _row(
    step: int, density: list[int], *, silent: int = 0, deaths: int = 0, revivals: int = 0, sae: str = "topk"
) -> dict[str, Any]:
    return {
        "event": "latents",
        "step": step,
        "tokens": 100 * step,
        "sae": sae,
        "density_bins": _EDGES,
        "density": density,
        "silent": silent,
        "age_bins": [0.0, 1.0],
        "age": [sum(density) + silent],
        "dead": silent,
        "deaths": deaths,
        "revivals": revivals,
    }


def _cells(figure: Any) -> list[dict[str, Any]]:
    spec = figure.spec()
    layer = spec["layer"][0] if "layer" in spec else spec
    name = layer.get("data", spec.get("data")).get("name")
    return spec["datasets"][name] if name else layer.get("data", spec.get("data"))["values"]


def test_every_latent_of_every_window_is_in_one_cell():
    (figure,) = dictionary_life([_row(1, [0, 3, 4]), _row(2, [1, 2, 2], silent=2)], ["topk"])
    cells = _cells(figure)
    assert {end: sum(c["latents"] for c in cells if c["end"] == end) for end in (100, 200)} == {100: 7, 200: 7}
    assert sum(c["share"] for c in cells if c["end"] == 200) == pytest.approx(1.0)
    assert [c["start"] for c in cells if c["end"] == 200] == [100] * 4


def test_the_silent_lie_below_the_rarest_bin_that_any_window_has():
    (figure,) = dictionary_life([_row(1, [0, 3, 4]), _row(2, [0, 2, 2], silent=3)], ["topk"])
    (silent,) = (cell for cell in _cells(figure) if cell["fires"] == "nothing")
    assert silent["high"] < -2.0
    assert silent["latents"] == 3


def test_joined_windows_keep_the_sum_of_deaths_and_the_mean_of_counts():
    rows = [_row(i + 1, [0, 3, 3], silent=1, deaths=1) for i in range(360)]
    (figure,) = dictionary_life(rows, ["topk"])
    assert "360 times one died and 0 times one came back" in figure.caption
    cells = _cells(figure)
    assert len({cell["end"] for cell in cells}) == 90
    assert {cell["latents"] for cell in cells} == {3.0, 1.0}
    lines = figure.spec()["layer"][1]["data"]["values"]
    assert sum(point["latents"] for point in lines if point["turn"] == "died") == 360


def test_without_a_death_there_are_no_lines_and_one_row_is_no_life():
    (figure,) = dictionary_life([_row(1, [0, 3, 4]), _row(2, [0, 3, 4]), _row(1, [1, 1, 1], sae="lone")], ["topk", "lone"])
    assert "None died." in figure.caption
    assert "layer" not in figure.spec()


def test_the_report_shows_the_life_of_each_sae_in_its_colour(report: RunReport):
    names = [sae.name for sae in report.saes]
    rows = [_row(step, [1, 2, 3], silent=1, deaths=step % 2, sae=name) for name in names for step in (1, 2, 3)]
    figures = [f for f in figures_of(replace(report, training=(*report.training, *rows))) if f.name.startswith("life_")]
    assert [figure.title.rpartition(": ")[2] for figure in figures] == names
    assert all(f.spec()["layer"][0]["encoding"]["color"]["scale"]["domain"] == names for f in figures)
    assert isinstance(figures[0].render("png", dark=True), bytes)
