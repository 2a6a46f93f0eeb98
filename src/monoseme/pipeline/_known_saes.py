"""SAEs at hand for steering and watching: latents by name, what their atlases know of them, and edits made of both.

Letters: S positions.
"""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from monoseme.atlas import Atlas, Target, open_atlas
from monoseme.core.config import from_dict, suggest
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.models import Edit, LanguageModel, Site
from monoseme.pipeline._found import FoundSae, run_of
from monoseme.pipeline._latent_words import LatentWord, SteerWord
from monoseme.pipeline._writer import PlacedLatent
from monoseme.steering import (
    EVERYWHERE,
    STEERING,
    Aim,
    Condition,
    FromPosition,
    LatentFacts,
    OnlyGenerated,
    OnlyPrompt,
    SteeringMethod,
    Unit,
    WhileFires,
)

_NORM_TOKENS = 4096
"""Tokens of the atlas's text over which a mean norm is taken: its standard error is then a few thousandths."""


@dataclass(frozen=True, kw_only=True)
class SteeringConfig:
    """How latents are steered with."""

    method: str = "additive"
    """monoseme ls steering."""
    method_config: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the method."""
    only: Literal["all", "prompt", "generated"] = "all"
    """Tokens to act on."""
    from_position: int | None = None
    """Act from this position of the text on (0-based, BOS counts). None: from the first."""
    while_fires: tuple[str, ...] = ()
    """Act only on tokens where these latents fire in the model as it is."""
    once_fired: bool = False
    """`while_fires` also holds at all tokens after the first on which they fired."""

    def __post_init__(self) -> None:
        """Raises ConfigError, UnknownPluginError."""
        STEERING.source(self.method)
        if self.from_position is not None and self.from_position < 0:
            raise ConfigError(f"from_position is {self.from_position}: positions are counted from 0")
        if self.once_fired and not self.while_fires:
            raise ConfigError("once_fired goes with while_fires: name the latents that are to fire")

    @property
    def unit(self) -> Unit:
        """What a bare number means."""
        return STEERING.get(self.method).units[0]

    @property
    def needs_latents(self) -> bool:
        """Whether the method works on a model's insides; one that prompts takes words alone."""
        return STEERING.get(self.method).prompted is SteeringMethod.prompted

    def made(self) -> SteeringMethod:
        """The method. Raises ConfigError for a setting that it has not."""
        method = STEERING.get(self.method)
        return method(from_dict(method.Config, self.method_config, where=f"method.{self.method}"))


