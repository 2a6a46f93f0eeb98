"""What is there already is refused before the work is done again."""

import pytest

from monoseme.core.errors import ArtifactExistsError
from monoseme.pipeline import RunFolder, evaluate_run, report_run


def test_a_second_evaluation_is_refused_before_a_model_is_loaded(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.pipeline._evaluate.Materials", lambda config: pytest.fail("the model was asked for"))
    with pytest.raises(ArtifactExistsError, match="--overwrite"):
        evaluate_run(run)


def test_a_second_report_is_refused_with_the_flag_that_helps(run: RunFolder) -> None:
    with pytest.raises(ArtifactExistsError, match="--overwrite"):
        report_run(run)
