"""A latent of an atlas as its page shows it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monoseme.atlas import Annotation, Example, LatentPage, TokenLogit
from monoseme.atlas.pages import Related
from monoseme.web import values
from monoseme.web.latent import answers
from monoseme.web.latent._said import explanations
from monoseme.web.texts import shortened

_CARD_EXAMPLES, _CARD_TOKENS = 3, 6
_CARD_CHARACTERS = 300
"""Longest explanation on a card, and of a latent that another's page names (count)."""
_N_RELATED = 8
"""Related latents, and tokens of an effect, that a page shows (count)."""


class Beside(NamedTuple):
    """What the page of a latent shows that its own page of the atlas does not have."""

    site: str
    """With the others that its code is of."""
    fires_on: Sequence[str]
    """Tokens of its strongest examples."""
    layers: Sequence[answers.Layer]
    roles: Sequence[answers.RoleDensity]
    words: Mapping[int, str]
    """What related latents are said to mean; those that nothing is said of are left out."""


def related_indices(page: LatentPage) -> list[int]:
    """The latents that the page names."""
    shown = (page.coactive[:_N_RELATED], page.correlated[:_N_RELATED], page.neighbours[:_N_RELATED])
    return list({one.other for related in shown for one in related})


def detail(page: LatentPage, annotations: Sequence[Annotation], beside: Beside) -> answers.LatentDetail:
    """The page of a latent."""
    stats = page.stats
    return answers.LatentDetail(
        sae=page.key,
        index=page.latent,
        n_latents=page.n_latents,
        site=beside.site,
        density=stats.density,
        n_active=stats.n_fired,
        n_tokens=stats.n_tokens,
        n_documents=stats.n_documents if stats.n_documents_is_exact else None,
        max=stats.max,
        mean=stats.mean,
        std=stats.std,
        fires_on=tuple(beside.fires_on),
        why_missing=page.why_missing,
        explanations=explanations(page, annotations),
        groups=_groups(page),
        histogram=_histogram(page),
        logits=_logits(page),
        why_no_logits=page.why_no_logits,
        related=tuple(_related(page, beside.words)),
        why_no_relations=page.why_no_relations,
        effects=_effects(page),
        why_no_effects=page.why_no_effects,
        layers=tuple(beside.layers),
        roles=tuple(beside.roles),
        n_near_duplicates=stats.n_near_duplicates,
        previous=page.latent - 1 if page.latent > 0 else None,
        next=page.latent + 1 if page.latent + 1 < page.n_latents else None,
    )


def card(page: LatentPage, annotations: Sequence[Annotation], top_tokens: Sequence[str]) -> answers.LatentCard:
    """The card of a latent: its newest explanation and the first score of it."""
    said = next((said for said in explanations(page, annotations) if said.text is not None), None)
    return answers.LatentCard(
        sae=page.key,
        index=page.latent,
        density=page.stats.density,
        max=page.stats.max,
        explanation=_on_card(said.text if said else None),
        score=said.scores[0].value if said is not None and said.scores else None,
        histogram=_histogram(page),
        top_tokens=list(top_tokens[:_CARD_TOKENS]),
        promoted=[token.text for token in page.top_logits],
        examples=[example_of(example) for example in page.top[:_CARD_EXAMPLES]],
    )


def _on_card(text: str | None) -> str | None:
    return None if text is None else shortened(text, _CARD_CHARACTERS)


def _groups(page: LatentPage) -> list[answers.ExampleGroup]:
    """The strongest, then the tenths of the activations from strong to weak."""
    groups = [answers.ExampleGroup(name="Strongest", low=None, high=None, examples=[example_of(e) for e in page.top])]
    for i, decile in reversed(list(enumerate(page.deciles))):
        name = f"Decile {i + 1} of {len(page.deciles)}"
        shown = [example_of(example) for example in decile.examples]
        groups.append(answers.ExampleGroup(name=name, low=decile.low, high=decile.high, examples=shown))
    return [group for group in groups if group.examples]


def example_of(example: Example) -> values.Example:
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


def _related(page: LatentPage, words: Mapping[int, str]) -> list[answers.RelatedGroup]:
    """The nearest latents by what fires together, by correlation and by what they write; groups without any are left out."""
    senses = (
        ("Fire together", "Jaccard index: tokens on which both fire / tokens on which one does.", page.coactive, "jaccard"),
        ("Correlated", "Pearson's r of the two codes over the kept tokens, zeros included.", page.correlated, "correlation"),
        ("Write alike", "Cosine of what the two write into the model.", page.neighbours, "cosine"),
    )
    found = [answers.RelatedGroup(name=n, definition=d, latents=_nearest(related, by, words)) for n, d, related, by in senses]
    return [group for group in found if group.latents]


def _nearest(related: Sequence[Related], by: str, words: Mapping[int, str]) -> list[answers.RelatedLatent]:
    nearest = [(one, getattr(one, by)) for one in related[:_N_RELATED]]
    return [
        answers.RelatedLatent(
            index=one.other,
            value=value,
            n_together=one.n_together,
            explanation=_on_card(words.get(one.other)),
        )
        for one, value in nearest
        if value is not None
    ]


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
