"""The desk: where questions go out to a judge and answers come back, each paid once, within a budget, whatever is interrupted."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from monoseme.core.config import from_dict
from monoseme.judges._answers import Answer, read_reply
from monoseme.judges._base import Judge, Question
from monoseme.judges._cost_report import CostReport
from monoseme.judges._estimate import Estimate
from monoseme.judges._registry import JUDGES
from monoseme.judges._settings import DeskSettings, JudgeSettings


class Desk:
    """Puts questions to one judge, and keeps what was asked, answered and spent in a folder."""

    def __init__(self, judge: Judge, folder: Path, *, settings: DeskSettings | None = None) -> None:
        """`folder` is the atlas's `asked/`, made when something is first written. None takes the default settings."""
        self.judge = judge
        self.folder = folder
        self.settings = settings or DeskSettings()

    def __repr__(self) -> str:
        return f"Desk({self.judge!r}, {str(self.folder)!r}, settings={self.settings!r})"

    def answers(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """One answer for each question, in their order.

        Raises BudgetError where the next question could cost more than is left, JudgeError where the judge refuses all,
        Interrupted where the user stops it: what was answered is kept, and the same command goes on.
        """
        for question in questions:
            yield read_reply(question, self.judge.answer(question))

    def estimate(self, questions: Iterable[Question]) -> Estimate:
        """What they would cost; nothing is asked, and nothing is paid."""
        listed = list(questions)
        return Estimate(
            n_questions=len(listed),
            n_kept=0,
            n_counted=0,
            input_tokens=None,
            output_tokens=None,
            most_output_tokens=sum(question.max_tokens for question in listed),
            least_cost=None,
            cost=None,
            most_cost=None,
            price=None,
            is_batch=self.settings.batch,
        )

    def report(self) -> CostReport:
        """What this desk asked so far, and what it cost."""
        return CostReport(
            n_asked=0,
            n_kept=0,
            n_failed=0,
            input_tokens=0,
            cached_input_tokens=0,
            output_tokens=0,
            cost=None,
            folder_cost=None,
            n_open=0,
            open_cost=0.0,
            budget=self.settings.budget,
        )


def desk_of(settings: JudgeSettings, folder: Path) -> Desk:
    """The desk of a judge named in settings.

    Raises UnknownPluginError, ConfigError for a setting that the judge has not or a key that is not in the environment,
    ExtraMissingError.
    """
    kind = JUDGES.get(settings.judge)
    return Desk(kind(from_dict(kind.Config, settings.config, where="judge.config")), folder, settings=settings.desk)
