"""What one run has to steer with, and the writing of requests."""

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from monoseme.web.run_files import BadRequestError, RunFiles, UnavailableError
from monoseme.web.steer._replay import keys_asked
from monoseme.web.steer._saes import require_latent, steer_saes
from monoseme.web.steer.answers import Event, SteerOptions
from monoseme.web.steer.asked import LIMITS, SteerAsked
from monoseme.web.worker import EventStream

if TYPE_CHECKING:
    from monoseme.models import LanguageModel

_BEAT = ": still here\n\n"


class SteerReader:
    """Steers one run's model with its SAEs. Safe to ask from several threads."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files

    async def options(self) -> SteerOptions:
        """What the page is made of; loads the model, which is what comes next."""
        from monoseme.web.steer._methods import steer_methods

        files = self._files
        has_template, why_no_model = None, None
        try:
            has_template = await files.worker.call(files.model, _has_chat_template)
        except UnavailableError as error:
            why_no_model = str(error)
        return SteerOptions(
            saes=await run_in_threadpool(steer_saes, files),
            methods=await run_in_threadpool(steer_methods),
            units=["max", "norm", "raw"],
            limits=LIMITS,
            has_chat_template=has_template,
            why_no_model=why_no_model,
        )

    async def write(self, asked: SteerAsked) -> "WrittenResponse":
        """The events of a request.

        Raises NotFoundError and UnavailableError for latents that there are not, BadRequestError for a method, a setting or a
        unit that there is not, TooBusyError. What only the model can tell is told as an event.
        """
        from monoseme.web.steer._writing import SteerWriting

        await run_in_threadpool(self._check, asked)
        stream: EventStream[Event] = EventStream()
        writing = SteerWriting(asked, self._files, stream)
        with contextlib.ExitStack() as opened:
            opened.enter_context(self._files.worker.write(self._files.model, writing))
            opened.callback(writing.cancel)
            return WrittenResponse(_lines(stream), opened=opened.pop_all())

    def _check(self, asked: SteerAsked) -> None:
        from monoseme.steering import STEERING
        from monoseme.web.steer._arms import steering_config

        saes = steer_saes(self._files)
        steered = asked.latents if "steered" in asked.arms else []
        fires = [asked.conditions.while_fires] if asked.conditions.while_fires is not None else []
        for latent in (*steered, *asked.watch, *fires):
            require_latent(saes, latent.sae, latent.latent)
        if not keys_asked(asked) and not self._files.sae_paths():
            raise UnavailableError("this run has no SAEs yet")
        if "steered" not in asked.arms:
            return
        needs_latents = steering_config(asked).needs_latents
        if needs_latents and not steered:
            raise BadRequestError("there is nothing to steer with\n  Add a latent, or ask for the default arm alone.")
        units = STEERING.get(asked.method).units
        for latent in steered:
            if needs_latents and latent.unit not in units:
                raise BadRequestError(f"{asked.method} takes no strength in {latent.unit}\n  Allowed: {', '.join(units)}")


def _has_chat_template(model: "LanguageModel") -> bool:
    from monoseme.pipeline import ChatForm

    return not ChatForm(model.tokenizer).is_plain


class WrittenResponse(StreamingResponse):
    """Server-sent events; when it ends, in whichever way, so does the work behind it."""

    def __init__(self, lines: AsyncIterator[str], *, opened: contextlib.ExitStack) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(lines, media_type="text/event-stream", headers=headers)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._opened:
            await super().__call__(scope, receive, send)


async def _lines(stream: EventStream[Event]) -> AsyncIterator[str]:
    async for events in stream.batches():
        yield "".join(f"event: {each.event}\ndata: {each.model_dump_json()}\n\n" for each in events) or _BEAT
