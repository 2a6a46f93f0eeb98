"""The whole road: train, evaluate, scan, explain, report; each stage that is there already is kept."""

import time
from pathlib import Path
from typing import Any

from monoseme.core.display import get_display
from monoseme.core.errors import Interrupted
from monoseme.core.files import typed
from monoseme.pipeline._atlas import scan_run
from monoseme.pipeline._config import RunConfig
from monoseme.pipeline._evaluate import evaluate_run
from monoseme.pipeline._explain import explain_run
from monoseme.pipeline._folder import RUN_FILE, RunFolder
from monoseme.pipeline._materials import Materials
from monoseme.pipeline._report import report_run
from monoseme.pipeline._train import train_run
from monoseme.tensors.processes import ALONE, everyone


def run_all(config: RunConfig, folder: Path, *, materials: Materials | None = None, resume: bool = False) -> RunFolder:
    """Makes a run from its config to its report.

    With `resume`, goes on where an earlier call was stopped: training from its last checkpoint, later stages from the first
    that is not complete. Of several processes all train, and the first does the rest. Raises what the stages raise, Interrupted
    after Ctrl-C; what was complete stays usable.
    """
    try:
        return _stages(config, folder, materials=materials or Materials(config, processes=everyone()), resume=resume)
    except KeyboardInterrupt as error:
        if not (folder / RUN_FILE).is_file():
            raise  # nothing was begun
        raise Interrupted(
            f"interrupted; the stages that were complete are kept.\n  Go on with:  monoseme run --out {typed(folder)} --resume"
        ) from error


def _stages(config: RunConfig, folder: Path, *, materials: Materials, resume: bool) -> RunFolder:
    seconds: dict[str, float] = {}
    run = RunFolder(folder)
    done: dict[str, Any] = run.record()["artifacts"] if resume and (folder / RUN_FILE).is_file() else {}
    if not _holds_every_sae(run, done.get("saes")):
        with _Clock(seconds, "train"):
            run = train_run(config, folder, materials=materials, resume=resume)
    if materials.processes.rank > 0:
        return run  # what follows is for one process
    materials.processes = ALONE
    if lacking := _lacking_evaluations(run, config, done):
        with _Clock(seconds, "eval"):
            evaluate_run(run, lacking, materials=materials, overwrite=resume)
    if "atlas" not in done:
        with _Clock(seconds, "scan"):
            scan_run(run, materials=materials, resume=resume)
    if "explanations" not in done:
        with _Clock(seconds, "explain"):
            explain_run(run, config.atlas.explain, resume=resume)
            run.add({"explanations": "atlas/annotations"})
    with _Clock(seconds, "report"):
        report_run(run, overwrite=resume)
    _note(run, seconds)
    return run


def _holds_every_sae(run: RunFolder, noted: object) -> bool:
    """Whether a stage that notes its artifacts one by one has noted one of every SAE."""
    return isinstance(noted, dict) and set(noted) == set(run.record()["jobs"])


def _lacking_evaluations(run: RunFolder, config: RunConfig, done: dict[str, Any]) -> list[str]:
    """Those of the config that some SAE has not had yet."""
    noted = done.get("evaluations", {})
    return [
        name
        for name in config.evaluations
        if not _holds_every_sae(run, {sae: results for sae, results in noted.items() if name in results})
    ]


def _note(run: RunFolder, seconds: dict[str, float]) -> None:
    """Adds the stages' seconds to the run's record; they are no part of what it is."""
    run.note({f"seconds_{stage}": round(s, 2) for stage, s in seconds.items()})
    parts = ", ".join(f"{stage} {s:.0f} s" for stage, s in seconds.items())
    get_display().say(f"done in {sum(seconds.values()):.0f} s ({parts}) -> {run.path}")


class _Clock:
    """Counts the seconds of a stage."""

    def __init__(self, seconds: dict[str, float], stage: str) -> None:
        self._seconds, self._stage = seconds, stage

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._seconds[self._stage] = time.perf_counter() - self._began
