"""Tables of the study of time: every metric of every subject with its interval, and paired differences from a baseline."""

from collections.abc import Sequence

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval
from monoseme.studies._temporal.measure import OverTime
from monoseme.studies._workbench import Subject

MAIN = (
    "smoothness_tv_to_shuffled",
    "smoothness_autocorrelation_1",
    "smoothness_autocorrelation_32",
    "smoothness_tv_relative",
    "smoothness_sequence_l0_relative",
    "fvu_alone",
)
"""The metrics that figures and the first table show: those that compare SAEs of different scale and density come first."""


def overview_rows(found: Sequence[OverTime]) -> list[Row]:
    """A row for each subject: the main metrics in words, value and interval."""
    return [
        {"code": each.subject.name}
        | {metric: None if (interval := each.interval(metric)) is None else str(interval) for metric in MAIN}
        for each in found
    ]


def interval_rows(found: Sequence[OverTime]) -> list[Row]:
    """A row for each subject and metric, missing ones with the reason."""
    return [
        {"code": each.subject.name, "sae": each.subject.sae_name, "part": each.subject.word, "metric": name}
        | _ends(each.interval(name), "value")
        | {"unit": metric.unit, "better": metric.better, "n": metric.n, "n_documents": metric.n_documents}
        | {"why_missing": metric.why_missing}
        for each in found
        for name, metric in each.metrics.items()
    ]


def difference_rows(found: Sequence[OverTime], baseline: str | None) -> list[Row]:
    """A row for each metric of each subject but its baseline: the difference, with its paired interval, the main metrics first.

    Raises ConfigError for a baseline that is not among the subjects.
    """
    pairs = [(each, other) for each in found if (other := baseline_of(each, found, baseline)) is not None]
    names = [*MAIN, *(name for each in found[:1] for name in each.metrics if name not in MAIN)]
    return [
        {"code": each.subject.name, "baseline": other.subject.name, "metric": metric}
        | _ends(gap, "difference")
        | {"excludes_zero": gap.excludes_zero}
        for metric in names
        for each, other in pairs
        if (gap := each.gap(metric, other)) is not None
    ]


def baseline_of(each: OverTime, found: Sequence[OverTime], baseline: str | None) -> OverTime | None:
    """What a subject is compared with: the same part of the baseline SAE, else its whole code; None for the baseline itself.

    `baseline` names an SAE, or one code as the tables do (`matryoshka (high)`), with which then all are compared; None means the
    first SAE. Raises ConfigError for one that is not among the subjects.
    """
    require_baseline([other.subject for other in found], baseline)
    name = found[0].subject.sae_name if baseline is None else baseline
    exact = {other.subject.name: other for other in found if other.subject.name == name and other.subject.word != "all"}
    of_sae = {other.subject.word: other for other in found if other.subject.sae_name == name}
    other = exact.get(name) or of_sae.get(each.subject.word) or of_sae.get("all") or next(iter(of_sae.values()))
    return None if other is each or (not exact and each.subject.sae_name == name) else other


def require_baseline(subjects: Sequence[Subject], baseline: str | None) -> None:
    """Raises ConfigError for a baseline that names neither an SAE nor a code of the study."""
    names = list(dict.fromkeys(name for subject in subjects for name in (subject.sae_name, subject.name)))
    if baseline is not None and baseline not in names:
        raise ConfigError(
            f'no code is called "{baseline}", which --baseline names.{suggest(baseline, names)}\n  Allowed: {", ".join(names)}'
        )


def curve_rows(found: Sequence[OverTime]) -> list[Row]:
    """Autocorrelation of every subject by lag."""
    return [
        {"code": each.subject.name, "sae": each.subject.sae_name, "part": each.subject.word, **_without_part(row)}
        for each in found
        for row in each.curve
    ]


def latent_rows(found: Sequence[OverTime]) -> list[Row]:
    """How each latent of every subject behaves."""
    return [{"code": each.subject.name, **_without_part(row)} for each in found for row in each.latents.to_pylist()]


def _without_part(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "part"}


def _ends(interval: Interval | None, name: str) -> Row:
    if interval is None:
        return {name: None, "low": None, "high": None}
    return {name: interval.value, "low": interval.low, "high": interval.high}
