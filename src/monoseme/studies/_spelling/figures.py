"""Figures of spelling: accuracy by length and examples, by answer, and of every subject."""

from collections.abc import Sequence

from monoseme.reports.figures import Cell, Estimate, Figure, HeatScale, heat_map, interval_dots
from monoseme.spelling import LetterTask
from monoseme.studies._base import Row
from monoseme.studies._spelling.measure import MODEL
from monoseme.studies._spelling.tables import GUESSING

_SCALE = HeatScale("accuracy", low=0.0, high=1.0)


def length_map(rows: Sequence[Row], task: str) -> Figure:
    """Accuracy of the model by letters of the word and number of examples."""
    return heat_map(
        f"by_length_{task}",
        [_cell(row, str(row["word_length"]), str(row["icl_length"])) for row in rows],
        title=f"{_said(task)}: accuracy by length of the word and number of examples",
        caption="The share of words that the model answers rightly, without any SAE. Read along a row for what examples add, "
        "down a column for what length costs. A cell's note has how many words it is of; of few words it is rough.",
        scale=_SCALE,
        axes=("examples before the question", "letters of the word"),
    )


def token_map(rows: Sequence[Row], task: str) -> Figure | None:
    """Accuracy of the model by tokens of the word and number of examples; None where all words are as many tokens."""
    if len({row["n_tokens"] for row in rows}) < 2:
        return None
    return heat_map(
        f"by_tokens_{task}",
        [_cell(row, str(row["n_tokens"]), str(row["icl_length"])) for row in rows],
        title=f"{_said(task)}: accuracy by tokens of the word and number of examples",
        caption="The same by the tokens that the word is cut into. Where the first letter is asked for, a model that knows the "
        "letters of each token is no worse in the lower rows.",
        scale=_SCALE,
        axes=("examples before the question", "tokens of the word"),
    )


def answer_map(rows: Sequence[Row], task: LetterTask) -> Figure:
    """Accuracy of every subject by the right answer, after the most examples."""
    order = {answer: i for i, answer in enumerate(task.classes or ())}
    most = max(row["icl_length"] for row in rows)
    held = sorted((row for row in rows if row["icl_length"] == most), key=lambda row: order[row["answer"]])
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    return heat_map(
        f"by_answer_{task.name}",
        [_cell(row, row["subject"], row["answer"]) for subject in subjects for row in held if row["subject"] == subject],
        title=f"{_said(task.name)}: accuracy by the right answer",
        caption=f"After {most} examples. A column that is weak in the row of the model is an answer that it does not know; one "
        "that is weak in an SAE's row alone is what that SAE loses.",
        scale=_SCALE,
        axes=("right answer", ""),
        numbers=False,
    )


def accuracy_dots(rows: Sequence[Row]) -> Figure:
    """Accuracy of the model, of SAEs in place, and of the commonest answer; a panel for each task."""
    estimates: list[Estimate] = []
    for row in _after_most(rows):
        panel = f"{_said(row['task'])}: accuracy"
        if row["subject"] == MODEL:
            estimates.append(Estimate(GUESSING, row["chance"], panel=panel, group=_GROUPS[0]))
        for group, column in zip(_GROUPS, _ACCURACIES, strict=True):
            if row[column] is not None:
                ends = (row[column], row[f"{column}_low"], row[f"{column}_high"])
                estimates.append(Estimate(row["subject"], *ends, panel=panel, group=group))
    return interval_dots(
        "accuracy",
        estimates,
        title="How often the answer is right",
        caption="After the most examples, with 95 % intervals over words. Likeliest tokens: each token of the answer, after the "
        "right ones before it. Among the answers: the right one is the likeliest that the task has. Written: the model "
        "writes by itself, and ends after the answer; cut: whatever it goes on with. Always giving the commonest "
        "answer is what to beat.",
    )


_GROUPS = ("likeliest tokens", "among the answers", "written, ends there", "written, cut")
_ACCURACIES = ("accuracy", "choice_accuracy", "written_accuracy", "written_cut_accuracy")


def log_prob_dots(rows: Sequence[Row]) -> Figure:
    """Summed log-probability of the answer by subject; a panel for each task."""
    return interval_dots(
        "answer_log_prob",
        [
            Estimate(
                row["subject"],
                row["answer_log_prob"],
                row["answer_log_prob_low"],
                row["answer_log_prob_high"],
                panel=f"{_said(row['task'])}: log-probability of the answer (nats)",
            )
            for row in _after_most(rows)
        ],
        title="How likely the right answer is held",
        caption="Log-probability summed over the tokens of the answer, mean over words with 95 % intervals, after the most "
        "examples; 0 is certain. It tells SAEs apart also where accuracies are alike.",
    )


def _after_most(rows: Sequence[Row]) -> list[Row]:
    most = max(row["icl_length"] for row in rows)
    return [row for row in rows if row["icl_length"] == most]


def _cell(row: Row, name: str, column: str) -> Cell:
    ends = (row["accuracy"], row["accuracy_low"], row["accuracy_high"])
    return Cell(name, column, row["accuracy"], f"{row['n_words']:,} words, 95 % interval {ends[1]:.2f} to {ends[2]:.2f}")


def _said(task: str) -> str:
    return task.replace("_", " ").capitalize()
