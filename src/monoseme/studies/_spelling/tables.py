"""Accuracies and log-probabilities of answers: as rows with intervals, by length, tokens and letter, and against the model."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from monoseme.core.intervals import error_between
from monoseme.core.seeds import derive_seed
from monoseme.evaluation import Metric
from monoseme.spelling import Grade, letters_of
from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, of_replicates, of_sample, of_share
from monoseme.studies._spelling.measure import Answers

GUESSING = "commonest answer"
"""What always giving one answer would be right in."""


def n_examples_of(answers: Answers) -> list[int]:
    """The numbers of examples, ascending."""
    return sorted({g.n_examples for g in answers.grades if g.n_examples is not None})


def last_of(answers: Answers) -> list[Grade]:
    """The grades after the most examples."""
    most = n_examples_of(answers)[-1]
    return [g for g in answers.grades if g.n_examples == most]


def chance_of(answers: Answers) -> float:
    """The share of the words whose answer is the commonest: the accuracy of always giving that one."""
    labels = Counter(g.answer for g in last_of(answers))
    return max(labels.values()) / labels.total()


def accuracy(grades: Sequence[Grade]) -> Interval:
    """Share of right answers."""
    return of_share(sum(g.is_correct for g in grades), len(grades))


def choice_accuracy(grades: Sequence[Grade]) -> Interval | None:
    """Share in which the right answer is the likeliest of the task's; None for a task without such."""
    held = [g.choice == g.answer.strip() for g in grades if g.choice is not None]
    return of_share(sum(held), len(held)) if held else None


def written_accuracy(answers: Answers) -> Interval | None:
    """Share of right answers among those that were written; None where none was."""
    made = list((answers.written or {}).values())
    return of_share(sum(one.is_correct for one in made), len(made)) if made else None


def cut_accuracy(answers: Answers) -> Interval | None:
    """The same of what was written, cut at the answer's length: a model that does not stop after the answer is right too."""
    made = list((answers.written or {}).values())
    return of_share(sum(one.is_begun for one in made), len(made)) if made else None


def accuracy_rows(answers: Answers) -> list[Row]:
    """A row for each number of examples."""
    rows: list[Row] = []
    for n in n_examples_of(answers):
        grades = [g for g in answers.grades if g.n_examples == n]
        is_last = n == n_examples_of(answers)[-1]
        made, cut = (found(answers) if is_last else None for found in (written_accuracy, cut_accuracy))
        rows.append({"task": answers.task.name, "subject": answers.subject, "icl_length": n} | _columns(grades)
                    | _named("choice_accuracy", choice_accuracy(grades)) | _named("written_accuracy", made)
                    | _named("written_cut_accuracy", cut)
                    | {"n_written": len(answers.written or ()) if made else 0, "chance": chance_of(answers)})  # fmt: skip
    return rows


def grouped_rows(answers: Answers, column: str, key: Callable[[Grade], Any]) -> list[Row]:
    """A row for each value of `key` and number of examples."""
    groups: dict[tuple[Any, int], list[Grade]] = {}
    for g in answers.grades:
        groups.setdefault((key(g), g.n_examples or 0), []).append(g)
    return [
        {"task": answers.task.name, "subject": answers.subject, column: value, "icl_length": n} | _columns(groups[value, n])
        for value, n in sorted(groups)
    ]


def length_of(g: Grade) -> int:
    """Letters of the word (count)."""
    return len(letters_of(g.word))


def grade_rows(answers: Answers) -> list[Row]:
    """The columns of sae-spelling's grades after the most examples, the prompts left to their own table, and what was written."""
    return [
        {
            "task": answers.task.name,
            "subject": answers.subject,
            "word": g.word,
            "answer": g.answer,
            "prediction": g.prediction,
            "is_correct": g.is_correct,
            "answer_log_prob": g.answer_log_prob,
            "prediction_log_prob": g.prediction_log_prob,
            "choice": g.choice,
            "written": made.text if (made := (answers.written or {}).get(g.word)) else None,
            "word_length": length_of(g),
            "n_tokens": g.n_tokens,
            "icl_length": g.n_examples,
        }
        for g in last_of(answers)
    ]


