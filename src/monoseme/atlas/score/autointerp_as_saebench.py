"""Autointerp as SAEBench 0.6.0 does it, for comparison with its published numbers: windows, labels and score to the letter.

Its mistakes are kept: the score is plain accuracy over 14 windows, so that saying "None" scores 10/14 = 0.714; random windows
count as inactive without a look; the documents that explain also score; answers that cannot be read drop out; nothing is asked
again. Beside the score stand what "None" scores and the share of random windows in which the latent does fire.

Source: SAEBench 0.6.0, evals/autointerp (see `_as_saebench.py`). Differs: the words of the prompts are ours, activations are
float32 for bfloat16, the text is the kept contexts of the atlas (cut to one length) for 2 million tokens of the Pile, each
latent has a random stream of its own, and the judge is whichever is given.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.score import _as_saebench as peer
from monoseme.atlas.score._base import Scorer
from monoseme.atlas.score._kept_grid import KeptGrid
from monoseme.atlas.score._measured import missing
from monoseme.core.seeds import derive_seed
from monoseme.judges import Answer, Desk, Message, Question

_COUNTS = peer.Counts()
_MOST_CHARACTERS = 2_000
"""Of an explanation (count): it may come from a stranger's file."""
_EXPLAIN = (
    "You study a neuron of a neural network. It activates on a word, a part of a word or a concept in short documents. You get"
    " documents on which it activates, the strongest first, with the activating words between << and >>. Say in one sentence of"
    ' at most 20 words what it activates on, in the form "This neuron activates on ...". Be general enough to cover most marked'
    " words; heed capitals and punctuation where they matter; give no long list of words."
)
_SCORE = (
    "You study a neuron of a neural network. It activates on a word, a part of a word or a concept in short documents. You get"
    " what it activates on, and {n} documents in random order. Answer with the numbers of those in which it should activate at"
    ' least once, separated by commas, such as "{example}", and with nothing else. If there is none, answer "None".'
)


