"""Every letter and word of one dictionary, judged by both definitions.

Letters: N words, F latents, W words of one letter.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from monoseme.core.seeds import derive_seed
from monoseme.evaluation._absorption_by_ablation import AblationRule, AblationVerdict, judge_ablations
from monoseme.evaluation._absorption_by_projection import ProjectionRule, ProjectionVerdict, judge_projections
from monoseme.studies._absorption.letters import Dictionary, Ints, LetterLatents, Words, latents_of, missed
from monoseme.studies._base import Row
from monoseme.tensors.shapes import Float, Tensor

_MOST_NUMBERS = 1 << 24
"""Dense codes at a time, 128 MB."""

Ablate = Callable[[str, Ints], Float[Tensor, "W F"]]
"""(letter, rows of the words) -> change of the letter's metric when each latent is ablated at the word."""


@dataclass(frozen=True)
class JudgeSettings:
    """By which rules, and how many words are ablated."""

    by_ablation: AblationRule = field(default_factory=AblationRule)
    by_projection: ProjectionRule = field(default_factory=ProjectionRule)
    unit_rows: bool = False
    most_words: int = 200
    """Candidates of a letter that are ablated, at most, of silent main latents and of others each (count)."""
    partial: bool = True
    """Whether candidates whose main latents fire are ablated too."""
    seed: int = 0


class Judged(NamedTuple):
    """What is kept of one dictionary; plain values, so that a file can hold it."""

    letters: list[Row]
    """One row for each letter that could be judged."""
    words: list[Row]
    """One row for each true positive of the letter's probe: `word` is its number."""
    ablations: list[Row]
    """One row for each ablated word, with the original's columns."""


def judge(dictionary: Dictionary, words: Words, settings: JudgeSettings, *, ablate: Ablate | None) -> Judged:
    """Judges all true positives by projection, and with `ablate` the candidates among them by ablation."""
    made = Judged([], [], [])
    for letter in (name for name in words.probe.classes if name in dictionary.probes.classes):
        found = latents_of(letter, dictionary.probes.classes[letter])
        of = words.true_positives(letter)
        sample = _sample(found, dictionary, of, settings) if ablate is not None else None
        judged = [] if sample is None or ablate is None else _ablated(found, dictionary, words, sample, settings, ablate)
        made.letters.append(_letter_row(found, dictionary, words, of, sample))
        made.words.extend(_word_rows(found, dictionary, words, of, settings, judged))
        made.ablations.extend({"num_probe_true_positives": len(of)} | row for row in judged)
    return made


class _Sample(NamedTuple):
    """Which of a letter's words are ablated."""

    candidates: Ints
    """Words that the sparse probe misses."""
    silent: Ints
    """Those of them, as many as are ablated, in which no main latent fires: the ones that can count as absorbed."""
    silent_portion: float
    firing: Ints
    firing_portion: float


def _sample(found: LetterLatents, dictionary: Dictionary, of: Ints, settings: JudgeSettings) -> _Sample:
    candidates = missed(found, dictionary.codes, of)
    added = np.asarray(dictionary.codes[candidates][:, list(found.main)].sum(1)).reshape(-1)
    is_silent = added < settings.by_ablation.silent
    silent, silent_portion = _some(candidates[is_silent], found.letter, settings)
    firing, firing_portion = _some(candidates[~is_silent][: None if settings.partial else 0], found.letter, settings)
    return _Sample(candidates, silent, silent_portion, firing, firing_portion)


def _some(rows: Ints, letter: str, settings: JudgeSettings) -> tuple[Ints, float]:
    """At most `most_words` of them, in their order, and what share that is."""
    if len(rows) <= settings.most_words:
        return rows, 1.0
    drawn = np.random.default_rng(derive_seed(settings.seed, "absorption", letter)).permutation(rows)[: settings.most_words]
    return np.sort(drawn), settings.most_words / len(rows)


def _ablated(
    found: LetterLatents, dictionary: Dictionary, words: Words, sample: _Sample, settings: JudgeSettings, ablate: Ablate
) -> list[Row]:
    """Rows with the original's columns, of the silent candidates and then of the others."""
    cosines = functional.normalize(dictionary.writes.double(), dim=1) @ functional.normalize(
        words.probe.direction(found.letter).double(), dim=0
    )
    rows: list[Row] = []
    for of, portion in ((sample.silent, sample.silent_portion), (sample.firing, sample.firing_portion)):
        for some in _pieces(of, len(cosines)):
            codes = _dense(dictionary, some)
            verdict = judge_ablations(codes, ablate(found.letter, some), cosines, main=found.main, rule=settings.by_ablation)
            rows += [
                {"letter": found.letter, "token": words.words[n], "prompt": words.prompts[n], "sample_portion": portion}
                | _main_columns(found, codes[i], cosines)
                | _ablation_columns(verdict, i, codes[i], cosines)
                | {"word": int(n)}
                for i, n in enumerate(some)
            ]
    return rows


