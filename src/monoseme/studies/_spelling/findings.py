"""What the answers say: first of all, whether the model can do the task."""

from collections.abc import Sequence

import numpy as np

from monoseme.spelling import Grade
from monoseme.studies._base import Comparison, Finding
from monoseme.studies._intervals import Interval, of_replicates
from monoseme.studies._spelling.measure import MODEL, Answers
from monoseme.studies._spelling.tables import (
    accuracy,
    chance_of,
    choice_accuracy,
    cut_accuracy,
    difference_row,
    last_of,
    length_of,
    n_examples_of,
    resampled_means,
    written_accuracy,
)


def can_do(answers: Answers) -> bool:
    """Whether the accuracy after the most examples is above that of the commonest answer with its whole 95 % interval."""
    low = accuracy(last_of(answers)).low
    return low is not None and low > chance_of(answers)


def findings_of(found: Sequence[Answers], *, left_out: Sequence[str], n_replicates: int, seed: int) -> list[Finding]:
    """In the order in which they are to be read. `left_out`: why some SAEs are not there."""
    model = [answers for answers in found if answers.subject == MODEL]
    able = [answers for answers in model if can_do(answers)]
    others = [answers for answers in found if answers.subject != MODEL]
    why = "" if able else "The model does no task better than guessing, so nothing is to be learned from its answers."
    decided = [
        _ability(model),
        Finding(
            "More examples help: with the most, the model is right more often than with the fewest.",
            tuple(made for answers in able if (made := _more_examples(answers, n_replicates, seed)) is not None),
            why or "One number of examples was asked for, or the model is always right with the fewest.",
        ),
        Finding(
            "Longer words are harder: of those longer than the middle length, fewer are answered rightly.",
            tuple(made for answers in able if (made := _longer(answers, n_replicates, seed)) is not None),
            why or "All words are of one length, or all are answered rightly.",
        ),
        Finding(
            "With the SAE in place the model still does better than guessing: its accuracy is above the commonest answer's.",
            tuple(_kept(answers, _of_task(model, answers), n_replicates, seed) for answers in others),
            " ".join([why or "No SAE was given, or none could be put in place.", *left_out]),
        ),
    ]
    return [finding._replace(why_missing="") if finding.comparisons else finding for finding in decided]


def _of_task(model: Sequence[Answers], answers: Answers) -> Answers:
    return next(each for each in model if each.task == answers.task)


def _ability(model: Sequence[Answers]) -> Finding:
    unable = [answers.task.name for answers in model if not can_do(answers)]
    end = f" **It cannot do {', '.join(unable)}**: what probes or SAEs show there is not what it does." if unable else ""
    claim = "The model can do the task: it is right more often than the commonest answer is, with its whole 95 % interval."
    return Finding(claim + end, tuple(Comparison(can_do(answers), _told(answers)) for answers in model))


def _told(answers: Answers) -> str:
    grades, choice, made = last_of(answers), choice_accuracy(last_of(answers)), written_accuracy(answers)
    answer = max((g.answer.strip() for g in grades), key=[g.answer.strip() for g in grades].count)
    parts = [
        f'accuracy {accuracy(grades)} after {n_examples_of(answers)[-1]} examples; always "{answer}": {chance_of(answers):.3g}'
    ]
    if choice is not None:
        parts.append(f"among the task's answers alone {choice}")
    if made is not None:
        parts.append(f"where it writes {made}, cut at the answer's length {cut_accuracy(answers)}")
    return f"{answers.task.name}: {'; '.join(parts)}"


def _more_examples(answers: Answers, n_replicates: int, seed: int) -> Comparison | None:
    """None where there is nothing to compare, or nothing to gain."""
    numbers = n_examples_of(answers)
    if len(numbers) < 2 or all(g.is_correct for g in answers.grades if g.n_examples == numbers[0]):
        return None
    few, many = ({g.word: float(g.is_correct) for g in answers.grades if g.n_examples == n} for n in (numbers[0], numbers[-1]))
    gained = of_replicates(
        resampled_means(np.array([many[word] - few[word] for word in many]), n_replicates, seed, answers.task.name)
    )
    text = f"{answers.task.name}: {numbers[-1]} against {numbers[0]} examples, difference of accuracy {gained}"
    return Comparison(gained.value > 0 and gained.excludes_zero is True, text)


def _longer(answers: Answers, n_replicates: int, seed: int) -> Comparison | None:
    """None where all words are of one length, or none is answered wrongly."""
    grades = last_of(answers)
    if all(g.is_correct for g in grades):
        return None
    middle = float(np.median([length_of(g) for g in grades]))
    short, long = ([g for g in grades if (length_of(g) > middle) is is_long] for is_long in (False, True))
    if not short or not long:
        return None
    drop = of_replicates(_means(long, n_replicates, seed, "long") - _means(short, n_replicates, seed, "short"))
    text = f"{answers.task.name}: longer than {middle:g} letters less the others, difference of accuracy {drop}"
    return Comparison(drop.value < 0 and drop.excludes_zero is True, text)


def _kept(answers: Answers, model: Answers, n_replicates: int, seed: int) -> Comparison:
    row = difference_row(model, answers, n_replicates=n_replicates, seed=seed)
    value, low, high = (row[f"accuracy_difference{end}"] for end in ("", "_low", "_high"))
    lost = Interval(value, low, high, "too few words")
    text = f"{answers.task.name}, {answers.subject}: accuracy {accuracy(last_of(answers))}; difference from the model {lost}"
    return Comparison(can_do(answers), text)


def _means(grades: Sequence[Grade], n_replicates: int, seed: int, name: str) -> np.ndarray:
    return resampled_means(np.array([float(g.is_correct) for g in grades]), n_replicates, seed, name)