class AutointerpAsSaebench(Scorer):
    """Accuracy over 14 windows, as SAEBench counts it."""

    asks_judge = True
    definitions = {  # noqa: RUF012 - a class constant of the contract
        "score": "share of 14 windows rightly named as active or not, as SAEBench counts; in [0, 1], higher is better, and 10/14"
        " = 0.714 is what naming none scores",
        "floor": "what naming no window scores, 10/14; a score below it is worse than saying nothing",
        "mislabelled_fraction": "share of the 10 random windows that count as inactive although the latent fires in them; in"
        " [0, 1], lower is better",
    }

    @dataclass(frozen=True, kw_only=True)
    class Config(Scorer.Config):
        """Whose explanation."""

        explains: bool = True
        """True: the judge first explains from the protocol's own 15 windows, as SAEBench does. False: the explanations of the
        atlas are scored."""
        seed: int = 42
        """Of all draws."""

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def questions(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Question]:
        """All that `score` would ask; explanations that are not there yet are counted as the atlas's own."""
        for explanation, trial in zip(explanations, self._trials(evidence, explanations), strict=True):
            if isinstance(trial, _Trial):
                yield from [trial.explain] if self.config.explains else []
                yield trial.ask(explanation.text or "")

    def score(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator[Score]:
        """All numbers of all latents, in order."""
        trials = list(self._trials(evidence, explanations))
        told = self._told(explanations, trials)
        asked = [
            (trial, text) for trial, text in zip(trials, told, strict=True) if isinstance(trial, _Trial) and text is not None
        ]
        answers = self.answers([trial.ask(text) for trial, text in asked])
        for explanation, trial, text in zip(explanations, trials, told, strict=True):
            if isinstance(trial, _Trial):
                yield from self._scores(explanation.latent, trial, None if text is None else next(answers))
            else:
                yield from missing(explanation.latent, list(self.definitions), trial)

    def _told(self, explanations: Sequence[Explanation], trials: Sequence["_Trial | str"]) -> list[str | None]:
        """What each latent is said to activate on; None where it is not scored or the judge did not say."""
        if not self.config.explains:
            return [explanation.text for explanation in explanations]
        answers = self.answers([trial.explain for trial in trials if isinstance(trial, _Trial)])
        said = [next(answers) if isinstance(trial, _Trial) else None for trial in trials]
        return [None if a is None or a.failure or a.text is None else peer.explanation_in(a.text) for a in said]

    def _trials(self, evidence: Evidence, explanations: Sequence[Explanation]) -> Iterator["_Trial | str"]:
        """The windows of each latent, or why there are none."""
        kept = evidence.kept
        grid = None if kept is None else KeptGrid(evidence, kept)
        for explanation in explanations:
            evidence.latents.check_latent(explanation.latent)
            if grid is None:
                yield str(evidence.why_no_codes)
            elif not self.config.explains and explanation.text is None:
                yield f"not explained: {explanation.why_missing}"
            elif grid.length <= 2 * _COUNTS.buffer:
                yield f"the kept contexts are shorter than a window of {2 * _COUNTS.buffer + 1} tokens"
            else:
                seed = derive_seed(self.config.seed, "as_saebench", explanation.latent)
                yield _trial(grid, explanation.latent, seed) or "too few firings in the kept contexts for the protocol's windows"

    def _scores(self, latent: int, trial: "_Trial", answer: Answer | None) -> Iterator[Score]:
        named = None if answer is None or answer.text is None or answer.failure else peer.numbers_in(answer.text)
        failure = None if named is not None else "the judge gave no answer that can be read"
        for i, shown in enumerate(trial.to_score):
            self.judgements.append(_judgement(latent, shown, None if named is None else i + 1 in named, failure))
        labels = [shown.place.counts_as_active for shown in trial.to_score]
        value = None if named is None else peer.accuracy(named, labels)
        yield Score(latent=latent, name="score", value=value, why_missing=failure, n=len(labels))
        yield Score(latent=latent, name="floor", value=_COUNTS.floor, n=len(labels))
        fires = [shown.fires for shown in trial.to_score if shown.place.kind == "random"]
        yield Score(latent=latent, name="mislabelled_fraction", value=sum(fires) / len(fires), n=len(fires))


class _Shown(NamedTuple):
    """A window as the judge sees it."""

    place: peer.Place
    text: str
    fires: bool
    """Whether the latent does fire in it, whatever its label."""
    document: int
    position: int


class _Trial(NamedTuple):
    """The windows of one latent."""

    to_explain: list[_Shown]
    to_score: list[_Shown]
    example: str
    """The made-up answer in the question."""

    @property
    def explain(self) -> Question:
        """What the latent activates on, from its windows."""
        return _free(_EXPLAIN, f"The documents:\n\n{_numbered(self.to_explain)}", max_tokens=30)

    def ask(self, explanation: str) -> Question:
        """In which windows it activates."""
        system = _SCORE.format(n=len(self.to_score), example=self.example)
        user = f"The neuron activates on {explanation[:_MOST_CHARACTERS]}.\n\nThe documents:\n\n{_numbered(self.to_score)}"
        return _free(system, user, max_tokens=2 * len(self.to_score) + 5)


def _trial(grid: KeptGrid, latent: int, seed: int) -> _Trial | None:
    acts, shuffle = grid.activations(latent), random.Random(seed)
    draw = torch.Generator().manual_seed(seed)
    sampled = peer.sample(torch.from_numpy(acts), _COUNTS, draw=draw, shuffle=shuffle)
    if sampled is None:
        return None
    explain = [_shown(grid, acts, place, marked_above=sampled.threshold) for place in sampled.to_explain]
    score = [_shown(grid, acts, place, marked_above=None) for place in sampled.to_score]
    example = sorted(shuffle.sample(range(1, _COUNTS.n_to_score + 1), _COUNTS.n_to_score - _COUNTS.n_random))
    return _Trial(explain, score, ", ".join(map(str, example)))


def _shown(grid: KeptGrid, acts: NDArray[np.float32], place: peer.Place, *, marked_above: float | None) -> _Shown:
    row, span = place.row, slice(place.middle - _COUNTS.buffer, place.middle + _COUNTS.buffer + 1)
    values = acts[row, span]
    is_marked = np.zeros(len(values), dtype=bool) if marked_above is None else values > marked_above
    texts = zip(grid.texts(grid.tokens[row, span]), is_marked.tolist(), strict=True)
    text = (
        "".join(f"<<{text}>>" if is_active else text for text, is_active in texts).replace("\ufffd", "").replace("\n", "\u21b5")
    )
    document, position = int(grid.document[row, place.middle]), int(grid.position[row, place.middle])
    return _Shown(place, text, bool((values > 0).any()), document, position)


def _numbered(windows: Sequence[_Shown]) -> str:
    return "\n".join(f"{i + 1}. {window.text}" for i, window in enumerate(windows))


def _free(system: str, user: str, *, max_tokens: int) -> Question:
    """Free text at temperature 1, the default of the interface that SAEBench calls."""
    return Question(messages=(Message("system", system), Message("user", user)), max_tokens=max_tokens, temperature=1.0)


def _judgement(latent: int, shown: _Shown, says: bool | None, failure: str | None) -> Judgement:
    return Judgement(
        latent=latent,
        told="own",
        told_of=latent,
        question=0,
        kind=shown.place.kind,
        document=shown.document,
        position=shown.position,
        decile=None,
        truth=float(shown.place.counts_as_active),
        answer=None if says is None else float(says),
        says=says,
        failure=failure,
        details=json.dumps({"fires": shown.fires}),
    )
