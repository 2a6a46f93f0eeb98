"""What the list of runs and a run's first page show."""

from typing import Any, Literal

from monoseme.web.values import MetricValue, Model


class Fact(Model):
    """A labelled fact about a run, ready to show."""

    label: str
    value: str
    help: str = ""


class Chart(Model):
    """A chart that can be asked for under `/charts/{name}`."""

    name: str
    title: str
    group: Literal["training", "measured"]
    caption: str = ""


class ChartThemes(Model):
    """Vega-Lite configs that give every chart the colours of the page."""

    light: dict[str, Any]
    dark: dict[str, Any]


class SaeSummary(Model):
    """One SAE of a run, with what was measured on it."""

    name: str
    architecture: str
    n_latents: int | None
    site: str
    has_atlas: bool
    scanned_as: tuple[str, ...] = ()
    """The names under which its latents are found: its own, or those of its parts and sites; none before the scan."""
    why_no_atlas: str = ""
    config: dict[str, Any]
    metrics: list[MetricValue]
    measured_as: str = ""
    """What the metrics are of, where this is a part of a code: they are measured on the whole; empty where it is the whole."""
    domains: dict[str, list[MetricValue]]
    """The same metrics on each domain of the held-out text; empty where there is one."""


class RunSummary(Model):
    """One line of the list of runs."""

    id: str
    name: str
    path: str
    model: str
    site: str
    saes: list[str]
    problem: str = ""
    """Why the run cannot be shown; empty where it can."""


class RunOverview(Model):
    """The overview page of a run."""

    id: str
    name: str
    model: str
    site: str
    corpus: str
    has_given_saes: bool = False
    """Whether its SAEs were trained elsewhere: the text is then what they are measured on."""
    facts: list[Fact]
    saes: list[SaeSummary]
    charts: list[Chart]


class MeasuredRun(Model):
    """A run in the comparison of runs."""

    id: str
    name: str
    model: str
    site: str
    facts: list[Fact]
    saes: list[SaeSummary]
    problem: str = ""
    """Why it cannot be compared; empty where it can."""
