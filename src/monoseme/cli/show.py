"""Show what is in an artifact or a run: kind, config, inputs, files, timings; what a store holds and what a study found.

    monoseme show PATH
    monoseme show PATH --json

PATH is a run, a study or an artifact, such as runs/demo/saes/topk, here or at an address (s3://, gs://, hf://). A store whose
capture is not at its end says how far it came.
"""

import posixpath
from pathlib import Path
from typing import Any

from monoseme.cli._options import wants_help, write
from monoseme.cli._study_text import study_text
from monoseme.cli._verbs import document
from monoseme.core.config import dump_text
from monoseme.core.display import JsonDisplay, get_display
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.core.folder import Folder, LocalFolder, open_folder
from monoseme.core.manifest import MANIFEST, content_hash, read_json_table, read_manifest, require_files
from monoseme.pipeline import RUN_FILE, RunFolder, foreign_sae_text, has_given_saes, settings_in_use

_UNFINISHED, _STUDY = "capture.json", "study.json"
_OF_FOREIGN = "What it holds is told by:  monoseme import PATH --out OUT, then:  monoseme show OUT"


def main(words: list[str]) -> int:
    """Prints an artifact's manifest, a store's contents or a run's record, for people; --json for programs."""
    if wants_help(words):
        write(document("show"))
        return 0
    if len(words) != 1:
        raise ConfigError("show needs one path.\n  Type:  monoseme show runs/demo")
    if Path(words[0]).is_file():
        _refuse_foreign(Path(words[0]))
    folder = open_folder(words[0])
    record = _record(folder)
    display = get_display()
    if isinstance(display, JsonDisplay):
        display.result(record)
    elif record.get("kind") == "activations":
        from monoseme.cli._store_text import store_text

        write(store_text(record, where=str(folder)))
    elif "study" in record and "findings" in record:
        write(study_text(record, where=str(record["path"])))
    else:
        write(dump_text(record, ".yaml"))
    return 0


def _record(folder: Folder) -> dict[str, Any]:
    if isinstance(folder, LocalFolder) and folder.has(RUN_FILE):
        return _record_of_run(RunFolder(folder.path))
    if folder.has(_STUDY) and not folder.has(MANIFEST):
        folder = _report_of(folder)
    if folder.has(_UNFINISHED) and not folder.has(MANIFEST):
        from monoseme.activations.store.describe import describe_unfinished  # torch comes with it

        return describe_unfinished(folder)
    if isinstance(folder, LocalFolder) and not folder.has(MANIFEST):
        _refuse_foreign(folder.path)
    manifest = read_manifest(folder)
    if manifest["kind"] == "activations":
        from monoseme.activations.store.describe import describe_store

        return describe_store(folder)
    require_files(folder, manifest)
    if manifest["kind"] == "report" and "study" in manifest["config"]:
        return read_json_table(folder, "report.json") | {"content_hash": content_hash(manifest), "path": str(folder)}
    return manifest | {"content_hash": content_hash(manifest)}


def _record_of_run(run: RunFolder) -> dict[str, Any]:
    record = run.record()
    if not has_given_saes(record):
        return record
    text = record["config"].get("corpus", {}).get("source", "a text that is not named")
    return record | {"config": settings_in_use(record), "made": f"measured on {text}; how it was trained is not known here"}


def _refuse_foreign(path: Path) -> None:
    """Raises ArtifactMissingError, with what to type, where the path holds an SAE of another tool."""
    text = foreign_sae_text(path, needed="an artifact", instead=_OF_FOREIGN)
    if text is not None:
        raise ArtifactMissingError(text)


def _report_of(study: Folder) -> Folder:
    """The report in a study's folder. Raises ArtifactMissingError, with what to type, where the study is not at its end."""
    if not study.has(f"report/{MANIFEST}"):
        name = read_json_table(study, _STUDY).get("study", "NAME")
        raise ArtifactMissingError(
            f"the study in {study} is not at its end.\n  Go on with:  monoseme study {name} --out {study} --resume"
        )
    return open_folder(posixpath.join(str(study), "report"))
