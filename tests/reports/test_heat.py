"""Heat maps: every value in its cell, no colours but the theme's."""

import json
from typing import Any

import pytest

from monoseme.core.errors import ConfigError
from monoseme.reports.figures import Cell, Figure, HeatScale, heat_map


def _made(cells: list[Cell], **settings: Any) -> Figure:
    return heat_map("m", cells, title="M", caption="What one sees.", **settings)


def _cells(n_rows: int = 3, n_columns: int = 5) -> list[Cell]:
    return [Cell(f"r{i}", f"c{j}", i - 0.25 * j) for i in range(n_rows) for j in range(n_columns)]


def _domain(figure: Figure) -> list[float]:
    return figure.spec()["layer"][0]["encoding"]["color"]["scale"]["domain"]


def test_rows_and_columns_keep_the_order_in_which_they_came() -> None:
    encoding = _made([Cell("b", "y", 1.0), Cell("a", "x", 2.0), Cell("c", "z", None)]).spec()["layer"][0]["encoding"]
    assert encoding["y"]["scale"]["domain"] == ["b", "a", "c"]
    assert encoding["x"]["scale"]["domain"] == ["y", "x", "z"]


def test_a_missing_value_is_no_cell() -> None:
    figure = _made([Cell("a", "x", 2.0), Cell("a", "y", None)])
    assert [row["column"] for row in figure.spec()["data"]["values"]] == ["x"]


@pytest.mark.parametrize(
    ("scale", "domain"),
    [
        (HeatScale(), [-0.5, 2.0]),
        (HeatScale(low=0.5, high=3.0), [0.5, 3.0]),
        (HeatScale(kind="diverging"), [-2.0, 2.0]),
        (HeatScale(kind="diverging", high=1.0), [-1.0, 1.0]),
    ],
)
def test_the_scale_spans_what_occurs_or_what_was_said(scale: HeatScale, domain: list[float]) -> None:
    assert _domain(_made(_cells(3, 3), scale=scale)) == domain


def test_values_of_one_kind_still_have_a_scale() -> None:
    assert _domain(_made([Cell("a", "x", 0.0)])) == [0.0, 1.0]
    assert _domain(_made([Cell("a", "x", 3.0), Cell("a", "y", 3.0)])) == [0.0, 3.0]


def test_a_logarithmic_scale_leaves_out_what_has_no_logarithm() -> None:
    figure = _made([Cell("a", "x", 0.0), Cell("a", "y", 0.1), Cell("a", "z", 10.0)], scale=HeatScale(kind="log"))
    assert _domain(figure) == [0.1, 10.0]
    assert len(figure.spec()["data"]["values"]) == 2


def test_numbers_are_written_on_few_cells_and_not_on_many() -> None:
    assert len(_made(_cells(3, 5)).spec()["layer"]) == 3
    assert len(_made(_cells(30, 50)).spec()["layer"]) == 1
    assert len(_made(_cells(3, 5), numbers=False).spec()["layer"]) == 1


def test_no_colour_is_in_the_specification() -> None:
    assert '"#' not in json.dumps(_made(_cells()).spec())


def test_of_many_columns_neighbours_are_joined_to_their_mean() -> None:
    cells = [Cell(f"r{i}", f"c{j}", None if j == 3 else float(i + j)) for i in range(2) for j in range(1350)]
    figure = _made(cells)
    assert figure.spec()["width"] == 900
    values = {(row["row"], row["column"]): row["value"] for row in figure.spec()["data"]["values"]}
    assert len(values) == 2 * 450
    assert (values["r0", "c0"], values["r1", "c0"], values["r0", "c3"]) == (1.0, 2.0, 4.5)
    assert figure.caption.endswith("mean of 3 neighbours.")


def test_nothing_to_show_is_an_error_that_says_so() -> None:
    with pytest.raises(ConfigError, match="no value to show"):
        _made([Cell("a", "x", None)])
