"""Steered texts put to a judge, all at once, and the best strength by its grades."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from monoseme.core.display import get_display
from monoseme.judges import Answer, Desk
from monoseme.studies._base import Row
from monoseme.studies._steering.judged import ASPECTS, Grade, Grades, best_judged, questions_of
from monoseme.studies._steering.outcome import Measured
from monoseme.studies._steering.tables import Found, arm_names


class _Cell(NamedTuple):
    """The texts of one strength that are judged."""

    found: Found
    way: str
    strength: float
    texts: Sequence[Measured]


def judged_rows(desk: Desk, found: Sequence[Found], prompts: Sequence[str], *, n_prompts: int) -> list[Row]:
    """A row for each latent and way: AxBench's score at the strength that is best on the even prompts, on the odd ones.

    Only latents with an explanation are judged. Raises what `Desk.answers` raises.
    """
    cells = list(_cells(found, n_prompts))
    questions = [
        question
        for cell in cells
        for start, text in zip(prompts, cell.texts, strict=False)
        for question in questions_of(concept=cell.found.latent.explanation or "", start=start, text=text.text)
    ]
    get_display().say(desk.estimate(questions).text())
    answers = desk.answers(questions)
    graded = [(cell, [_grades(answers) for _ in cell.texts]) for cell in cells]
    rows: list[Row] = []
    for each in found:
        for way in ("unsteered", *arm_names(found)):
            mine = [(cell.strength, grades) for cell, grades in graded if cell.found is each and cell.way == way]
            best = best_judged(mine)
            rows.append(
                {
                    "subject": each.subject,
                    "latent": each.latent.latent,
                    "way": way,
                    "strength": None if best is None else best.strength,
                    "score": None if best is None else best.reported,
                    "score_chosen_on": None if best is None else best.chosen_on,
                    "n": 0 if best is None else best.n,
                }
            )
    get_display().say(desk.report().text())
    return rows


def _cells(found: Sequence[Found], n_prompts: int) -> Iterator[_Cell]:
    for each in found:
        if each.steered is None or each.latent.explanation is None:
            continue
        yield _Cell(each, "unsteered", 0.0, each.steered.unsteered[:n_prompts])
        for way, cells in each.steered.arms.items():
            for strength, texts in cells:
                yield _Cell(each, way, strength, texts[:n_prompts])


def _grades(answers: Iterator[Answer]) -> Grades | None:
    """The next text's; None where the judge gave no grade on one of the aspects."""
    given = [next(answers).value for _ in ASPECTS]
    told = [grade.grade for grade in given if isinstance(grade, Grade)]
    return Grades(*told) if len(told) == len(ASPECTS) else None
