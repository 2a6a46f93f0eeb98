"""The variation of codes over time is drawn for each part of each SAE that was measured."""

from typing import Any

from monoseme.reports.figures import variation_over_time


def _row(part: str, value: float | None, *, metric: str = "smoothness_tv_relative", error: float | None = 0.01) -> dict[str, Any]:
    return {"part": part, "metric": metric, "value": value, "standard_error": error}


def test_each_part_with_a_value_has_a_row_named_after_its_sae() -> None:
    parts = {
        "topk": [_row("all", 1.7), _row("all", 9.0, metric="smoothness_tv")],
        "tsae": [_row("all", 1.6), _row("high", 0.8, error=None), _row("low", None)],
    }
    spec = variation_over_time(parts).spec()
    rows = spec["layer"][0]["data"]["values"] if "data" in spec["layer"][0] else spec["data"]["values"]
    assert [(row["row"], row["value"]) for row in rows] == [("topk", 1.7), ("tsae", 1.6), ("tsae, high", 0.8)]
    assert [round(row["low"], 4) for row in rows] == [1.6804, 1.5804, 0.8]
