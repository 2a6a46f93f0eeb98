"""The report of a run as one HTML file that needs nothing else: no network, no folder beside it, no server (`_inline.py`)."""

import json

from markupsafe import Markup

from monoseme.atlas.score_summary import CONTROLS
from monoseme.reports._data import RunReport
from monoseme.reports._explained import chosen_by, controls_of, explained_rows
from monoseme.reports._inline import chart_data, json_for_html, own, policy, template, vega_bundle, visible_token
from monoseme.reports._sections import figures_of
from monoseme.reports._shading import passages
from monoseme.reports._summary import DOMAIN_METRICS, domain_rows, headlines, tables

__all__ = ["render_html", "visible_token"]


def render_html(report: RunReport) -> str:
    """The whole page."""
    figures = figures_of(report)
    scripts = [vega_bundle(), own("charts.js")] if figures else []
    return template("report.html.j2").render(
        report=report,
        figures=figures,
        headlines={sae.name: headlines(sae) for sae in report.saes},
        tables=tables(report),
        domains=domain_rows(report),
        domain_metrics=DOMAIN_METRICS,
        explained=explained_rows(report),
        controls=CONTROLS,
        controls_of=controls_of,
        chosen_by=chosen_by,
        is_explained=any(sample.explanation is not None for sae in report.saes for sample in sae.samples),
        passages=passages,
        config=json.dumps(report.config, indent=2, ensure_ascii=False, default=str),
        style=Markup(own("report.css")),
        scripts=[Markup(script) for script in scripts],
        policy=policy(scripts),
        data=Markup(json_for_html(chart_data(figures))),
    )
