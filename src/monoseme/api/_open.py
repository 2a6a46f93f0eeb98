"""`open`: what lies at a path, as a result that shows itself."""

from pathlib import Path

from monoseme.api._places import model_of, word_of
from monoseme.api._run import Run
from monoseme.api._sae import Sae
from monoseme.api._study_report import StudyReport
from monoseme.core.errors import ConfigError


def open(word: "Run | Sae | Path | str", *, model: str | Path | None = None) -> "Run | Sae | StudyReport":
    """What lies at a path: a run, an SAE (RUN/saes/NAME, RUN@STEP, files of another tool), or a study.

    `model`: a folder or a hub id, in place of the language model that the run or the files name; whatever is done with what was
    opened takes it. Raises ArtifactMissingError with what was near, and for a word that means several SAEs; ConfigError for a
    study with a model.
    """
    from monoseme.pipeline import RUN_FILE, open_sae

    path, in_model = Path(word_of(word)), model_of(word, model)
    if (path / RUN_FILE).is_file():
        return Run(path, in_model)
    if (path / "study.json").is_file():
        if model is not None:
            raise ConfigError(f"{path} is a study, which runs no model.\n  Leave out model=")
        return StudyReport(path)
    return Sae(open_sae(str(path)), path, in_model)
