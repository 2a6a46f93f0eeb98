"""The list of runs, and the first page of one.

GET /api/runs                          the runs being served
GET /api/measured                      the same with all that was measured on them
GET /api/chart-themes                  Vega-Lite configs that go under every chart
GET /api/runs/{run}                    overview: model, corpus, SAEs, metrics
GET /api/runs/{run}/charts/{chart}     a Vega-Lite specification
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path

from monoseme.core.errors import MonosemeError
from monoseme.web.overview._reader import OverviewReader
from monoseme.web.overview.answers import ChartThemes, MeasuredRun, RunOverview, RunSummary
from monoseme.web.routing import ServedRun, ServedRuns
from monoseme.web.run_files import Run

router = APIRouter()


@router.get("/runs")
def runs(library: ServedRuns) -> list[RunSummary]:
    """The runs being served; one that is damaged says so, and hides none of the others."""
    return [_summary(run) for run in library]


def _summary(run: Run) -> RunSummary:
    try:
        return run.page(OverviewReader).summary()
    except MonosemeError as error:
        return RunSummary(id=run.id, name=run.id, path="", model="", site="", saes=[], problem=str(error))


@router.get("/measured")
def measured(library: ServedRuns) -> list[MeasuredRun]:
    """Every run with its SAEs and their metrics, to be held side by side."""
    return [_measured(run) for run in library]


def _measured(run: Run) -> MeasuredRun:
    try:
        return run.page(OverviewReader).measured()
    except MonosemeError as error:
        return MeasuredRun(id=run.id, name=run.id, model="", site="", facts=[], saes=[], problem=str(error))


@router.get("/chart-themes")
def chart_themes() -> ChartThemes:
    """The configs under which charts are drawn, light and dark."""
    from monoseme.web.overview import _charts  # Altair takes a second to import: not before a chart is wanted

    return _charts.themes()


@router.get("/runs/{run}")
def overview(run: ServedRun) -> RunOverview:
    """Model, corpus, SAEs and their metrics."""
    return run.page(OverviewReader).overview()


@router.get("/runs/{run}/charts/{chart}")
def chart(run: ServedRun, chart: Annotated[str, Path(max_length=100)]) -> dict[str, Any]:
    """One of the charts that the overview names, as a Vega-Lite specification."""
    return run.page(OverviewReader).chart(chart)