def _main_columns(found: LetterLatents, codes: Tensor, cosines: Tensor) -> Row:
    main = list(found.main)
    return {
        "split_feats": _listed(main),
        "split_feat_acts": _listed(codes[main].tolist()),
        "split_feat_probe_cos": _listed(cosines[main].tolist()),
    }


def _ablation_columns(verdict: AblationVerdict, i: int, codes: Tensor, cosines: Tensor) -> Row:
    latents, scores = verdict.ranked.latents[i], verdict.ranked.scores[i]
    made: Row = {}
    for place, name in enumerate(("top", "second")):
        latent = int(latents[place])
        made |= {
            f"{name}_ablation_feat": latent,
            f"{name}_ablation_score": float(scores[place]),
            f"{name}_ablation_feat_probe_cos": float(cosines[latent]),
        }
    return made | {
        "ablation_scores": _listed(scores.tolist()),
        "ablation_feats": _listed(latents.tolist()),
        "ablation_feat_acts": _listed(codes[latents].tolist()),
        "ablation_feat_probe_cos": _listed(cosines[latents].tolist()),
        "is_absorption": bool(verdict.is_absorbed[i]),
        "is_partial": bool(verdict.is_partial[i]),
    }


def _word_rows(
    found: LetterLatents, dictionary: Dictionary, words: Words, of: Ints, settings: JudgeSettings, judged: Sequence[Row]
) -> list[Row]:
    """What each true positive says; of words that were not ablated, `is_absorption` and `is_partial_by_ablation` are None."""
    ablated = {row["word"]: row for row in judged}
    rows: list[Row] = []
    for some in _pieces(of, dictionary.writes.shape[0]):
        verdict = judge_projections(
            words.x[torch.from_numpy(some)],
            _dense(dictionary, some),
            dictionary.writes,
            words.probe.direction(found.letter),
            main=found.main,
            rule=settings.by_projection,
            unit_rows=settings.unit_rows,
        )
        for i, n in enumerate(some):
            by_ablation = ablated.get(int(n), {"is_absorption": None, "is_partial": None})
            rows.append(
                {"letter": found.letter, "token": words.words[n], "word": int(n)}
                | _projection_columns(verdict, i)
                | {"is_absorption": by_ablation["is_absorption"], "is_partial_by_ablation": by_ablation["is_partial"]}
            )
    return rows


def _projection_columns(verdict: ProjectionVerdict, i: int) -> Row:
    return {
        "is_full": bool(verdict.is_full[i]),
        "fraction": float(verdict.fraction[i]),
        "is_partial": bool(verdict.is_partial[i]),
        "top_projection_feat": int(verdict.top[i]),
        "top_projection": float(verdict.top_projection[i]),
        "main_projection": float(verdict.main_projection[i]),
        "probe_projection": float(verdict.projection[i]),
    }


def _letter_row(found: LetterLatents, dictionary: Dictionary, words: Words, of: Ints, sample: _Sample | None) -> Row:
    n_missed = len(missed(found, dictionary.codes, of)) if sample is None else len(sample.candidates)
    return {
        "letter": found.letter,
        "probe_f1": words.f1(found.letter),
        "k1_f1": found.f1_of_one,
        "k_sparse_f1": found.f1,
        "n_main_latents": len(found.main),
        "main_latents": _listed(found.main),
        "n_test_words": int(((np.asarray(words.labels) == found.letter) & words.is_test).sum()),
        "num_probe_true_positives": len(of),
        "n_missed": n_missed,
        "n_ablated": None if sample is None else len(sample.silent),
        "sample_portion": None if sample is None else sample.silent_portion,
        "partial_sample_portion": None if sample is None else sample.firing_portion,
    }


def _dense(dictionary: Dictionary, rows: Ints) -> Float[Tensor, "W F"]:
    return torch.from_numpy(np.asarray(dictionary.codes[rows].toarray(), dtype=np.float64))


def _pieces(rows: Ints, n_latents: int) -> list[Ints]:
    """Rows in turn, so many that their dense codes fit."""
    n = max(1, _MOST_NUMBERS // n_latents)
    return [rows[i : i + n] for i in range(0, len(rows), n)]


def _listed(values: Any) -> str:
    """A list in a cell of a table, as JSON."""
    return json.dumps(list(values))