class KnownSaes:
    """Some SAEs of one model."""

    def __init__(self, found: Sequence[FoundSae], model: LanguageModel, *, atlas: Path | None = None) -> None:
        """`atlas` is looked into for all of them; None: the one beside each. Raises ConfigError for an SAE of two models."""
        for sae in found:
            if any(site.model is not None for site in sae.named.sites):
                raise ConfigError(f"{sae.named.name} reads two models, and one is run here: it can neither steer nor be watched.")
        self._found, self._model, self._atlas = tuple(found), model, atlas
        self._atlases: dict[Path, Atlas] = {}
        self._norms: dict[tuple[Path, Site], float] = {}

    def latents(self, word: LatentWord) -> tuple[PlacedLatent, ...]:
        """The latent that is named: one, or one at each site where the sites of an SAE have codes of their own and none is named.

        Raises ConfigError with the names there are.
        """
        key = self._only_key(word) if word.key is None else word.key
        for target in self._targets():
            if key not in (*target.keys, target.key):
                continue
            if word.latent >= target.sae.n_latents:
                raise ConfigError(f"{key} has no latent {word.latent}: its latents are 0 to {target.sae.n_latents - 1:,}.")
            numbers = [target.keys.index(key)] if key in target.keys else range(len(target.keys))
            return tuple(PlacedLatent(target, number, word.latent) for number in numbers)
        names = [target.key for target in self._targets()]
        raise ConfigError(f'no SAE here is called "{key}".{suggest(key, names)}\n  Allowed: {", ".join(names)}')

    def facts(self, latent: PlacedLatent, *, site: Site | None = None, needs_norm: bool = True) -> LatentFacts:
        """Its largest activation and the mean norm at a site (None: the first it writes at), each None where no atlas knows it.

        The mean norm is that of the first tokens of the atlas's text that reached the SAE, measured once.
        """
        atlas = self._atlas_of(latent)
        if atlas is None:
            return LatentFacts()
        maximum = atlas.latents(latent.key).row(latent.latent)["max"]
        norm = self._mean_norm(atlas, site or latent.output) if needs_norm else None
        return LatentFacts(None if maximum is None else float(maximum), norm)

    def edits(self, words: Sequence[SteerWord], steering: SteeringConfig) -> list[Edit]:
        """What steers with all these latents at once; those of one SAE are changed together. Without a latent: what a method
        does that needs none.

        Raises ConfigError for latents, strengths and settings that do not fit, SiteError for SAEs that the method cannot take.
        """
        method, conditions = steering.made(), self._conditions(steering)
        if not words:
            return method.edits(Site("resid_pre", 0), [], conditions=conditions)
        groups: dict[str, list[tuple[PlacedLatent, SteerWord]]] = {}
        for word in words:
            for latent in self.latents(word.where):
                groups.setdefault(latent.key, []).append((latent, word))
        made = [edit for group in groups.values() for edit in self._edits_of_one(group, method, conditions)]
        return list(dict.fromkeys(made))  # conditions that several share are looked at once

    def _edits_of_one(
        self, group: Sequence[tuple[PlacedLatent, SteerWord]], method: SteeringMethod, conditions: Condition
    ) -> list[Edit]:
        first = group[0][0]
        placed = first.target.placed
        sites = [first.site] if first.target.sae.codes_per_site else None
        if method.needs_sae or all(word.strength.unit != "norm" for _, word in group):
            return method.edits(placed, self._aims(group, first.output), conditions=conditions, sites=sites)
        # A share of the norm is another amount at each site.
        return [
            edit
            for site in sites or placed.outputs
            for edit in method.edits(placed, self._aims(group, site), conditions=conditions, sites=[site])
        ]

    def _aims(self, group: Sequence[tuple[PlacedLatent, SteerWord]], site: Site) -> list[Aim]:
        return [
            Aim(latent.latent, word.strength, self.facts(latent, site=site, needs_norm=word.strength.unit == "norm"))
            for latent, word in group
        ]

    def _conditions(self, steering: SteeringConfig) -> Condition:
        found: list[Condition] = []
        if steering.only != "all":
            found.append(OnlyPrompt() if steering.only == "prompt" else OnlyGenerated())
        if steering.from_position is not None:
            found.append(FromPosition(steering.from_position))
        for text in steering.while_fires:
            latent, *_ = self.latents(LatentWord.parse(text))
            found.append(WhileFires(latent.target.sae, latent.site, latent.latent, onwards=steering.once_fired))
        return functools.reduce(operator.and_, found) if found else EVERYWHERE

    def _targets(self) -> list[Target]:
        """Every SAE with every part of its code; what a scan takes of one by default comes first."""
        return [
            Target(sae.named.name, sae.named.sae, sae.named.sites, part=part, sae_hash=sae.named.content_hash)
            for sae in self._found
            for part in sorted((None, *sae.named.sae.parts[1:]), key=lambda part: (part != "novel", part is not None))
        ]

    def _only_key(self, word: LatentWord) -> str:
        if len(self._found) == 1:
            return self._targets()[0].key
        names = ", ".join(sae.named.name for sae in self._found)
        if not names:
            raise ConfigError(f"latent {word} is of no SAE: name one with --sae, such as --sae runs/demo/saes/topk")
        raise ConfigError(
            f"latent {word} could be of several SAEs: {names}.\n  Write, for example, {self._found[0].named.name}:{word}"
        )

    def _atlas_of(self, latent: PlacedLatent) -> Atlas | None:
        """The atlas in which this latent is, None where there is none of this very SAE."""
        path = next(run_of(sae.path).atlas for sae in self._found if sae.named.name == latent.target.name)
        folder = self._atlas or path
        if folder not in self._atlases:
            if self._atlas is None and not (folder / "text").is_dir():
                return None
            self._atlases[folder] = open_atlas(folder)
        atlas = self._atlases[folder]
        if latent.key not in atlas.saes():
            return None
        if atlas.latents(latent.key).artifact.inputs.get("sae") != latent.target.sae_hash:
            get_display().warn(
                f"the atlas {folder} is of another {latent.key} than this one: what it says of latents is not used."
            )
            return None
        return atlas

    def _mean_norm(self, atlas: Atlas, site: Site) -> float | None:
        """Over the first contexts of the atlas's text; None where it does not say where contexts begin."""
        starts = atlas.text.context_starts
        if starts is None or len(starts) < 1:
            return None
        if (atlas.path, site) not in self._norms:
            ends = np.append(starts[1:], atlas.text.n_tokens)
            norms: list[torch.Tensor] = []
            for begin, end in zip(starts.tolist(), ends.tolist(), strict=True):
                tokens = torch.from_numpy(atlas.text.tokens[begin:end].astype(np.int64))[None].to(self._model.device)
                reached = torch.from_numpy(atlas.text.mask[begin:end].copy())
                norms.append(self._model.capture(tokens, [site])[site][0].double().norm(dim=1).cpu()[reached])
                if sum(map(len, norms)) >= _NORM_TOKENS:
                    break
            self._norms[atlas.path, site] = float(torch.cat(norms).mean())
        return self._norms[atlas.path, site]
