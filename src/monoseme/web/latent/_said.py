"""What is said of a latent: its explanations, and the numbers that measure them."""

from collections.abc import Iterable, Sequence

from monoseme.atlas import Annotation, LatentPage, Score
from monoseme.atlas.annotations import read_explanations
from monoseme.atlas.judgements import JUDGEMENTS
from monoseme.web import values
from monoseme.web.latent import answers
from monoseme.web.texts import shortened

_MOST_CHARACTERS = 4000
"""Longest explanation that is shown (count); a judge may have written a megabyte."""


def words(annotations: Sequence[Annotation], latents: Iterable[int]) -> dict[int, str]:
    """What these latents are said to mean, each by its newest explanation; those that nothing is said of are left out."""
    parts = [part for part in annotations if part.holds == "explanations"]
    found: dict[int, str] = {}
    for latent in latents:
        said = (explanation.text for part in parts for explanation in read_explanations(part, latent=latent))
        text = next((text for text in said if text is not None), None)
        if text is not None:
            found[latent] = text
    return found


def explanations(page: LatentPage, annotations: Sequence[Annotation]) -> list[answers.ExplanationText]:
    """Each explainer's words with the scores of them, the newest first."""
    scored = [part for part in annotations if part.holds == "scores"]
    return [
        answers.ExplanationText(
            explainer=explanation.source,
            text=None if explanation.text is None else shortened(explanation.text, _MOST_CHARACTERS),
            why_missing=explanation.why_missing,
            scores=[
                score
                for part in scored
                if part.artifact.config["explanations"] == explanation.source
                for score in scores_of(part, [score for score in page.scores if score.source == part.label])
            ],
        )
        for explanation in page.explanations
    ]


def scores_of(part: Annotation, scores: Sequence[Score]) -> list[answers.Score]:
    """The numbers of one scorer over all activations, its first one first and with what it is held against beside it."""
    definitions: dict[str, str] = part.artifact.config["definitions"]
    first = part.artifact.config["headline"]
    whole = [score for score in scores if score.decile is None]
    beside_it = [score for score in whole if definitions.get(score.name, "").startswith(("control", "the bar to beat"))]
    numbers = [score for score in whole if score not in beside_it]
    numbers.sort(key=lambda score: score.name != first)
    if all(score.value is None for score in numbers):
        numbers = numbers[:1]  # one reason says it for all
    controls = tuple(_control(score, definitions) for score in beside_it if score.name.startswith(f"{first}_"))
    is_judged = JUDGEMENTS in part.artifact.manifest["files"]
    return [
        answers.Score(
            name=score.name,
            scorer=part.artifact.config["scorer"],
            value=score.value,
            standard_error=score.standard_error,
            low=score.low,
            high=score.high,
            n=score.n,
            why_missing=score.why_missing,
            definition=definitions.get(score.name, ""),
            controls=controls if score.name == first else (),
            part=part.label,
            has_judgements=is_judged and place == 0,
        )
        for place, score in enumerate(numbers)
    ]


def _control(score: Score, definitions: dict[str, str]) -> values.MetricValue:
    return values.MetricValue(
        name=score.name,
        value=score.value,
        standard_error=score.standard_error,
        why_missing=score.why_missing,
        n=score.n,
        definition=definitions.get(score.name, ""),
    )
