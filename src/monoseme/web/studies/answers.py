"""What the pages of studies show."""

from typing import Literal

from monoseme.web.values import MetricValue, Model

Cell = str | float | int | bool | None
"""What stands in a table; lists and other things of a study's own are told as text."""


class StudySummary(Model):
    """One line of the list of studies."""

    id: str
    study: str
    """Which study, as `monoseme study` calls it."""
    title: str
    """Of its report; empty before there is one."""
    path: str
    state: Literal["finished", "unfinished", "damaged"]
    problem: str = ""
    """Why there is no report to show."""
    n_findings: int = 0
    n_reproduced: int = 0
    """Findings whose claim held in every comparison (count)."""
    n_tables: int = 0
    n_figures: int = 0


class StudyFinding(Model):
    """A paper's claim and what was found here."""

    claim: str
    verdict: str
    why_missing: str
    comparisons: list["StudyComparison"]


class StudyComparison(Model):
    held: bool
    numbers: str


class StudyFigure(Model):
    """A figure; its specification is at `/figures/{name}`."""

    name: str
    title: str
    caption: str
    why_missing: str
    picture: "StudyPicture | None"
    """What to show instead of the specification where that has so much data that a browser draws it slowly."""
    files: list[int]
    """Numbers of its files, in every format."""


class StudyPicture(Model):
    """Numbers of the PNG files for light and for dark pages."""

    light: int
    dark: int


class StudyTableInfo(Model):
    """A table that can be asked for under `/tables/{name}`."""

    name: str
    n_rows: int
    n_columns: int
    is_shown: bool
    """Whether the study means it to be read; otherwise it is for programs."""
    files: list[int]


class StudyFile(Model):
    """A file of the report, to be had under `/files/{number}`."""

    number: int
    name: str
    n_bytes: int


class StudySubject(Model):
    """What was measured, and its metrics."""

    name: str
    metrics: list[MetricValue]


class StudyDetail(Model):
    """A study's report."""

    id: str
    study: str
    title: str
    text: str
    """Markdown of a few sentences: what was asked and how."""
    command: str
    path: str
    findings: list[StudyFinding]
    figures: list[StudyFigure]
    tables: list[StudyTableInfo]
    metrics: list[StudySubject]
    files: list[StudyFile]


class Column(Model):
    """A column of a table."""

    name: str
    is_numeric: bool


class StudyTable(Model):
    """Some rows of a table, in the order asked for."""

    name: str
    columns: list[Column]
    rows: list[list[Cell]]
    n_rows: int
    """Of the whole table (count)."""
    offset: int
    n_hidden_columns: int = 0
    """Columns that the study does not show; `columns=all` has them."""
