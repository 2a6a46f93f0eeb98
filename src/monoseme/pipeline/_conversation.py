"""A conversation with a model: turn by turn, steered and default each with a history of its own."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from monoseme.core.errors import ModelError
from monoseme.core.seeds import derive_seed
from monoseme.models import Sampling
from monoseme.pipeline._chat_form import ASSISTANT, SYSTEM, USER, ChatForm
from monoseme.pipeline._sessions import Session
from monoseme.pipeline._writer import Listener, Written
from monoseme.text.document import Turn

Listening = Callable[[str], Listener]
"""Who hears of the answer of an arm."""


class Answer(NamedTuple):
    """What one arm said."""

    text: str
    written: Written


class Conversation:
    """Turns so far. The same session, sampling and user's turns give the same answers."""

    def __init__(self, session: Session, form: ChatForm, sampling: Sampling, *, system: str | None = None) -> None:
        """`sampling.max_new_tokens` is for each answer; its seed is that of the conversation."""
        self._session, self._form, self._sampling, self._system = session, form, sampling, system
        self.said: tuple[str, ...] = ()
        self.histories: dict[str, tuple[Turn, ...]] = {}
        self.reset()

    def reset(self) -> None:
        """Begins anew."""
        self.said = ()
        # A method that prompts does so in the system message.
        systems = {name: arm.prompted(self._system or "").strip() for name, arm in self._session.arms.items()}
        self.histories = {name: (Turn(SYSTEM, system),) if system else () for name, system in systems.items()}

    def say(self, text: str, listening: Listening = lambda _: Listener()) -> dict[str, Answer]:
        """The answers to the user's next turn. One that is broken off leaves the conversation as it was before that turn.

        Answers are shorter than asked for where the model reads no more. Raises ModelError for a conversation that leaves no
        room for one, ConfigError for a template that fails, and what listeners raise.
        """
        answers: dict[str, Answer] = {}
        histories: dict[str, tuple[Turn, ...]] = {}
        for name, history in self.histories.items():
            arm = self._session.arms[name]
            turns = (*history, Turn(USER, text))
            prompt = self._form.prompt(turns)
            ids = self._session.writer.begun(prompt.ids) if self._form.is_plain else prompt.ids
            sampling = dataclasses.replace(
                self._sampling,
                max_new_tokens=min(self._sampling.max_new_tokens, self._room(len(ids))),
                seed=derive_seed(self._sampling.seed, "chat", len(self.said)),
                stop=(*self._sampling.stop, *prompt.stop),
            )
            (written,) = self._session.writer.write(
                [ids], sampling, edits=arm.edits, watched=self._session.watched, listener=listening(name)
            )
            answers[name] = Answer(written.generation.text.strip(), written)
            histories[name] = (*turns, Turn(ASSISTANT, answers[name].text))
        self.said, self.histories = (*self.said, text), histories
        return answers

    def _room(self, n_tokens: int) -> int:
        longest = self._session.writer.model.spec.n_positions
        if longest is None:
            return self._sampling.max_new_tokens
        if n_tokens >= longest:
            raise ModelError(
                f"the conversation has {n_tokens:,} tokens, and this model reads {longest:,} at most: there is no room for an "
                "answer.\n  Begin anew with:  /reset"
            )
        return longest - n_tokens
