"""LLM over the strongest examples: a language model is shown where the latent fires most, and says what these have in common.

Source: the top-activation explanations of Bills et al. 2023 ("Language models can explain neurons in language models") and of
delphi (Paulo et al. 2024, arXiv:2410.13928); the words are our own. The strongest examples alone say little of weak firings:
see `llm_deciles`.
"""

from dataclasses import dataclass

from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.explain._over_excerpts import ExcerptExplainer, Shown
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk


class LlmTop(ExcerptExplainer):
    """Explains from the strongest firings, each of another document."""

    task = "You are shown the excerpts on which it is most active. Find what the marked tokens, or what leads to them, share."

    @dataclass(frozen=True, kw_only=True)
    class Config(ExcerptExplainer.Config):
        """How many examples."""

        n_top: int = 20
        """Excerpts shown, the strongest first (count)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.n_top < self.fewest_firings:
                raise ConfigError(f"n_top is {self.n_top}, but fewest_firings asks for {self.fewest_firings} excerpts.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def choose(self, excerpts: Excerpts, latent: int) -> Shown:
        """The strongest."""
        return Shown(excerpts.top(latent, self.config.n_top, heldout=False))