def prompt_rows(answers: Answers) -> list[Row]:
    """The texts that the answers of `grade_rows` follow; the same for every subject."""
    return [{"task": answers.task.name, "word": g.word, "prompt": g.prompt} for g in last_of(answers)]


def difference_row(model: Answers, other: Answers, *, n_replicates: int, seed: int) -> Row:
    """What an SAE costs after the most examples: the same words with it less without it, words resampled."""
    before, after = ({g.word: g for g in last_of(answers)} for answers in (model, other))
    right = np.array([float(after[word].is_correct) - float(before[word].is_correct) for word in before])
    likely = np.array([after[word].answer_log_prob - before[word].answer_log_prob for word in before])
    right_means, likely_means = (resampled_means(values, n_replicates, seed, model.task.name) for values in (right, likely))
    return (
        {"task": model.task.name, "subject": other.subject, "icl_length": n_examples_of(model)[-1], "n_words": len(right)}
        | _named("accuracy_difference", of_replicates(right_means))
        | _named("log_prob_difference", of_replicates(likely_means))
    )


def resampled_means(values: np.ndarray, n_replicates: int, seed: int, *names: str) -> np.ndarray:
    """The mean, then those of as many values drawn from them, with replacement: [1 + n_replicates]."""
    drawn = np.random.default_rng(derive_seed(seed, "words", *names)).integers(len(values), size=(n_replicates, len(values)))
    return np.concatenate([[values.mean()], values[drawn].mean(1)])


def metrics_of(answers: Answers) -> list[Metric]:
    """Accuracies (of tokens, among the task's answers, written, written and cut) and log-probability, after the most examples."""
    grades, made, cut = last_of(answers), written_accuracy(answers), cut_accuracy(answers)
    after = f"After {n_examples_of(answers)[-1]} examples, the"
    likely = of_sample([g.answer_log_prob for g in grades])
    n, n_made = len(grades), len(answers.written or ())
    found: list[tuple[str, Interval | None, str, int]] = [
        ("accuracy", accuracy(grades), f"{after} share of words whose answer's tokens are all the likeliest.", n),
        ("choice_accuracy", choice_accuracy(grades), f"{after} share whose right answer is the likeliest of the task's.", n),
        ("written_accuracy", made, f"{after} share where the model, taking the likeliest tokens, writes the answer.", n_made),
        ("written_cut_accuracy", cut, f"{after} share where what the model writes begins with the answer.", n_made),
        ("answer_log_prob", likely, f"{after} mean over words of the answer's summed log-probability.", n),
    ]
    return [_metric(answers.task.name, *one) for one in found]


_WHY_MISSING = {
    "choice_accuracy": "the task has no fixed set of answers, or they do not begin with tokens of their own",
    **dict.fromkeys(
        ("written_accuracy", "written_cut_accuracy"),
        "nothing was written: with what is in place it cannot be, or n_written is 0",
    ),
}


def _metric(task: str, name: str, found: Interval | None, definition: str, n: int) -> Metric:
    is_measured = found is not None and n > 0
    error = error_between(found.low, found.high) if found else None
    return Metric(
        name=f"{task}_{name}",
        value=found.value if found is not None and is_measured else None,
        why_missing=None if is_measured else _WHY_MISSING.get(name, "there is no word"),
        unit="nats" if name == "answer_log_prob" else "fraction",
        better="higher",
        n=n,
        n_documents=n,
        standard_error=error if is_measured else None,
        definition=definition,
    )


def _columns(grades: Sequence[Grade]) -> Row:
    """Accuracy and log-probabilities of some answers."""
    n_tokens = sum(g.n_answer_tokens for g in grades)
    return (
        {"n_words": len(grades)}
        | _named("accuracy", accuracy(grades))
        | {"token_accuracy": sum(g.n_right_tokens for g in grades) / n_tokens}
        | _named("answer_log_prob", of_sample([g.answer_log_prob for g in grades]))
        | {"prediction_log_prob": float(np.mean([g.prediction_log_prob for g in grades]))}
    )


def _named(name: str, found: Interval | None) -> Row:
    """A number and the ends of its interval."""
    value, low, high = (None, None, None) if found is None else found[:3]
    return {name: value, f"{name}_low": low, f"{name}_high": high}
