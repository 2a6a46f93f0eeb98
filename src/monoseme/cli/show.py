"""Show what is in an artifact or a run: kind, config, inputs, files, timings.

    monoseme show PATH
    monoseme show PATH --json

PATH is a run or an artifact, such as runs/demo/saes/topk.
"""

from pathlib import Path
from typing import Any

from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.artifact import Artifact, open_artifact
from monoseme.core.config import dump_text
from monoseme.core.display import JsonDisplay, get_display
from monoseme.core.errors import ConfigError
from monoseme.pipeline import RUN_FILE, RunFolder


def main(words: list[str]) -> int:
    """Prints an artifact's manifest, or a run's record, for people; --json for programs."""
    if wants_help(words):
        write(document("show"))
        return 0
    if len(words) != 1:
        raise ConfigError("show needs one path.\n  Type:  monoseme show runs/demo")
    path = Path(words[0])
    record = RunFolder(path).record() if (path / RUN_FILE).is_file() else _artifact(open_artifact(path))
    display = get_display()
    if isinstance(display, JsonDisplay):
        display.result(record)
    else:
        write(dump_text(record, ".yaml"))
    return 0


def _artifact(artifact: Artifact) -> dict[str, Any]:
    return artifact.manifest | {"content_hash": artifact.content_hash}
