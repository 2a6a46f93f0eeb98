"""How an atlas is made: how much text, what is kept of each latent, and what is worked out from that."""

from dataclasses import dataclass, field
from typing import Literal

from monoseme.atlas import ScanConfig
from monoseme.atlas.scanning.gatherer import GathererSpec
from monoseme.atlas.sentences.gathering import rank_sentences
from monoseme.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """How much text an atlas is made from, and what is kept of it."""

    n_tokens: int = 500_000
    """Tokens scanned, held-out ones included, as far as the corpus goes (count)."""
    scan: ScanConfig = field(default_factory=ScanConfig)
    """What is kept."""
    sentences: Literal["none", "best", "argmax_as_llama3", "both"] = "none"
    """Rank the sentences (documents) for each latent: by its own mean, max and last code (best), or as
    llama3_interpretability_sae does, each sentence for the one latent that is strongest in it (argmax_as_llama3)."""
    relations: bool = True
    """Work out how latents go together: co-activation, correlation and neighbours, on the kept tokens."""
    effects: int = 0
    """Measure what latents do for the next token, by ablating each at so many firings from each tenth of its activations
    (count; 0: not measured)."""

    def __post_init__(self) -> None:
        if self.n_tokens < 1:
            raise ConfigError(f"n_tokens is {self.n_tokens}, but a scan needs at least 1.")
        if self.effects < 0:
            raise ConfigError(f"effects is {self.effects}, but a number of firings cannot be negative.")
        if self.effects and not self.scan.n_kept_tokens:
            raise ConfigError("effects are measured on kept tokens, but scan.n_kept_tokens is 0.")

    @property
    def gatherers(self) -> tuple[GathererSpec, ...]:
        """What the pass gathers besides."""
        as_llama3 = {"none": (), "best": (False,), "argmax_as_llama3": (True,), "both": (False, True)}[self.sentences]
        return tuple(rank_sentences(argmax_as_llama3=each) for each in as_llama3)
