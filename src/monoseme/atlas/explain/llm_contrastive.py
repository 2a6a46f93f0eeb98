"""LLM against hard negatives: a language model says what sets a latent's firings apart from text on which its neighbours fire.

Source: contrastive explanations with hard negatives as in delphi (FAISS or co-occurrence neighbours, pull request 107 there); our
negatives are windows in which the latent is known to be silent by its own codes, those where latents that mostly fire with it
fire strongest, each of another document. The words are our own.
"""

from dataclasses import dataclass

from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.explain._over_excerpts import ExcerptExplainer, Shown
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk


class LlmContrastive(ExcerptExplainer):
    """Explains from the strongest firings beside near misses; silent windows at random where there are too few of these."""

    task = (
        "You are shown excerpts on which it is most active, then similar excerpts on which it is silent. Find what the marked"
        " tokens, or what leads to them, share and the silent excerpts lack."
    )
    active_name = "active"

    @dataclass(frozen=True, kw_only=True)
    class Config(ExcerptExplainer.Config):
        """How many examples of both kinds."""

        n_top: int = 12
        """Excerpts on which it fires, the strongest first (count)."""
        n_silent: int = 10
        """Excerpts on which it is silent, the hardest first (count)."""
        seed: int = 0
        """Seed of the draw of silent ones."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.n_top < self.fewest_firings or self.n_silent < 1:
                raise ConfigError(f"n_top must be at least fewest_firings ({self.fewest_firings}), and n_silent at least 1.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def choose(self, excerpts: Excerpts, latent: int) -> Shown:
        """The strongest, and near misses."""
        active = excerpts.top(latent, self.config.n_top, heldout=False)
        silent = excerpts.near_misses(latent, self.config.n_silent, heldout=False)
        lacking = self.config.n_silent - len(silent)
        if lacking:
            more = excerpts.silent(latent, self.config.n_silent, heldout=False, seed=self.config.seed)
            known = {(excerpt.document, excerpt.position) for excerpt in silent}
            silent += tuple(excerpt for excerpt in more if (excerpt.document, excerpt.position) not in known)[:lacking]
        nowhere = "it is silent in no window of the kept contexts that explain"
        return Shown(active, silent, None if silent else excerpts.why_no_codes or nowhere)
