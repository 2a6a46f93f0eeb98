"""A request while it is written: what the worker's thread says becomes events for the page."""

import logging
import math
import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from monoseme.core.errors import MonosemeError
from monoseme.web.run_files import RunFiles
from monoseme.web.steer._replay import keys_asked, replay
from monoseme.web.steer._saes import known_saes
from monoseme.web.steer.answers import Done, Ended, Event, Failed, NewToken, PromptTokens, Queued, Started, Values
from monoseme.web.steer.asked import SteerAsked
from monoseme.web.worker import EventStream

if TYPE_CHECKING:
    from monoseme.models import GenerationRequest, LanguageModel, Ongoing, TokenEvent
    from monoseme.pipeline import Listener, TokenValues
    from monoseme.web.steer._arms import ArmAsked, Texts

_log = logging.getLogger(__name__)


class SteerWriting:
    """One request, as the worker has it."""

    def __init__(self, asked: SteerAsked, files: RunFiles, stream: EventStream[Event]) -> None:
        """Draws the seed where none is given."""
        self.is_cancelled = False
        self._asked, self._files, self._stream = asked, files, stream
        self._seed = secrets.randbelow(2**31) if asked.sampling.seed is None else asked.sampling.seed
        self._texts: Texts | None = None
        self._prompts: list[PromptTokens] = []
        self._ended: set[tuple[int, int]] = set()
        self._n_tokens = 0
        self._n_ahead: int | None = None
        self._since = 0.0

    def cancel(self) -> None:
        """Nobody listens any more; from any thread."""
        self.is_cancelled = True

    def waits(self, n_ahead: int) -> None:
        """Its place in the queue, told when it changes."""
        if n_ahead != self._n_ahead:
            self._n_ahead = n_ahead
            self._tell(Queued(ahead=n_ahead))

    def begin(self, model: "LanguageModel") -> "Sequence[GenerationRequest]":
        """A request for each arm. Raises what `asked_texts` and loading an SAE raise."""
        from monoseme.pipeline import Writer
        from monoseme.web.steer._arms import asked_texts

        writer = Writer(model, begins_with_bos=self._files.begins_with_bos)
        known = known_saes(self._files, keys_asked(self._asked), model)
        self._texts = asked_texts(self._asked, known, writer, seed=self._seed)
        self._prompts = [
            PromptTokens(arm=arm.name, row=row, tokens=model.decode_tokens(ids))
            for arm in self._texts.arms
            for row, ids in enumerate(arm.prompts)
        ]
        return [
            writer.request(
                arm.prompts,
                arm.sampling,
                edits=arm.edits,
                watched=self._texts.watched,
                listener=self._listener(arm, model),
            )
            for arm in self._texts.arms
        ]

    def started(self) -> None:
        """Says what is written, and the command that writes it again."""
        assert self._texts is not None
        self._since = time.monotonic()
        self._tell(
            Started(
                seed=self._seed,
                arms=self._asked.arms,
                watched=[latent.name for latent in self._texts.watched],
                prompts=self._prompts,
                replay=replay(self._files, self._asked, seed=self._seed),
            )
        )

    def stepped(self, ongoing: "Sequence[Ongoing]") -> None:
        """Says which texts are whole now, and whether all are."""
        for number, (arm, request) in enumerate(zip(self._asked.arms, ongoing, strict=True)):
            for row in request.rows:
                if row.is_done and (number, row.index) not in self._ended:
                    self._ended.add((number, row.index))
                    found = row.result()
                    text = found.text if self._asked.chat is None else found.text.strip()
                    reason = "end" if found.is_ended else "length"
                    self._tell(Ended(arm=arm, row=row.index, text=text, is_ended=found.is_ended, reason=reason))
        if all(request.is_over for request in ongoing):
            self._stream.close(Done(n_tokens=self._n_tokens, seconds=time.monotonic() - self._since))

    def failed(self, error: Exception) -> None:
        """Says why it ends here. What is no fault of the request is logged, and not shown."""
        self.cancel()
        if isinstance(error, MonosemeError):
            line, _, rest = str(error).partition("\n")
            self._stream.close(Failed(error=line, hint=" ".join(rest.split())))
            return
        _log.error("a text could not be written", exc_info=error)
        self._stream.close(Failed(error="the server failed while it wrote this", hint="Its log says why."))

    def _listener(self, arm: "ArmAsked", model: "LanguageModel") -> "Listener":
        from monoseme.pipeline import Listener

        def on_token(new: "TokenEvent") -> None:
            self._n_tokens += 1
            place = len(arm.prompts[new.row]) + new.step
            (token,) = model.decode_tokens([new.token_id])
            self._tell(NewToken(arm=arm.name, row=new.row, place=place, text=new.text, token=token))

        def on_values(heard: "TokenValues") -> None:
            values = {name: value if math.isfinite(value) else None for name, value in heard.values.items()}
            self._tell(Values(arm=arm.name, row=heard.row, place=heard.place, values=values))

        return Listener(on_token, on_values)

    def _tell(self, event: Event) -> None:
        if not self.is_cancelled and not self._stream.put(event):
            self.cancel()
            self._stream.close(
                Failed(error="this page read too slowly what was written", hint="Ask for fewer texts, or for fewer tokens.")
            )
