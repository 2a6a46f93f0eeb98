"""Embedding: is an explanation nearer to held-out excerpts in which the latent fires than to others, for a model of sentences?

Explanation and excerpts become vectors: the mean over tokens of the last hidden state of a local transformers model. The score is
the AUROC of their cosine similarity. Nothing is asked and nothing is paid; the model reads no instruction in the text.

Source: delphi's embedding scorer (Paulo et al. 2024, arXiv:2410.13928); the words before the explanation are ours.
Differs: real labels, held-out documents, controls, intervals. Models that want another pooling than the mean are not for it.
"""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.score import _numbers as numbers
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._choice import ChoiceConfig, chosen, plain_items, why_no_control
from monoseme.atlas.score._controls import Version
from monoseme.atlas.score._errors import least_auroc_error
from monoseme.atlas.score._items import Item, Verdict, judgement_of
from monoseme.atlas.score._lookup import TokenLookup
from monoseme.atlas.score._measured import missing, score_of
from monoseme.atlas.sentence_model import SentenceModel
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk

_CONTROLS = ("other", "empty", "lookup")


class Embedding(Scorer):
    """AUROC of the similarity of explanation and excerpts, with two controls and the table of tokens."""

    definitions = {  # noqa: RUF012 - a class constant of the contract
        "auroc": "probability that a held-out firing excerpt is more similar to the explanation than another, ties half; in"
        " [0, 1], higher is better, 0.5 is chance",
        "auroc_other": "control: auroc of another latent's explanation; should be near 0.5",
        "auroc_empty": "control: auroc of the words before the explanation alone",
        "auroc_lookup": "the bar to beat: auroc of the table of the latent's tokens",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(ChoiceConfig):
        """Which model, and how many excerpts: they cost nothing, so there are more of them."""

        model: str = ""
        """Folder of a transformers model whose mean-pooled states are sentence vectors, such as all-MiniLM-L6-v2."""
        before: str = "Find text that fits this description: "
        """Words before the explanation; some models were trained with such."""
        n_per_decile: int = 5
        """Firing excerpts of each tenth of the latent's activations (count)."""
        n_silent: int = 25
        """Excerpts in which it does not fire, drawn at random (count)."""
        n_near_misses: int = 25
        """Excerpts in which it does not fire, but latents that mostly fire with it do (count)."""
        batch_size: int = 64
        """Texts in one forward (count)."""
        device: str = "cpu"
        """Where the model runs."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.batch_size < 1:
                raise ConfigError(f"batch_size is {self.batch_size}, but must be at least 1.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        """Raises ConfigError without a model: none comes with the package."""
        super().__init__(config, desk=desk)
        self.config = config or self.Config()
        if not self.config.model:
            raise ConfigError("embedding has no model.\n  Give the folder of a sentence model with --scorer.model FOLDER")

    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """All numbers of all explanations, in order, those of the tenths after the whole. Raises what loading a model raises."""
        model = SentenceModel(self.config.model, device=self.config.device, batch_size=self.config.batch_size)
        excerpts, lookup = Excerpts(evidence), TokenLookup(evidence)
        choose = functools.partial(plain_items, excerpts, config=self.config, heldout=True)
        for found in chosen(excerpts, explanations, self.config, scorer="embedding", choose=choose):
            latent, items, told = found.explanation.latent, found.items, found.told
            if found.why_missing is not None:
                yield from missing(latent, list(self.definitions), found.why_missing, n=len(items))
                continue
            vectors = model.vectors([item.excerpt.text for item in items] + [self.config.before + (v.text or "") for v in told])
            table = lookup.table(latent)
            strengths = {v.told: vectors[: len(items)] @ vector for v, vector in zip(told, vectors[len(items) :], strict=True)}
            strengths |= {"lookup": np.array([table.strength(item) for item in items])}
            self.judgements += [
                judgement_of(item, Verdict(similarity), latent=latent, version=version, question=None)
                for version in [*told, Version("lookup", None, latent)]
                for item, similarity in zip(items, strengths[version.told].tolist(), strict=True)
            ]
            yield from self._scores(_Trial(latent, items), strengths)

    def _scores(self, trial: "_Trial", found: dict[str, NDArray[np.float64]]) -> Iterator[Score]:
        yield self._auroc(trial, found["own"], "auroc")
        for control in _CONTROLS:
            if control in found:
                yield self._auroc(trial, found[control], f"auroc_{control}")
            else:
                yield from missing(trial.latent, [f"auroc_{control}"], why_no_control(control, self.config))
        for decile in sorted({item.decile for item in trial.items if item.decile is not None}):
            yield self._auroc(trial, found["own"], "auroc", decile=decile)

    def _auroc(self, trial: "_Trial", strength: NDArray[np.float64], name: str, *, decile: int | None = None) -> Score:
        wanted = np.array([not item.fires or decile in (None, item.decile) for item in trial.items])
        fires = np.array([item.fires for item in trial.items])[wanted]
        documents = np.array([item.excerpt.document for item in trial.items])[wanted]
        weights = numbers.document_weights(documents, seed=self.config.seed)
        found = numbers.weighted_auroc(strength[wanted], fires, weights)
        estimate = numbers.estimate(found, least=least_auroc_error(float(found[0]), fires, documents))
        return score_of(trial.latent, name, estimate, n=len(fires), why="no excerpts of both kinds", decile=decile)


class _Trial(NamedTuple):
    latent: int
    items: list[Item]
