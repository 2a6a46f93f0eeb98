"""The desk: where questions go out to a judge and answers come back, each paid once, within a budget, whatever is interrupted."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from monoseme.core.config import from_dict
from monoseme.core.errors import ArtifactExistsError
from monoseme.core.interrupt import stop_wish
from monoseme.core.lock import held_alone
from monoseme.judges._answers import Answer, read_reply
from monoseme.judges._base import BatchJudge, Judge, Question
from monoseme.judges._batches import Batches
from monoseme.judges._calling import require_key
from monoseme.judges._cost_report import CostReport
from monoseme.judges._counting import estimate
from monoseme.judges._directly import Direct
from monoseme.judges._estimate import Estimate
from monoseme.judges._registry import JUDGES
from monoseme.judges._settings import DeskSettings, JudgeSettings
from monoseme.judges._till import Till, Told


class Desk:
    """Puts questions to one judge, and keeps what was asked, answered and spent in a folder. Of one thread."""

    def __init__(self, judge: Judge, folder: Path, *, settings: DeskSettings | None = None) -> None:
        """`folder` is the atlas's `asked/`, made when something is first written. None takes the default settings.

        Raises ConfigError for a budget on a model of unknown price, batches of a judge that takes none, a table of prices that
        cannot be read.
        """
        self.judge = judge
        self.folder = folder
        self.settings = settings or DeskSettings()
        self._till = Till(judge, folder, self.settings)
        self._n_at_work = 0
        self._lock = contextlib.ExitStack()
        self._n_asked = self._n_kept = self._n_failed = 0

    def __repr__(self) -> str:
        return f"Desk({self.judge!r}, {str(self.folder)!r}, settings={self.settings!r})"

    def answers(self, questions: Iterable[Question]) -> Iterator[Answer]:
        """One answer for each question, in their order; with `batch`, all are answered before the first is given.

        Raises BudgetError where the next question could cost more than is left, JudgeError where the judge refuses all,
        Interrupted where the user stops it: what was answered is kept, and the same command goes on. Raises ArtifactExistsError
        while another desk asks for the same folder, ArtifactDamagedError for a damaged ledger, DiskFullError.
        """
        with self._at_work():
            try:
                for told in self._told(questions):
                    yield self._answer(told)
            except Exception as error:
                self._till.safe(error)
                raise

    def estimate(self, questions: Iterable[Question]) -> Estimate:
        """What they would cost; nothing is asked, and nothing is paid. Raises JudgeError where tokens cannot be counted."""
        self._till.ledger.refresh()
        return estimate(self._till, questions)

    def report(self) -> CostReport:
        """What this desk asked so far, and what it cost."""
        self._till.ledger.refresh()
        ledger, taken = self._till.ledger, self._till.taken
        costs = [cost for _, cost in taken]
        missing = None if self._till.is_free or self._till.price else f"no price of {self.judge.price_name} is known"
        return CostReport(
            n_asked=len(taken),
            n_kept=self._n_kept,
            n_failed=self._n_failed,
            input_tokens=sum(reply.input_tokens + reply.written_input_tokens for reply, _ in taken),
            cached_input_tokens=sum(reply.cached_input_tokens for reply, _ in taken),
            output_tokens=sum(reply.output_tokens for reply, _ in taken),
            cost=None if None in costs or missing else sum(cost or 0.0 for cost in costs),
            folder_cost=None if ledger.unpriced and missing else self._till.spent,
            n_open=ledger.n_open,
            open_cost=ledger.open_cost,
            budget=self.settings.budget,
            why_missing=missing,
        )

    def _told(self, questions: Iterable[Question]) -> Iterator[Told]:
        """Questions with replies, by the way that the settings say; batches of earlier commands are collected in any case."""
        if not isinstance(self.judge, BatchJudge):
            return Direct(self._till, questions).told()
        batches = Batches(self._till, self.judge)
        if self.settings.batch:
            return batches.told(list(questions))
        if not self._till.batches():
            return Direct(self._till, questions).told()
        listed = list(questions)
        with stop_wish() as wish:
            batches.collect_open({self._till.key(question): question for question in listed}, wish)
        return Direct(self._till, listed).told()

    def _answer(self, told: Told) -> Answer:
        answer = read_reply(told.question, told.reply, is_kept=told.is_kept)
        self._n_kept += told.is_kept
        self._n_failed += answer.failure is not None
        return answer

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Holds the folder while any iterator of this desk is at work."""
        if self._n_at_work == 0:
            self._hold()
        self._n_at_work += 1
        try:
            self._till.ledger.refresh()
            self._till.check_budget()
            yield
        finally:
            self._n_at_work -= 1
            if self._n_at_work == 0:
                self._lock.close()

    def _hold(self) -> None:
        try:
            self._lock.enter_context(held_alone(self.folder))
        except ArtifactExistsError as error:
            raise ArtifactExistsError(
                f"another command is asking for {self.folder}, and two could not keep one budget.\n  Wait until it ends."
            ) from error


def desk_of(settings: JudgeSettings, folder: Path, *, is_asked: bool = True) -> Desk:
    """The desk of a judge named in settings; `is_asked` False: it is to estimate alone, for which no key is needed.

    Raises UnknownPluginError, ConfigError for a setting that the judge has not or a key that is not in the environment,
    ExtraMissingError.
    """
    kind = JUDGES.get(settings.judge)
    judge = kind(from_dict(kind.Config, settings.config, where="judge.config"))
    if is_asked:
        require_key(judge)
    return Desk(judge, folder, settings=settings.desk)
