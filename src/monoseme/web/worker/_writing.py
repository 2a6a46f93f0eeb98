"""Texts that pages ask the worker to write: several requests at a time, a step of each in turn with other work."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from monoseme.core.errors import MonosemeError
from monoseme.web.worker._slots import WorkerLimits

if TYPE_CHECKING:
    from monoseme.models import Generating, GenerationRequest, LanguageModel, ModelConfig, Ongoing


class Writing(Protocol):
    """What a page wants to be written, and hears of it. All but `is_cancelled` is called by the worker's thread, in this order,
    and must neither wait nor raise, except for `begin`.
    """

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        ...

    def waits(self, n_ahead: int) -> None:
        """It is in the queue, behind so many others."""

    def begin(self, model: "LanguageModel") -> "Sequence[GenerationRequest]":
        """What to write, all at once. May raise a MonosemeError."""
        ...

    def started(self) -> None:
        """The next step is the first."""

    def stepped(self, ongoing: "Sequence[Ongoing]") -> None:
        """Each text had one more token; called once more when all are over."""

    def failed(self, error: Exception) -> None:
        """It ends here."""


@dataclass(eq=False)
class Job:
    """A writing in the worker's hands."""

    client: str
    config: "ModelConfig"
    writing: Writing
    requests: "Sequence[GenerationRequest]" = ()
    ongoing: "list[Ongoing]" = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        """Texts."""
        return sum(len(request.prompts) for request in self.requests)

    @property
    def n_positions(self) -> int:
        """Tokens for which keys and values may have to be kept."""
        return sum(len(prompt) + request.sampling.max_new_tokens for request in self.requests for prompt in request.prompts)


class Desk:
    """The jobs that are being written. To be used by one thread."""

    def __init__(self, limits: WorkerLimits) -> None:
        self._limits = limits
        self._jobs: list[Job] = []
        self._generating: dict[ModelConfig, Generating] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def clients(self) -> set[str]:
        """Whose jobs these are."""
        return {job.client for job in self._jobs}

    def fits(self, job: Job) -> bool:
        """Whether there is room beside what is being written; a job that is too large for that gets the desk for itself."""
        n_rows = sum(each.n_rows for each in self._jobs) + job.n_rows
        n_positions = sum(each.n_positions for each in self._jobs) + job.n_positions
        return not self._jobs or (n_rows <= self._limits.most_rows and n_positions <= self._limits.most_positions)

    def take(self, job: Job, model: "LanguageModel") -> None:
        """Lets a job begin with the next step. Raises ModelError, SiteError."""
        if job.config not in self._generating:
            self._generating[job.config] = model.generating()
        generating = self._generating[job.config]
        try:
            for request in job.requests:
                job.ongoing.append(generating.begin(request))
        except MonosemeError:
            _cancel(job)
            raise
        self._jobs.append(job)
        job.writing.started()

    def step(self) -> None:
        """One more token of every text of every job."""
        for job in self._jobs:
            if job.writing.is_cancelled:
                _cancel(job)
        for config, generating in list(self._generating.items()):
            mine = [job for job in self._jobs if job.config == config]
            try:
                generating.step()
            except Exception as error:  # noqa: BLE001 - the edge of the thread: others' work goes on
                del self._generating[config]
                for job in mine:
                    _cancel(job)
                    job.writing.failed(error)
                    self._jobs.remove(job)
                continue
            for job in mine:
                self._tell(job)
            if not any(job.config == config for job in self._jobs):
                del self._generating[config]

    def end(self, why: MonosemeError) -> None:
        """Ends all jobs, each of which is told why."""
        for job in self._jobs:
            _cancel(job)
            job.writing.failed(why)
        self._jobs.clear()
        self._generating.clear()

    def _tell(self, job: Job) -> None:
        error = next((ongoing.error for ongoing in job.ongoing if ongoing.error is not None), None)
        if error is not None:
            _cancel(job)
            job.writing.failed(error)
        elif not job.writing.is_cancelled:
            job.writing.stepped(job.ongoing)
        if all(ongoing.is_over for ongoing in job.ongoing):
            self._jobs.remove(job)


def _cancel(job: Job) -> None:
    for ongoing in job.ongoing:
        ongoing.cancel()
