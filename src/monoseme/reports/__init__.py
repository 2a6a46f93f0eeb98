"""Reports of a run: figures (`monoseme.reports.figures`), a self-contained HTML page, and `report.json`."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monoseme.reports._data import LatentSample, RunReport, SaeReport, TokenExample
    from monoseme.reports._sections import figures_of
    from monoseme.reports._write import report_json, write_run_report
    from monoseme.reports.html import render_html

_HOMES = {
    "LatentSample": "_data",
    "RunReport": "_data",
    "SaeReport": "_data",
    "TokenExample": "_data",
    "figures_of": "_sections",
    "render_html": "html",
    "report_json": "_write",
    "write_run_report": "_write",
}

__all__ = [
    "LatentSample",
    "RunReport",
    "SaeReport",
    "TokenExample",
    "figures_of",
    "render_html",
    "report_json",
    "write_run_report",
]


def __getattr__(name: str) -> Any:
    """Loads Altair and Jinja on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
