"""The judgements behind a score, each with the text that was judged and what the latent does there."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from monoseme.atlas import Annotation, Atlas, Example
from monoseme.atlas.annotations import read_judgements
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.kept_codes import KeptCodes
from monoseme.core.config import suggest
from monoseme.web.latent.answers import JudgedExcerpt, Judgements
from monoseme.web.run_files import NotFoundError

_MOST_SHOWN = 400
"""Judgements in one answer (count); the strongest claims about a latent rest on fewer."""

_Place = tuple[int, int]
"""Document and position."""


class _Shown(NamedTuple):
    """The text of a judgement."""

    tokens: list[str]
    values: list[float | None]
    peak: int | None


def judgements(atlas: Atlas, sae: str, index: int, part: str) -> Judgements:
    """The judgements of one part of scores on one latent. Raises NotFoundError for a part that the SAE does not have."""
    parts = {annotation.label: annotation for annotation in atlas.annotations(sae) if annotation.holds == "scores"}
    if part not in parts:
        raise NotFoundError(f"{sae} has no scores called {part!r}.{suggest(part, list(parts))}")
    scores = parts[part]
    found = read_judgements(scores, latent=index)
    texts = _Texts(atlas, sae, index, length=_length(atlas, sae, scores))
    config = scores.artifact.config
    return Judgements(
        part=part,
        scorer=config["scorer"],
        explainer=config["explanations"],
        total=len(found),
        judgements=[_judged(judgement, texts) for judgement in found[:_MOST_SHOWN]],
    )


def _length(atlas: Atlas, sae: str, scores: Annotation) -> int:
    """Tokens of an excerpt that no border cuts (count)."""
    keep = atlas.latents(sae).artifact.config["scan"]["keep"]
    return scores.artifact.config.get("config", {}).get("length") or int(keep["left"]) + 1 + int(keep["right"])


def _judged(judgement: Judgement, texts: "_Texts") -> JudgedExcerpt:
    details: dict[str, Any] = json.loads(judgement.details)
    shown = _written(details) if judgement.document is None else texts.at(judgement)
    return JudgedExcerpt(
        kind=judgement.kind,
        told=judgement.told,
        told_of=judgement.told_of,
        question=judgement.question,
        decile=judgement.decile,
        truth=judgement.truth,
        answer=judgement.answer,
        says=judgement.says,
        is_right=_is_right(judgement, details),
        failure=judgement.failure,
        said=_beside(details.get("said") or [], shown.values),
        marked=details.get("marked") or [],
        document=judgement.document,
        position=judgement.position,
        **shown._asdict(),
    )


def _is_right(judgement: Judgement, details: Mapping[str, Any]) -> bool | None:
    """Whether a yes or no agrees with the truth; where one of several was picked, `says` is that itself."""
    if judgement.says is None or judgement.truth is None or judgement.document is None:
        return judgement.says
    return judgement.says if "shown" in details else judgement.says == (judgement.truth > 0)


def _beside(said: Sequence[float], values: Sequence[float | None]) -> list[float | None]:
    """What was said of each token that the SAE reads, None on the others; empty where nothing was, or of another text."""
    if len(said) == len(values):
        return list(said)
    if len(said) != sum(value is not None for value in values):
        return []
    rest = iter(said)
    return [None if value is None else next(rest) for value in values]


class _Texts:
    """The texts that were judged of one latent: its firings from the examples, the others from the kept codes."""

    def __init__(self, atlas: Atlas, sae: str, index: int, *, length: int) -> None:
        latents = atlas.latents(sae)
        shown = latents.examples(latents.row(index))
        self._text, self._length = atlas.text, length
        self._firings: dict[_Place, Example] = {
            (example.document, example.position): example
            for examples in (latents.firings(index) or (), *(decile.examples for decile in shown.deciles), shown.top)
            for example in examples
        }
        self._kept = _KeptTokens(kept, index) if (kept := latents.kept_codes()) is not None else None

    def at(self, judgement: Judgement) -> _Shown:
        """What was judged."""
        place = (judgement.document or 0, judgement.position or 0)
        firing = self._firings.get(place)
        if firing is not None:
            return _Shown(list(firing.texts), list(firing.values), firing.focus)
        values = None if self._kept is None else self._kept.values(place, self._length)
        n_tokens = self._length if values is None else len(values)
        tokens = self._text.window(*place, left=0, right=n_tokens - 1).tokens.tolist()
        texts = [self._text.token_text(token) for token in tokens]
        return _Shown(texts, [*values] if values else [None] * len(texts), None)


def _written(details: Mapping[str, Any]) -> _Shown:
    """A sentence of the judge's own, which the details hold."""
    return _Shown(details.get("tokens", []), details.get("values", []), None)


class _KeptTokens:
    """The kept codes of one latent, by place."""

    def __init__(self, kept: KeptCodes, index: int) -> None:
        self._kept = kept
        self._values = dict(zip(*(column.tolist() for column in kept.of_latent(index)), strict=True))
        span = int(kept.position.max(initial=0)) + 1
        self._span, line = span, np.asarray(kept.document) * span + kept.position
        self._order = np.argsort(line, kind="stable")
        self._line = line[self._order]

    def values(self, place: _Place, length: int) -> list[float] | None:
        """The latent's activations from a place on, to the end of its context at most; None where its codes were not kept."""
        wanted = place[0] * self._span + place[1]
        found = int(np.searchsorted(self._line, wanted))
        if place[1] >= self._span or found == len(self._line) or self._line[found] != wanted:
            return None
        row = int(self._order[found])
        context = int(self._kept.context_of(np.array([row]))[0])
        rows = np.arange(row, min(row + length, int(self._kept.contexts[context + 1])))
        in_a_row = (self._kept.document[rows] == place[0]) & (self._kept.position[rows] == place[1] + np.arange(len(rows)))
        n_tokens = len(rows) if in_a_row.all() else int(np.argmin(in_a_row))
        return [self._values.get(at, 0.0) for at in rows[:n_tokens].tolist()]
