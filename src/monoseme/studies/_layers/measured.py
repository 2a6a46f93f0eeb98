"""What the study of layers measures of each SAE, kept in files from which a resume goes on, replicates included."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monoseme.core.config import to_dict
from monoseme.evaluation import EVALUATIONS, EvalResult, EvalSubject, Evaluation, read_report, write_report
from monoseme.studies._kept_files import read_replicates, write_replicates
from monoseme.studies._measurements import results_of


def evaluation(name: str, **settings: Any) -> Evaluation:
    """By its name, with those settings."""
    kind: Any = EVALUATIONS.get(name)  # its Config is known by name only
    return kind(kind.Config(**settings))


def measured(by: Evaluation, subjects: Sequence[EvalSubject], work: Path) -> dict[str, EvalResult]:
    """Subject -> result; one that was measured before is read, one that fails is noted under `work/errors` and missing here."""
    folder = work / "measured" / by.plugin_name
    new = [subject for subject in subjects if not _is_kept(folder / subject.name)]
    for result in results_of(by, new, work):
        _keep(result, folder, by)
    return {s.name: _kept(folder / s.name) for s in subjects if _is_kept(folder / s.name)}


def _is_kept(path: Path) -> bool:
    return (path / "manifest.json").is_file() and _replicates(path).is_file()


def _keep(result: EvalResult, folder: Path, by: Evaluation) -> None:
    """The replicates first: a report that is there is whole."""
    path = folder / result.subject
    write_replicates(_replicates(path), result.replicates)
    write_report(result, path, config=to_dict(by.config), inputs={}, overwrite=True)


def _kept(path: Path) -> EvalResult:
    found = read_report(path)
    return EvalResult(
        evaluation=found.evaluation,
        subject=found.subject,
        metrics=found.metrics,
        tables=found.tables,
        facts=found.facts,
        replicates=read_replicates(_replicates(path)),
    )


def _replicates(path: Path) -> Path:
    return path.with_name(f"{path.name}.replicates.safetensors")
