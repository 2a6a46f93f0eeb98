"""Evaluations of many SAEs, each taken once: on one pass together, else one by one, kept in files from which a resume goes on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.files import read_json, write_json
from monoseme.evaluation import EvalResult, EvalSubject, Evaluation
from monoseme.studies._kept_files import reading
from monoseme.studies._survivors import note_error


class Task(NamedTuple):
    """One evaluation, and which SAEs it is for."""

    evaluation: Evaluation
    concerns: Callable[[EvalSubject], bool]


class Numbers(NamedTuple):
    """What was measured of one SAE."""

    metrics: dict[str, float | None]
    parts: dict[str, dict[str, float | None]]
    """Part of the code -> its metrics, where the evaluation has the table `parts`."""


Measured = dict[str, dict[str, Numbers]]
"""SAE -> evaluation -> numbers."""


def measure_all(subjects: Sequence[EvalSubject], tasks: Sequence[Task], work: Path) -> Measured:
    """Every task on every SAE that it concerns; what fails for one SAE is noted under `work/errors` and missing here."""
    found: Measured = {subject.name: {} for subject in subjects}
    for task in tasks:
        name = task.evaluation.plugin_name
        folder = work / "measured" / name
        new = [s for s in subjects if task.concerns(s) and not (folder / f"{s.name}.json").is_file()]
        for result in results_of(task.evaluation, new, work):
            write_json(folder / f"{result.subject}.json", _numbers(result)._asdict())
        for subject in subjects:
            file = folder / f"{subject.name}.json"
            if file.is_file():
                with reading(file):
                    found[subject.name][name] = Numbers(**read_json(file))
    return found


def results_of(evaluation: Evaluation, subjects: Sequence[EvalSubject], work: Path) -> Iterator[EvalResult]:
    """One evaluation of SAEs together, or one by one where that fails; what fails for one is noted under `work/errors`."""
    if not subjects:
        return
    try:
        yield from evaluation.run_many(subjects)
        return
    except Exception as error:  # noqa: BLE001 - one SAE may fail in any way; the others are measured without it
        if len(subjects) == 1:
            note_error(work, f"{evaluation.plugin_name} of {subjects[0].name}", error)
            return
    for subject in subjects:
        yield from results_of(evaluation, [subject], work)


def _numbers(result: EvalResult) -> Numbers:
    metrics = {metric.name: metric.value for metric in result.metrics}
    parts: dict[str, dict[str, float | None]] = {}
    table = result.tables.get("parts")
    for row in [] if table is None else table.to_pylist():
        parts.setdefault(row["part"], {})[row["metric"]] = row["value"]
    return Numbers(metrics, parts)


def number(measured: Mapping[str, Numbers], evaluation: str, metric: str, *, part: str | None = None) -> float | None:
    """One number of an SAE; None where it was not measured or does not exist."""
    numbers = measured.get(evaluation)
    if numbers is None:
        return None
    held: Mapping[str, Any] = numbers.metrics if part is None else numbers.parts.get(part, {})
    return held.get(metric)
