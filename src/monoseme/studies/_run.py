"""A study in its folder: made once, resumed, ending as a `report` artifact.

OUT/study.json    which study, its config, and the command; written first
OUT/work          folder of what takes long: training runs, numbers measured so far
OUT/report        artifact "report":
                      report.json   {"schema": 1, "study", "title", "text", "command", "findings", "metrics": {subject: [metric]},
                                     "tables": {name: file}, "table_names": [name], "shown": {table: [column]},
                                     "figures": [name], "figure_files": [{"name", "title", "caption", "file"}],
                                     "figures_not_drawn": {name: why}}
                      index.html    self-contained and interactive; opens from disk without a network
                      index.md      the same for sites and GitHub; links only to the files beside it, so the folder can be copied
                      files/*       for other programs, where the study makes any
                      tables/*.{parquet,csv}   figures/*.{png,dark.png,svg,dark.svg,pdf,json}
"""

import shutil
from pathlib import Path

import monoseme
from monoseme.core.artifact import exists_error
from monoseme.core.config import from_dict, to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, Interrupted, MonosemeError, ResumeError
from monoseme.core.files import typed, write_json
from monoseme.studies._base import Study
from monoseme.studies._record import STUDY_FILE, StudyRecord, read_record
from monoseme.studies._report import write_study_report


def run_study(study: Study, out: Path, *, command: str, resume: bool = False, force: bool = False) -> Path:
    """Answers the study's question in the folder `out`; returns the path of the report.

    `command` is what makes it again. With `resume`, goes on with the study in that folder; one that is finished is reported anew
    from what was measured. With `force`, a study in that folder is deleted first. Raises ArtifactExistsError, ResumeError when
    the folder holds another study, ConfigError for both flags, Interrupted after Ctrl-C, and what the study raises.
    """
    if resume and force:
        raise ConfigError("--resume keeps what was measured, --force deletes it.\n  Give one of them.")
    from_dict(type(study.config), to_dict(study.config), where="settings")  # flags may say nan and inf, which no record can hold
    if force and (out / STUDY_FILE).is_file():
        shutil.rmtree(out)
    record = _begin(study, out, command=command, resume=resume)
    try:
        result = study.investigate(out / "work")
    except (KeyboardInterrupt, Interrupted) as error:
        raise Interrupted(
            "interrupted; what was complete is kept.\n"
            f"  Go on with:  monoseme study {study.plugin_name} --out {typed(out)} --resume"
        ) from error
    except MonosemeError:
        if not resume:
            _remove_if_nothing_was_made(out)
        raise
    write_study_report(result, out / "report", study=study.plugin_name, config=record.config, command=record.command)
    get_display().say(f"study {study.plugin_name} -> {out / 'report'}")
    return out / "report"


def _remove_if_nothing_was_made(out: Path) -> None:
    """A study that was refused before it did anything leaves no folder in the way of the same words, mended."""
    if {path.name for path in out.rglob("*")} <= {STUDY_FILE, "work"}:
        shutil.rmtree(out)


def _begin(study: Study, out: Path, *, command: str, resume: bool) -> StudyRecord:
    """Writes the record, or checks that the one that is there is of the same study."""
    new = StudyRecord(study.plugin_name, to_dict(study.config), command)
    if resume and (out / STUDY_FILE).is_file():
        old = read_record(out)
        _require_same(study, old, out)
        return old
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise exists_error(out, instead="Go on with it with --resume, begin anew with --force, choose another folder with --out")
    write_json(out / STUDY_FILE, new._asdict() | {"package_version": monoseme.__version__})
    return new


def _require_same(study: Study, old: StudyRecord, out: Path) -> None:
    if old.study != study.plugin_name:
        raise ResumeError(f"{out} holds the study {old.study}, not {study.plugin_name}.\n  Choose another folder with --out.")
    told = to_dict(from_dict(type(study.config), old.config, where=str(out / STUDY_FILE)))
    plain = to_dict(study.config)
    if told != plain:
        differing = sorted(key for key in plain if told.get(key) != plain[key])
        raise ResumeError(
            f"{out} holds this study with other settings: {', '.join(differing)} differ.\n"
            f"  Resume it as it is with:  monoseme study {old.study} --out {typed(out)} --resume\n  or give another --out."
        )
