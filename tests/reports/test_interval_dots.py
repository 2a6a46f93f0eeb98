"""Dots with intervals: each estimate once, in its panel, told apart without colour."""

from typing import Any

import pytest

from monoseme.core.errors import ConfigError
from monoseme.reports.figures import Estimate, Figure, interval_dots


def _made(estimates: list[Estimate], **settings: Any) -> Figure:
    return interval_dots("d", estimates, title="D", caption="What one sees.", **settings)


def test_rows_stand_in_the_order_in_which_they_came() -> None:
    spec = _made([Estimate("b", 1.0, 0.5, 1.5), Estimate("a", 2.0)]).spec()
    assert spec["layer"][0]["encoding"]["y"]["sort"] == ["b", "a"]
    assert [(row["low"], row["high"]) for row in spec["data"]["values"]] == [(0.5, 1.5), (2.0, 2.0)]


def test_each_quantity_has_a_panel_with_the_rows_that_have_a_value() -> None:
    spec = _made([Estimate("a", 1.0, panel="p"), Estimate("a", 2.0, panel="q"), Estimate("b", None, panel="q")]).spec()
    assert [panel["layer"][0]["encoding"]["x"]["title"] for panel in spec["concat"]] == ["p", "q"]
    assert [[row["row"] for row in panel["data"]["values"]] for panel in spec["concat"]] == [["a"], ["a"]]


def test_groups_have_a_shape_beside_their_colour() -> None:
    dots = _made([Estimate("a", 1.0, group="x"), Estimate("a", 2.0, group="y")]).spec()["layer"][1]
    assert dots["encoding"]["shape"]["scale"]["range"] == ["circle", "square"]
    assert dots["encoding"]["color"]["scale"]["domain"] == ["x", "y"]
    assert "color" not in _made([Estimate("a", 1.0)]).spec()["layer"][1]["encoding"]


def test_a_reference_is_a_line_and_a_logarithm_leaves_out_what_has_none() -> None:
    spec = _made([Estimate("a", 1.0, 0.0, 2.0), Estimate("b", 2.0, 0.5, 3.0)], reference=1.0, is_log=True).spec()
    assert spec["layer"][0]["data"]["values"] == [{"at": 1.0}]
    assert [row["row"] for row in spec["layer"][1]["data"]["values"]] == ["b"]


def test_nothing_to_show_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="no value to show"):
        _made([Estimate("a", None)])
