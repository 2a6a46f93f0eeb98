"""Which held-out excerpts explanations are scored on, and why a latent cannot be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from monoseme.atlas.excerpts import Excerpt, Excerpts
from monoseme.atlas.said import Explanation
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._controls import Version, others_of, versions
from monoseme.atlas.score._items import Item
from monoseme.core.errors import ConfigError

_FEWEST = 4
"""Firing excerpts, and others, below which there is no score (count)."""


@dataclass(frozen=True, kw_only=True)
class ChoiceConfig(Scorer.Config):
    """How many excerpts, of which kind."""

    n_per_decile: int = 2
    """Firing excerpts of each tenth of the latent's activations (count)."""
    n_silent: int = 10
    """Excerpts in which it does not fire, drawn at random (count)."""
    n_near_misses: int = 10
    """Excerpts in which it does not fire, but latents that mostly fire with it do (count)."""
    length: int | None = None
    """Tokens of an excerpt (count). None: as many as the atlas shows around a firing. Given, firing excerpts too are cut from the
    contexts whose codes are kept: for dense latents, which are silent in short excerpts only."""
    controls: bool = True
    """Whether to ask also with another latent's explanation and with none, which triples the questions."""
    seed: int = 0
    """Of the draws, of the order in which excerpts are shown, of the shuffle of explanations and of the intervals."""

    def __post_init__(self) -> None:
        """Raises ConfigError for numbers of excerpts that leave nothing to compare."""
        if self.n_per_decile < 1 or self.n_silent < 0 or self.n_near_misses < 0 or self.n_silent + self.n_near_misses < 1:
            raise ConfigError("n_per_decile must be at least 1, and n_silent and n_near_misses together as well.")
        if self.length is not None and self.length < 2:
            raise ConfigError(f"length is {self.length}, but an excerpt has at least 2 tokens.")


def firing_items(excerpts: Excerpts, latent: int, config: ChoiceConfig, *, heldout: bool) -> list[Item]:
    """Excerpts in which the latent fires, from each tenth of its activations.

    Where the tenths hold fewer than asked for (a latent with one activation only has all of them in one tenth), the rest is
    drawn from the firing windows of other documents.
    """
    wanted = 10 * config.n_per_decile
    found: tuple[Excerpt, ...] = ()
    if config.length is None:
        found = excerpts.by_decile(latent, config.n_per_decile, heldout=heldout, seed=config.seed)
    taken = {excerpt.document for excerpt in found}
    more = excerpts.active(latent, 2 * wanted, heldout=heldout, length=config.length, seed=config.seed)
    found += tuple(excerpt for excerpt in more if excerpt.document not in taken)[: wanted - len(found)]
    return [Item(excerpt=excerpt, fires=True, kind="decile") for excerpt in found]


def silent_items(excerpts: Excerpts, latent: int, config: ChoiceConfig, *, heldout: bool) -> list[Item]:
    """Excerpts in which it does not fire by its own codes: the hardest, and some drawn from all others."""
    near = excerpts.near_misses(latent, config.n_near_misses, heldout=heldout, length=config.length)
    taken = {(excerpt.document, excerpt.position) for excerpt in near}
    n_drawn = config.n_silent + len(near)  # some may be near misses, which are asked about once
    drawn = excerpts.silent(latent, n_drawn, heldout=heldout, length=config.length, seed=config.seed)
    plain = [excerpt for excerpt in drawn if (excerpt.document, excerpt.position) not in taken][: config.n_silent]
    items = [Item(excerpt=excerpt, fires=False, kind="near_miss") for excerpt in near]
    return items + [Item(excerpt=excerpt, fires=False, kind="silent") for excerpt in plain]


def plain_items(excerpts: Excerpts, latent: int, *, config: ChoiceConfig, heldout: bool) -> list[Item]:
    """Firing excerpts of each tenth, and silent ones."""
    return firing_items(excerpts, latent, config, heldout=heldout) + silent_items(excerpts, latent, config, heldout=heldout)


class Chosen(NamedTuple):
    """What one explanation is scored on."""

    explanation: Explanation
    items: list[Item]
    told: list[Version]
    """The explanation and its controls; none where there is no score."""
    why_missing: str | None
    """Why there is no score; None where there is."""


def chosen(
    excerpts: Excerpts,
    explanations: Sequence[Explanation],
    config: ChoiceConfig,
    *,
    scorer: str,
    choose: Callable[[int], list[Item]],
) -> Iterator[Chosen]:
    """The held-out items of each explanation's latent, with the explanation and its controls, in order."""
    others = others_of(explanations, seed=config.seed, scorer=scorer, is_told=lambda said: said.text)
    for explanation, other in zip(explanations, others, strict=True):
        excerpts.evidence.latents.check_latent(explanation.latent)
        items = [] if explanation.text is None else choose(explanation.latent)
        why = _why_missing(excerpts, explanation, items)
        told = [] if why else versions(explanation, other, with_controls=config.controls)
        yield Chosen(explanation, items, told, why)


def why_no_control(control: str, config: ChoiceConfig) -> str:
    """Why a control was not asked about."""
    return "no other latent was explained" if control == "other" and config.controls else "no controls were asked for"


def _why_missing(excerpts: Excerpts, explanation: Explanation, items: list[Item]) -> str | None:
    """Why these items give the explanation no score; None where they do."""
    if explanation.text is None:
        return f"not explained: {explanation.why_missing}"
    n_firing = sum(item.fires for item in items)
    if n_firing < _FEWEST:
        return f"only {n_firing} firing excerpts in held-out documents"
    if len(items) - n_firing < _FEWEST:
        return excerpts.why_no_codes or (
            f"only {len(items) - n_firing} held-out excerpts in which it does not fire; score with shorter ones (length)"
        )
    return None
