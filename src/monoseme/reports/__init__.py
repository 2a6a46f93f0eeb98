"""Reports of a run: figures (`monoseme.reports.figures`), a self-contained HTML page, and `report.json`."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.reports._data import LatentSample, RunReport, SaeReport, TokenExample
    from monoseme.reports._sections import figures_of
    from monoseme.reports._write import report_json, write_run_report
    from monoseme.reports.html import render_html


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

__getattr__ = lazy_attributes(
    __name__,
    {
        "_data": ["LatentSample", "RunReport", "SaeReport", "TokenExample"],
        "_sections": ["figures_of"],
        "_write": ["report_json", "write_run_report"],
        "html": ["render_html"],
    },
)
