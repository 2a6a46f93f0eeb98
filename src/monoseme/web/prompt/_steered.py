"""The model's logits while a latent steers it at one site of an SAE.

Letters: S tokens, V vocabulary.
"""

from typing import NamedTuple

import torch

from monoseme.core.config import from_dict
from monoseme.core.errors import ConfigError, MonosemeError
from monoseme.models import Edit, LanguageModel, Site
from monoseme.saes import SAE
from monoseme.splice import Placed
from monoseme.steering import STEERING, Aim, LatentFacts, Strength, mean_norm
from monoseme.web.prompt._logits import Texts, Unchanged, logits_at
from monoseme.web.prompt._query import Steering
from monoseme.web.prompt.answers import LogitsReading, NextTokens
from monoseme.web.run_files import ScannedSae


class Aimed(NamedTuple):
    """What to steer with, and how strong the latent gets."""

    steering: Steering
    maximum: float | None
    """Its largest activation in the scanned corpus; None where it is not known."""


class Steered(NamedTuple):
    """What came of it: one of the two."""

    shown: NextTokens | None
    why_not: str | None


NOT_ASKED = Steered(None, "no latent was given to steer with")


def steered_logits(
    model: LanguageModel,
    sae: SAE,
    asked: ScannedSae,
    aimed: Aimed,
    *,
    unchanged: Unchanged,
    top: int,
) -> Steered:
    """One forward with the edits of a method, at every token that the SAE reads.

    What the method cannot do is the reason why there is nothing.
    """
    steering = aimed.steering
    place = unchanged.place
    try:
        edits = edits_of(model, Placed(sae, asked.sites), place.site, aimed, tokens=place.text.tokens(model))
        logits = logits_at(model, place, edits=edits)
    except MonosemeError as error:
        return Steered(None, " ".join(str(error).split()))
    if not bool(torch.isfinite(logits).all()):
        return Steered(None, f"a strength of {steering.strength:g}{steering.unit} drives the logits out of all bounds: take less")
    return Steered(Texts(model, place).changed(logits, unchanged.logits, top), None)


def edits_of(model: LanguageModel, placed: Placed, site: Site, aimed: Aimed, *, tokens: torch.Tensor) -> list[Edit]:
    """The method's edits at one site. Raises ConfigError, SiteError or UnknownPluginError for what it cannot do."""
    steering = aimed.steering
    kind = STEERING.get(steering.method)
    options = {} if steering.error_term is None else {"error_term": steering.error_term}
    method = kind(from_dict(kind.Config, options, where=f"method {steering.method}"))
    facts = LatentFacts(aimed.maximum, mean_norm(model, site, tokens) if steering.unit == "norm" else None)
    if not 0 <= steering.latent < placed.sae.n_latents:
        raise ConfigError(f"there is no latent {steering.latent}: this SAE has {placed.sae.n_latents:,}, counted from 0")
    aim = Aim(steering.latent, Strength(steering.strength, steering.unit), facts)
    return method.edits(placed, [aim], sites=[site])


def logits_reading(unchanged: Unchanged, steered: Steered, *, sae: str, maximum: float | None, seconds: float) -> LogitsReading:
    """The answer."""
    place = unchanged.place
    return LogitsReading(
        sae=sae,
        site=str(place.site),
        sites=place.sites,
        position=place.position,
        token=place.text.shown()[place.position],
        input=unchanged.shown,
        reconstruction=unchanged.reconstruction,
        steered=steered.shown,
        why_not_steered=steered.why_not,
        maximum=maximum,
        truncated=place.text.truncated,
        seconds=seconds,
    )
