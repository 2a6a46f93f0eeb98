"""Reads texts for the prompt page: what the model does is the worker's, what the atlas knows is looked up beside it.

Torch and transformers take seconds to import, and no other page needs them: methods import what works with them.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from starlette.concurrency import run_in_threadpool

from monoseme.web.prompt._known import KnownLatents
from monoseme.web.prompt._query import LogitsQuery, LookedAt
from monoseme.web.prompt.answers import LayersReading, LayerTable, LogitsReading, PromptReading, TimeReading
from monoseme.web.recent import Recent
from monoseme.web.run_files import RunFiles, ScannedSae, UnavailableError

if TYPE_CHECKING:
    from monoseme.models import LanguageModel
    from monoseme.saes import SAE
    from monoseme.web.forward import Forward
    from monoseme.web.prompt._layers import ReadLayers
    from monoseme.web.prompt._logits import Unchanged

_KEPT_LAYERS = 4
"""Texts whose layers are kept: at most 32 MB each, 1 MB for a line or two."""
_KEPT_LOGITS = 8
"""Places whose logits are kept: 2 MB each for a vocabulary of 256,000."""
T = TypeVar("T")


class Question(NamedTuple):
    """A text for an SAE."""

    sae: str
    text: str
    asked: ScannedSae


class PromptReader:
    """Runs one run's model and SAEs on texts; without an atlas there are no explanations.

    Each method raises UnavailableError when the model or the SAE is not there, or the SAE needs a second model, and
    BadRequestError for a text that has no tokens.
    """

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._layers: Recent[Question, ReadLayers] = Recent(_KEPT_LAYERS)
        self._logits: Recent[tuple[Question, LookedAt], Unchanged] = Recent(_KEPT_LOGITS)

    async def read(self, sae: str, text: str) -> PromptReading:
        """The latents of an SAE on each token of a text."""
        from monoseme.web.prompt._reading import prompt_reading, read_tokens

        question, started = self._question(sae, text), time.monotonic()
        read = await self._over(question, read_tokens)
        seconds = time.monotonic() - started
        return await self._answer(question, lambda known: prompt_reading(read, known, sae=sae, text=text, seconds=seconds))

    async def layers(self, sae: str, text: str) -> LayersReading:
        """A text at all sites of an SAE with codes of their own. Raises UnavailableError for any other SAE."""
        from monoseme.web.prompt._layers import layers_reading

        question, started = self._question(sae, text), time.monotonic()
        read = await self._read_layers(question)
        seconds = time.monotonic() - started
        return await self._answer(question, lambda known: layers_reading(read, known, sae=sae, text=text, seconds=seconds))

    async def layer_table(self, sae: str, text: str, *, position: int, threshold: float) -> LayerTable:
        """The latents at one position over the layers. Raises as `layers`, and NotFoundError for no such position."""
        from monoseme.web.prompt._layer_table import layer_table

        question = self._question(sae, text)
        read = await self._read_layers(question)
        return await self._answer(
            question, lambda known: layer_table(read, known, sae=sae, position=position, threshold=threshold)
        )

    async def time(self, sae: str, text: str, *, n_rows: int, latent: int | None) -> TimeReading:
        """The `n_rows` strongest latents of each part of the code along a text, and `latent`."""
        from monoseme.web.prompt._time import Shown, read_time, time_reading

        question, started = self._question(sae, text), time.monotonic()
        read = await self._over(question, read_time)
        shown = Shown(sae, text, n_rows, latent, time.monotonic() - started)
        return await self._answer(question, lambda known: time_reading(read, known, shown))

    async def logits(self, sae: str, query: LogitsQuery) -> LogitsReading:
        """What the model expects next, unchanged, with the reconstruction, and steered. Raises NotFoundError for a site or
        position that there is not.
        """
        from monoseme.web.prompt._logits import unchanged_logits
        from monoseme.web.prompt._steered import NOT_ASKED, Aimed, logits_reading, steered_logits

        question, started = self._question(sae, query.text), time.monotonic()
        unchanged = await self._logits.awaited(
            (question, query.place),
            lambda: self._with(
                question, lambda model, own: unchanged_logits(model, self._forward(question, model, own), query.place)
            ),
        )
        steered, maximum = NOT_ASKED, None
        if query.steering is not None:
            steering, site = query.steering, unchanged.place.code_site
            maximum = await self._answer(question, lambda known: known.maximum(steering.latent, site=site))
            aimed = Aimed(steering, maximum)
            steered = await self._with(
                question,
                lambda model, own: steered_logits(model, own, question.asked, aimed, unchanged=unchanged, top=query.place.top),
            )
        return logits_reading(unchanged, steered, sae=sae, maximum=maximum, seconds=time.monotonic() - started)

    def _question(self, sae: str, text: str) -> Question:
        asked = self._files.sae(sae)
        if any(site.model is not None for site in asked.sites):
            raise UnavailableError("this SAE reads two models side by side; prompts are run through one")
        return Question(sae, text, asked)

    def _read_layers(self, question: Question) -> "Awaitable[ReadLayers]":
        from monoseme.web.prompt._layers import read_layers

        return self._layers.awaited(question, lambda: self._over(question, read_layers))

    async def _over(self, question: Question, work: "Callable[[Forward], T]") -> T:
        """What `work` makes of a forward on the text."""
        from monoseme.web.forward import unread_text

        worker, asked, bos = self._files.worker, question.asked, self._files.begins_with_bos
        return await worker.read(
            self._files.model,
            lambda model: unread_text(model, worker.sae(asked.path, model), asked, question.text, begins_with_bos=bos),
            lambda unread, activations: work(unread.forward(activations)),
        )

    async def _with(self, question: Question, work: "Callable[[LanguageModel, SAE], T]") -> T:
        worker, path = self._files.worker, question.asked.path
        return await worker.call(self._files.model, lambda model: work(model, worker.sae(path, model)))

    def _forward(self, question: Question, model: "LanguageModel", sae: "SAE") -> "Forward":
        from monoseme.web.forward import forward_on

        return forward_on(model, sae, question.asked, question.text, begins_with_bos=self._files.begins_with_bos)

    async def _answer(self, question: Question, made: Callable[[KnownLatents], T]) -> T:
        """What is made of what the atlas knows; reading its tables takes a while, so it is not done on the event loop."""
        return await run_in_threadpool(lambda: made(KnownLatents(self._files, question.asked)))
