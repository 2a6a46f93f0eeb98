"""`open`: what lies at a path, as a result that shows itself."""

from pathlib import Path

from monoseme.api._places import word_of
from monoseme.api._run import Run
from monoseme.api._sae import Sae
from monoseme.api._study_report import StudyReport


def open(word: "Run | Sae | Path | str") -> "Run | Sae | StudyReport":
    """What lies at a path: a run, an SAE (RUN/saes/NAME, RUN@STEP, files of another tool), or a study.

    Raises ArtifactMissingError with what was near, and for a word that means several SAEs.
    """
    from monoseme.pipeline import RUN_FILE, open_sae

    path = Path(word_of(word))
    if (path / RUN_FILE).is_file():
        return Run(path)
    if (path / "study.json").is_file():
        return StudyReport(path)
    return Sae(open_sae(str(path)), path)
