"""LLM over decile samples: a language model is shown firings of every strength, and says what holds from weak to strong.

Source: delphi's sampling of examples by quantiles of activation (Paulo et al. 2024, arXiv:2410.13928, section 3); drawn here from
a uniform sample of all firings, each of another document within a tenth; the words are our own.
"""

from dataclasses import dataclass

from monoseme.atlas.excerpts import Excerpt, Excerpts
from monoseme.atlas.explain._over_excerpts import ExcerptExplainer, Shown
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk


class LlmDeciles(ExcerptExplainer):
    """Explains from a few firings of each tenth of the activations."""

    task = (
        "You are shown excerpts from each tenth of its activations, tenth 10 being the strongest. Find what the marked tokens, or"
        " what leads to them, share; weak ones may share less, and count as much."
    )

    @dataclass(frozen=True, kw_only=True)
    class Config(ExcerptExplainer.Config):
        """How many examples."""

        per_decile: int = 3
        """Excerpts from each tenth of the activations (count)."""
        seed: int = 0
        """Seed of the draw."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.per_decile < 1:
                raise ConfigError(f"per_decile must be at least 1, not {self.per_decile}")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def choose(self, excerpts: Excerpts, latent: int) -> Shown:
        """Some of each tenth, the strongest tenth first."""
        found = excerpts.by_decile(latent, self.config.per_decile, heldout=False, seed=self.config.seed)
        if len(found) < self.config.fewest_firings:  # firings that are all alike are of one tenth
            return Shown(excerpts.top(latent, 10 * self.config.per_decile, heldout=False))
        return Shown(found[::-1])

    def label(self, excerpt: Excerpt) -> str:
        """Its tenth."""
        return f"[tenth {1 + (excerpt.decile or 0)}] "
