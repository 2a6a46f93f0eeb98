"""How the latents of SAEs with codes at several layers spread over these: does a latent stay, wander, or act everywhere at once?

Source: Lawson et al. 2024, "Residual Stream Analysis with Multi-Layer SAEs", arXiv:2409.04185, and the analyses of its code
(`dists`, `variances`, `test`, and the figures). Differs: statistics weight a firing by its activation, so that the law of total
variance holds (`evaluation/_layer_sums`), and MLSAE's own forms stand beside them as `*_as_mlsae`; gaps between layers and
decoder cosines are of the same pair of latents (`evaluation/_layer_pairs`); intervals are over documents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from monoseme.core.errors import ConfigError
from monoseme.splice import Placed
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._layers.measured import evaluation, measured
from monoseme.studies._layers.result import LayersMeasured, result_of
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig, Workbench

PROMPT = "When Mary and John went to the store, John gave a drink to"
"""MLSAE's own."""
_TRAIN = "monoseme train --sae mlsae --sae.n_latents 1024 --sae.k 16 --train.n_tokens 100000 --out runs/mlsae"


class Layers(Study):
    """Which layers the latents of multi-layer SAEs act at: over all tokens, at one, and on a prompt."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """Which SAEs, on how much text. Those without codes at several layers are compared in what they lose only."""

        max_tokens: int | None = 100_000
        """Tokens for the spread over layers (count); None: the whole text."""
        max_fidelity_tokens: int | None = 8_192
        """Tokens for what is lost at each layer (count); None: the whole text."""
        max_loss_tokens: int | None = 2_048
        """Tokens of those on which the model's loss is measured too (count); None: all of them."""
        prompt: str = PROMPT
        """Text for the map of a single prompt."""
        min_count: int = 1
        """Firings at a layer from which a latent counts as acting there, in `n_layers` (count)."""
        n_embeddings: int = 8
        """Nearest input and output embeddings of each latent (count)."""
        max_embedded: int = 500
        """Latents whose nearest embeddings are listed: those with the most activation (count)."""
        max_paired: int = 8_192
        """Latents of which all pairs are compared (count); of more, so many are drawn."""
        n_replicates: int = 200
        """Replicates of the bootstrap over documents (count)."""
        seed: int = 0
        """Of the bootstrap and of what is drawn."""

        def __post_init__(self) -> None:
            super().__post_init__()
            counts = {name: getattr(self, name) for name in ("min_count", "n_embeddings", "max_embedded", "max_paired")}
            counts |= {name: getattr(self, name) for name in ("max_tokens", "max_fidelity_tokens", "max_loss_tokens")}
            for name, value in counts.items():
                if value is not None and value < 1:
                    raise ConfigError(f"{name} is {value}; it must be at least 1")
            if self.n_replicates < 20:
                raise ConfigError(f"n_replicates is {self.n_replicates}; it must be at least 20")

    config: Config
    short_flags: ClassVar[Mapping[str, str]] = {**SHORT_FLAGS, "--tokens": "--max_tokens"}

    def investigate(self, work: Path) -> StudyResult:
        """Measures all SAEs on the same text, each once, and puts what was found together."""
        config, bench = self.config, Workbench(self.config)
        if not any(_has_layers(subject.placed) for subject in bench.subjects):  # before any text is read
            told = ", ".join(subject.name for subject in bench.subjects)
            raise ConfigError(f"none of {told} has codes at several layers.\n  Train one that has, then name it:  {_TRAIN}")
        subjects = bench.eval_subjects()
        several = [subject for subject in subjects if _has_layers(subject.placed)]
        sure = {"n_replicates": config.n_replicates, "seed": config.seed}
        some = {"max_tokens": config.max_fidelity_tokens, "max_loss_tokens": config.max_loss_tokens}
        found = LayersMeasured(
            spreads=measured(evaluation("layer_spread", max_tokens=config.max_tokens, **sure), several, work),
            fidelity=measured(evaluation("fidelity", **some, **sure), subjects, work),
        )
        return result_of(bench, config, found)


def _has_layers(placed: Placed) -> bool:
    return placed.sae.codes_per_site and len(placed.code_sites) > 1
