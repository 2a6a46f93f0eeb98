"""Fuzzing: does a judge who reads an explanation tell excerpts whose firing tokens are marked from ones with others marked?

Right marks: the tokens of a firing excerpt on which the latent is at least 0.3 of its strongest there. Wrong marks: as many
tokens on which it is silent, in firing excerpts (so that the place counts, not the topic) and in silent ones.

Source: the task is delphi's (Paulo et al. 2024, arXiv:2410.13928, section 3.2), the share of 0.3 too.
Differs: wrong marks also stand in firing excerpts, and are drawn anew for each excerpt.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.prompts import CLOSE, OPEN, described, numbered, question, shown
from monoseme.atlas.score._choice import firing_items, silent_items
from monoseme.atlas.score._graded import GradedScorer
from monoseme.atlas.score._grades import N_LOGPROBS, grades_type
from monoseme.atlas.score._items import Item
from monoseme.atlas.score._measured import definitions_of
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.judges import Desk, Question

_MARKED_FROM = 0.3
_SYSTEM = (
    "A unit inside a language model fires on some words of some texts. In each excerpt some words are marked with"
    f" {OPEN} {CLOSE}. For each excerpt, grade how sure you are that the marked words are the ones on which the unit fires:"
    " 0 surely not, 9 surely, 5 or more means yes. All, some or none may be right."
    " Answer in JSON with one grade for each excerpt."
)


class Fuzzing(GradedScorer):
    """Balanced accuracy and AUROC of a judge's grades of marked excerpts, with two controls and the table of tokens."""

    definitions = definitions_of("rightly marked excerpt", "are graded 5 or more")

    @dataclass(frozen=True, kw_only=True)
    class Config(GradedScorer.Config):
        """How many excerpts of each kind."""

        n_silent: int = 5
        """Excerpts in which it does not fire, drawn at random (count)."""
        n_near_misses: int = 5
        """Excerpts in which it does not fire, but latents that mostly fire with it do (count)."""
        n_wrongly_marked: int = 10
        """Firing excerpts in which other tokens are marked (count)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.n_wrongly_marked < 0:
                raise ConfigError(f"n_wrongly_marked is {self.n_wrongly_marked}, but cannot be negative.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def choose(self, excerpts: Excerpts, latent: int, *, heldout: bool) -> list[Item]:
        """Firing excerpts with the right tokens marked, and excerpts of both kinds with others."""
        right = [replace(item, marked=_firing(item)) for item in firing_items(excerpts, latent, self.config, heldout=heldout)]
        n_marked = max(1, round(sum(len(item.marked) for item in right) / max(1, len(right))))
        again = replace(self.config, n_per_decile=-(-self.config.n_wrongly_marked // 10) or 1, seed=self.config.seed + 1)
        firing = firing_items(excerpts, latent, again, heldout=heldout)[: self.config.n_wrongly_marked]
        wrong = [replace(item, fires=False, kind="wrong_marks", marked=self._silent(item, len(_firing(item)))) for item in firing]
        silent = silent_items(excerpts, latent, self.config, heldout=heldout)
        others = wrong + [replace(item, marked=self._silent(item, n_marked)) for item in silent]
        return right + [item for item in others if item.marked]  # one that fires on every token has none to mark wrongly

    def _silent(self, item: Item, n: int) -> tuple[int, ...]:
        """n tokens of it on which the latent is silent; fewer where there are not so many."""
        excerpt = item.excerpt
        quiet = [i for i, value in enumerate(excerpt.values) if value == 0]
        rng = np.random.default_rng(derive_seed(self.config.seed, "fuzzing", excerpt.document, excerpt.position))
        return tuple(sorted(rng.permutation(quiet)[:n].astype(int).tolist()))

    def ask(self, explanation: str | None, items: Sequence[Item]) -> Question:
        """The excerpts with their marks."""
        lines = numbered([shown(item.excerpt.texts, item.marked) for item in items], name="excerpt")
        answer_type = grades_type(len(items), name="excerpt")
        return question(
            _SYSTEM, f"{described(explanation)}\n{lines}", answer_type, max_tokens=64 + 16 * len(items), n_logprobs=N_LOGPROBS
        )


def _firing(item: Item) -> tuple[int, ...]:
    """The tokens on which the latent is near its strongest in the excerpt."""
    least = _MARKED_FROM * item.excerpt.strongest
    return tuple(i for i, value in enumerate(item.excerpt.values) if value is not None and value > 0 and value >= least)
