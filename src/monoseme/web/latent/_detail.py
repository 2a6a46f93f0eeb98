"""A latent of an atlas as its page shows it."""

from collections.abc import Sequence

from monoseme.atlas import Annotation, Example, LatentPage, Score, TokenLogit
from monoseme.atlas.pages import Related
from monoseme.web import values
from monoseme.web.latent import answers
from monoseme.web.latents.answers import LatentRow

_CARD_EXAMPLES = 3
_N_RELATED = 8
"""Related latents, and tokens of an effect, that a page shows (count)."""


def detail(page: LatentPage, annotations: Sequence[Annotation]) -> answers.LatentDetail:
    """The page of a latent."""
    stats = page.stats
    return answers.LatentDetail(
        sae=page.key,
        index=page.latent,
        n_latents=page.n_latents,
        density=stats.density,
        n_active=stats.n_fired,
        n_tokens=stats.n_tokens,
        n_documents=stats.n_documents if stats.n_documents_is_exact else None,
        max=stats.max,
        mean=stats.mean,
        why_missing=page.why_missing,
        explanations=_explanations(page, annotations),
        groups=_groups(page),
        histogram=_histogram(page),
        logits=_logits(page),
        why_no_logits=page.why_no_logits,
        related=tuple(_related(page)),
        why_no_relations=page.why_no_relations,
        effects=_effects(page),
        why_no_effects=page.why_no_effects,
        n_near_duplicates=stats.n_near_duplicates,
        previous=page.latent - 1 if page.latent > 0 else None,
        next=page.latent + 1 if page.latent + 1 < page.n_latents else None,
    )


def card(page: LatentPage, row: LatentRow) -> answers.LatentCard:
    """The card of a latent; `row` is its row of the table."""
    return answers.LatentCard(
        sae=page.key,
        index=page.latent,
        density=row.density,
        max=row.max,
        explanation=row.explanation,
        score=row.score,
        histogram=_histogram(page),
        top_tokens=row.top_tokens,
        promoted=[token.text for token in page.top_logits],
        examples=[_example(example) for example in page.top[:_CARD_EXAMPLES]],
    )


def _groups(page: LatentPage) -> list[answers.ExampleGroup]:
    """The strongest, then the tenths of the activations from strong to weak."""
    groups = [answers.ExampleGroup(name="Strongest", low=None, high=None, examples=[_example(e) for e in page.top])]
    for i, decile in reversed(list(enumerate(page.deciles))):
        name = f"Decile {i + 1} of {len(page.deciles)}"
        shown = [_example(example) for example in decile.examples]
        groups.append(answers.ExampleGroup(name=name, low=decile.low, high=decile.high, examples=shown))
    return [group for group in groups if group.examples]


def _example(example: Example) -> values.Example:
    return values.Example(
        tokens=list(example.texts),
        values=list(example.values),
        peak=example.focus,
        document=example.document,
        position=example.position,
        source=" · ".join(dict.fromkeys([*_speaker(example), *example.labels.values(), example.source])),
    )


def _speaker(example: Example) -> list[str]:
    """Who speaks in a conversation, and in which turn."""
    turn = [] if example.turn is None else [f"turn {example.turn}"]
    return turn if example.role is None else [example.role, *turn]


def _histogram(page: LatentPage) -> values.Histogram | None:
    if page.histogram is None:
        return None
    return values.Histogram(edges=list(page.histogram.edges), counts=list(page.histogram.counts))


def _logits(page: LatentPage) -> answers.Logits | None:
    if page.why_no_logits is not None:
        return None
    return answers.Logits(top=_tokens(page.top_logits), bottom=_tokens(page.bottom_logits))


def _tokens(found: Sequence[TokenLogit]) -> list[values.LogitToken]:
    return [values.LogitToken(token=item.text, value=item.logit) for item in found]


def _related(page: LatentPage) -> list[answers.RelatedGroup]:
    """The nearest latents by what fires together, by correlation and by what they write; groups without any are left out."""
    senses = (
        ("Fire together", "Jaccard index: tokens on which both fire / tokens on which one does.", page.coactive, "jaccard"),
        ("Correlated", "Pearson's r of the two codes over the kept tokens, zeros included.", page.correlated, "correlation"),
        ("Write alike", "Cosine of what the two write into the model.", page.neighbours, "cosine"),
    )
    found = [answers.RelatedGroup(name=n, definition=d, latents=_nearest(related, by)) for n, d, related, by in senses]
    return [group for group in found if group.latents]


def _nearest(related: Sequence[Related], by: str) -> list[answers.RelatedLatent]:
    values = [(one.other, getattr(one, by)) for one in related[:_N_RELATED]]
    return [answers.RelatedLatent(index=other, value=value) for other, value in values if value is not None]


def _effects(page: LatentPage) -> answers.Effects | None:
    found = page.effects
    if found is None:
        return None
    risen, fallen = (
        [values.LogitToken(token=token.text, value=token.log_p) for token in side[:_N_RELATED]]
        for side in (found.risen, found.fallen)
    )
    return answers.Effects(
        n=found.n,
        loss_change=found.loss_change,
        standard_error=found.standard_error,
        why_missing=found.why_missing,
        risen=risen,
        fallen=fallen,
    )


def _explanations(page: LatentPage, annotations: Sequence[Annotation]) -> list[answers.ExplanationText]:
    parts = {annotation.label: annotation for annotation in annotations}
    said = []
    for explanation in page.explanations:
        scores = [
            score
            for label, part in parts.items()
            if part.holds == "scores" and part.artifact.config["explanations"] == explanation.source
            for score in _scores(part, [s for s in page.scores if s.source == label])
        ]
        said.append(
            answers.ExplanationText(
                explainer=explanation.source, text=explanation.text, why_missing=explanation.why_missing, scores=scores
            )
        )
    return said


def _scores(part: Annotation, scores: Sequence[Score]) -> list[answers.Score]:
    """The numbers of one scorer over all activations, its first one first and with what it is held against beside it."""
    definitions: dict[str, str] = part.artifact.config["definitions"]
    first = part.artifact.config["headline"]
    whole = [score for score in scores if score.decile is None]
    beside_it = [score for score in whole if definitions.get(score.name, "").startswith(("control", "the bar to beat"))]
    numbers = [score for score in whole if score not in beside_it]
    controls = [score for score in beside_it if score.name.startswith(f"{first}_")]
    numbers.sort(key=lambda score: score.name != first)
    if all(score.value is None for score in numbers):
        numbers = numbers[:1]  # one reason says it for all
    beside = tuple(
        values.MetricValue(name=c.name, value=c.value, why_missing=c.why_missing, n=c.n, definition=definitions.get(c.name, ""))
        for c in controls
    )
    return [
        answers.Score(
            name=score.name,
            scorer=part.artifact.config["scorer"],
            value=score.value,
            standard_error=score.standard_error,
            n=score.n,
            why_missing=score.why_missing,
            definition=definitions.get(score.name, ""),
            controls=beside if score.name == first else (),
        )
        for score in numbers
    ]
