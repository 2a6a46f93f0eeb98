"""What a scan is to do: its settings, and what it gathers of each SAE."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from monoseme.atlas.roles import RoleFilter
from monoseme.atlas.scanning.feed import Feed, Target
from monoseme.atlas.scanning.files import LATENTS, gathered_folder, sae_hash
from monoseme.atlas.scanning.gatherer import GathererSpec
from monoseme.atlas.scanning.kept_codes_writer import MOST_KEPT_TOKENS, keep_codes
from monoseme.atlas.scanning.latent_gatherer import LatentGatherer
from monoseme.atlas.scanning.needs import ScannedModel, ScannedSource
from monoseme.atlas.scanning.one_pass import Contexts, PassOptions, make_feed
from monoseme.atlas.scanning.role_counts import count_roles
from monoseme.atlas.scanning.scratch import scratch_folder
from monoseme.atlas.scanning.state import StateConfig
from monoseme.atlas.scanning.store import LogitFacts
from monoseme.atlas.scanning.target_logits import target_logits
from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ScanConfig:
    """How an atlas is made."""

    n_per_decile: int = 5
    """Examples shown from each tenth of a latent's activations (count)."""
    n_logit_tokens: int = 10
    """Tokens kept at each end of the direct logit attribution (count)."""
    rows_per_encode: int = 4096
    """Tokens encoded at once (count); bounds the memory of an encoder's pre-activations."""
    keep: StateConfig = field(default_factory=StateConfig)
    """What is kept per latent."""
    n_kept_tokens: int = 131_072
    """Tokens of whole contexts kept with all their codes (count, at most a million; 0: none): for relations between latents."""
    only: RoleFilter = field(default_factory=RoleFilter)
    """Roles and turns of a conversation whose tokens reach the SAEs."""

    def __post_init__(self) -> None:
        for name in ("n_per_decile", "n_logit_tokens", "rows_per_encode"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if not 0 <= self.n_kept_tokens <= MOST_KEPT_TOKENS:
            raise ConfigError(f"n_kept_tokens is {self.n_kept_tokens:,}, but must be between 0 and {MOST_KEPT_TOKENS:,}.")


class ScanPlan(NamedTuple):
    """One pass for some SAEs."""

    source: ScannedSource
    targets: tuple[Target, ...]
    config: ScanConfig
    model: ScannedModel | None
    options: PassOptions

    def specs(self, target: Target, number: int) -> list[GathererSpec]:
        """What is gathered of the target at its code site `number`."""
        config = self.config
        kept = [keep_codes(config.n_kept_tokens, seed=config.keep.seed)] if config.n_kept_tokens else []
        return [self._latents(target, number), count_roles(), *kept, *self.options.gatherers]

    def feeds(self, contexts: Contexts, own: Path) -> list[Feed]:
        """The feeds of all targets with new gatherers that work in the folder `own`."""
        config = self.config
        return [
            make_feed(
                target,
                [self.specs(target, number) for number in range(len(target.keys))],
                contexts,
                own,
                gap=config.keep.gap,
                rows_per_encode=config.rows_per_encode,
            )
            for target in self.targets
        ]

    def lacking(self, folder: Path) -> "ScanPlan":
        """What is left to do: all, where such a scan was stopped before its end, else those SAEs that are not all there."""
        if self.scratch(folder).is_dir():
            return self
        return self._replace(targets=tuple(target for target in self.targets if not self._is_there(target, folder)))

    def scratch(self, folder: Path) -> Path:
        """Where the scan keeps what is not finished, named by all that decides what it writes."""
        targets = [[*target.keys, target.part, sae_hash(target), *map(str, target.sites)] for target in self.targets]
        model = None if self.model is None else self.model.content_hash()
        names = [f"{spec.place}/{spec.name}" for spec in self.options.gatherers]
        size = self.options.processes.size
        return scratch_folder(folder, [targets, to_dict(self.config), self.source.spec, model, names, size])

    def _is_there(self, target: Target, folder: Path) -> bool:
        places = {LATENTS, *(spec.place for spec in self.options.gatherers)}
        return all(gathered_folder(folder, place, key).exists() for place in places for key in target.keys)

    def _latents(self, target: Target, number: int) -> GathererSpec:
        """The gatherer of what `store.py` tells of."""
        config, model = self.config, self.model

        def logits() -> LogitFacts:
            return target_logits(target, number, model, n_tokens=config.n_logit_tokens)

        def make(n_latents: int, *, n_contexts: int, context_len: int, scratch: Path) -> LatentGatherer:
            del n_contexts, context_len  # it keeps the same of any text
            return LatentGatherer(n_latents, config.keep, scratch, n_per_decile=config.n_per_decile, logits=logits)

        return GathererSpec(LATENTS, make)
