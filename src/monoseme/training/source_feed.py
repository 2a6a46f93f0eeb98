"""A feed from a source of activations: one pass of the blocks for all SAEs, in each one's own view, mixed and endless."""

from collections.abc import Sequence
from typing import Any

import torch

from monoseme.activations import ActivationSource, Batch, MultiStream, SourceSeconds, StreamCursor, StreamRequest, View
from monoseme.core.display import get_display
from monoseme.core.seeds import derive_seed
from monoseme.tensors.processes import ALONE, Group
from monoseme.training.config import TrainConfig
from monoseme.training.feed import Rows
from monoseme.training.learner import Job, view_learned, view_read
from monoseme.training.validation import HeldOut


class SourceFeed:
    """Batches of `config.batch_size` tokens for each job; past the end of the source the next epoch begins, mixed anew.

    An SAE that learns from contexts gets as many whole ones as hold about so many tokens.
    """

    def __init__(self, source: ActivationSource, jobs: Sequence[Job], config: TrainConfig, *, rows: Group = ALONE) -> None:
        """`rows`: the processes that share each batch; this one gets its part. Raises SiteError for a site not in the source."""
        self._source = source
        self._jobs = jobs
        self._stream = MultiStream(
            source,
            [_request(source, job, view_learned(job), config.batch_size) for job in jobs],
            seed=derive_seed(config.seed, "order"),
            window=config.window(any_order=source.any_order),
            part=rows,
        )

    def advance(self) -> list[Rows]:
        """The next step's batches. Raises CorpusError when the source holds nothing an SAE may see."""
        batches = self._stream.next_step()
        if batches is None:
            raise AssertionError("an endless stream ended")
        return _to_devices(batches, self._jobs)

    def cursor(self) -> dict[str, Any]:
        """Where the next step begins."""
        return self._stream.cursor.to_json()

    def seek(self, cursor: dict[str, Any]) -> None:
        """Goes to a cursor; makes again the blocks of the shuffle window, and nothing before them."""
        self._stream.seek(StreamCursor.from_json(cursor))

    def seconds(self) -> SourceSeconds:
        """Where the source spent its time."""
        return self._source.seconds

    def n_dropped(self) -> dict[str, int]:
        """Items of each job that were left out because its view has more of them than the slowest one."""
        return {job.name: n for job, n in zip(self._jobs, self._stream.n_dropped, strict=True)}


def held_out_batches(source: ActivationSource, jobs: Sequence[Job], config: TrainConfig) -> dict[str, HeldOut]:
    """Fixed batches from the beginning of a held-out source, for each job at least `validation_tokens` or all there are.

    Contexts of a plan are mixed over its documents already, so the first ones are a fair sample.
    """
    views = [view for job in jobs for view in (view_learned(job), view_read(job))]
    owners = [job for job in jobs for _ in range(2)]
    requests = [_request(source, job, view, config.batch_size) for job, view in zip(owners, views, strict=True)]
    stream = MultiStream(source, requests, seed=derive_seed(config.seed, "held out"), window=1, epochs=1, drop_last=False)
    steps: list[list[Rows]] = []
    while sum(min(rows.n_counted for rows in step) for step in steps) < config.validation_tokens:
        batches = stream.next_step()
        if batches is None:
            if not steps:
                get_display().warn("the held-out documents do not fill a single batch: nothing is validated")
                return {}
            break
        steps.append(_to_devices(batches, owners))
    return {job.name: HeldOut([step[2 * i] for step in steps], [step[2 * i + 1] for step in steps]) for i, job in enumerate(jobs)}


def _request(source: ActivationSource, job: Job, view: View, n_tokens: int) -> StreamRequest:
    n_items = n_tokens if view.name != "contexts" else max(1, n_tokens // source.block(0).tokens.shape[1])
    return StreamRequest(view=view, sites=tuple(job.sites), batch_size=n_items)


def _to_devices(batches: Sequence[Batch], jobs: Sequence[Job]) -> list[Rows]:
    """Each job's batch where its SAE is; one that several share goes to a device once."""
    moved: dict[tuple[int, torch.device], Rows] = {}
    for batch, job in zip(batches, jobs, strict=True):
        device = job.sae.input_factor.device
        if (id(batch), device) not in moved:
            mask = None if batch.mask is None else batch.mask.to(device)
            moved[id(batch), device] = Rows(batch.x.to(device), mask, batch.tokens, batch.documents, batch.positions)
    return [moved[id(batch), job.sae.input_factor.device] for batch, job in zip(batches, jobs, strict=True)]
