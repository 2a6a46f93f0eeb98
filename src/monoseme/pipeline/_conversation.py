"""A conversation with a model: turn by turn, steered and default each with a history of its own."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

from monoseme.core.errors import ModelError
from monoseme.core.seeds import derive_seed
from monoseme.models import Sampling
from monoseme.pipeline._chat_form import ASSISTANT, SYSTEM, USER, ChatForm
from monoseme.pipeline._sessions import Session
from monoseme.pipeline._writer import Listener, Writer, Written
from monoseme.text.document import Turn

Listening = Callable[[str], Listener]
"""Who hears of the answer of an arm."""


class Answer(NamedTuple):
    """What one arm said."""

    text: str
    written: Written


class AnswerAsked(NamedTuple):
    """What a model is given for an answer."""

    ids: list[int]
    """The conversation."""
    sampling: Sampling
    """With the seed of this answer, as many tokens as there is room for, and what ends it."""


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
            ids, sampling = answer_asked(self._session.writer, self._form, self._sampling, turns)
            (written,) = self._session.writer.write(
                [ids], sampling, edits=arm.edits, watched=self._session.watched, listener=listening(name)
            )
            answers[name] = Answer(written.generation.text.strip(), written)
            histories[name] = (*turns, Turn(ASSISTANT, answers[name].text))
        self.said, self.histories = (*self.said, text), histories
        return answers


def answer_asked(writer: Writer, form: ChatForm, sampling: Sampling, turns: Sequence[Turn]) -> AnswerAsked:
    """How the answer to the last turn, the user's, is asked for; `sampling` is that of the whole conversation.

    Raises ModelError for a conversation that leaves no room for an answer, ConfigError for a template that fails.
    """
    prompt = form.prompt(turns)
    ids = writer.begun(prompt.ids) if form.is_plain else prompt.ids
    n_said = sum(turn.role == USER for turn in turns) - 1
    return AnswerAsked(
        ids,
        dataclasses.replace(
            sampling,
            max_new_tokens=min(sampling.max_new_tokens, _room(writer, len(ids), otherwise=sampling.max_new_tokens)),
            seed=derive_seed(sampling.seed, "chat", n_said),
            stop=(*sampling.stop, *prompt.stop),
        ),
    )


def _room(writer: Writer, n_tokens: int, *, otherwise: int) -> int:
    """New tokens that a model can still read; `otherwise` where it has no bound."""
    longest = writer.model.spec.n_positions
    if longest is None:
        return otherwise
    if n_tokens >= longest:
        raise ModelError(
            f"the conversation has {n_tokens:,} tokens, and this model reads {longest:,} at most: there is no room for an "
            "answer.\n  Begin anew with:  /reset"
        )
    return longest - n_tokens
