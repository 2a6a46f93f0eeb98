"""What a latent's page shows of scores: numbers over all activations, with what they are held against beside them."""

from types import SimpleNamespace
from typing import Any

from monoseme.atlas import Score
from monoseme.web.latent._said import scores_of

PART: Any = SimpleNamespace(
    label="llm_detection",
    artifact=SimpleNamespace(
        manifest={"files": {}},
        config={
            "scorer": "llm_detection",
            "headline": "auroc",
            "definitions": {"rate": "", "auroc": "", "auroc_empty": "control: ...", "auroc_lookup": "the bar to beat: ..."},
        },
    ),
)


def test_tenths_do_not_stand_for_the_whole_and_the_bar_stands_beside_its_score() -> None:
    names = ("rate", "auroc", "auroc_empty", "auroc_lookup")
    given = [Score(latent=3, name=name, value=0.5, decile=decile) for name in names for decile in (None, 0, 9)]
    shown = scores_of(PART, given)
    assert [score.name for score in shown] == ["auroc", "rate"]
    assert [[beside.name for beside in score.controls] for score in shown] == [["auroc_empty", "auroc_lookup"], []]


def test_a_scorer_without_numbers_gives_its_reason_once() -> None:
    given = [Score(latent=3, name=name, value=None, why_missing="too few") for name in ("rate", "auroc")]
    assert [score.why_missing for score in scores_of(PART, given)] == ["too few"]
