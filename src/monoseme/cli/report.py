"""Write one HTML page of a run that needs no network, with figures and report.json.

    monoseme report RUN
    monoseme report RUN --overwrite      after a new eval, scan or explain

Writes RUN/report.
"""

from pathlib import Path

from monoseme.cli._declared import HandFlag
from monoseme.cli._run_words import read_words
from monoseme.core.display import get_display
from monoseme.pipeline import RunFolder, report_run

_OVERWRITE = HandFlag("--overwrite", "Writes the report again.", is_switch=True)


def main(words: list[str]) -> int:
    """Writes the report of each run named."""
    said = read_words(words, verb="report", flags=[_OVERWRITE])
    if said is None:
        return 0
    for word in said.paths:
        report_run(RunFolder(Path(word)), overwrite=_OVERWRITE.name in said.switches)
    get_display().result({"reports": [str(RunFolder(Path(word)).report) for word in said.paths]})
    return 0
