"""Conversations as a model reads them: by its tokenizer's chat template, or as plain text with names before the turns."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jinja2

from monoseme.core.errors import ConfigError
from monoseme.text.chat import render
from monoseme.text.document import Turn

USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
_PLAIN_NAMES = {USER: "\n\nHuman: ", ASSISTANT: "\n\nAssistant: "}
"""As HH-RLHF writes its conversations, and so those of our corpora."""
PLAIN_STOP = "\nHuman:"
"""Where a plain answer ends: the model begins to speak for the user."""


class ChatPrompt(NamedTuple):
    """A conversation, ready to be answered."""

    ids: list[int]
    stop: tuple[str, ...]
    """Texts that end the answer, besides the model's end tokens."""


class ChatForm:
    """How one model's conversations are written."""

    def __init__(self, tokenizer: Any, *, template: str | None = None) -> None:
        """`template`: a Jinja template in place of the tokenizer's own."""
        self._tokenizer = tokenizer
        self._template = template or getattr(tokenizer, "chat_template", None)
        added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
        self._special = tuple({*added, *map(str, tokenizer.all_special_tokens)})

    @property
    def is_plain(self) -> bool:
        """Whether there is no template, so that turns stand after `Human:` and `Assistant:`."""
        return self._template is None

    def prompt(self, turns: Sequence[Turn]) -> ChatPrompt:
        """The turns, open for the assistant's next. What people typed is text, also where it spells a special token.

        Raises ConfigError for a template that fails.
        """
        if self.is_plain:
            return ChatPrompt(self._ids(_plain(turns), added=True), (PLAIN_STOP,))
        if not any(special in turn.content for turn in turns for special in self._special):
            return ChatPrompt(self._ids(self._rendered(turns)), ())
        return ChatPrompt(self._ids_of_text(turns), ())

    def _rendered(self, turns: Sequence[Turn]) -> str:
        try:
            return self._applied(turns)
        except jinja2.TemplateError:
            # Some templates (Gemma's) have no place for a system message.
            merged = _without_system(turns)
        try:
            return self._applied(merged)
        except jinja2.TemplateError as error:
            raise ConfigError(f"the model's chat template fails: {str(error)[:200]}") from error

    def _applied(self, turns: Sequence[Turn]) -> str:
        said = [{"role": turn.role, "content": turn.content} for turn in turns]
        return self._tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, chat_template=self._template)

    def _ids_of_text(self, turns: Sequence[Turn]) -> list[int]:
        """The template's own text and the contents apart, so that no content makes a special token."""
        whole = render(turns, self._rendered)
        if whole is None:
            raise ConfigError(
                "a message spells one of the model's special tokens, and its chat template alters messages, so that the two "
                "cannot be told apart.\n  Leave the token out of the message."
            )
        ids: list[int] = []
        done = 0
        for span in whole.spans:
            ids += self._ids(whole.text[done : span.start])
            ids += self._ids(whole.text[span.start : span.stop], split=True)
            done = span.stop
        return ids + self._ids(whole.text[done:])

    def _ids(self, text: str, *, added: bool = False, split: bool = False) -> list[int]:
        if not text:
            return []
        made = self._tokenizer(text, add_special_tokens=added, split_special_tokens=split or self.is_plain, verbose=False)
        return list(made["input_ids"])


def _plain(turns: Sequence[Turn]) -> str:
    said = "".join(_PLAIN_NAMES.get(turn.role, "") + turn.content.strip() for turn in turns)
    return said + _PLAIN_NAMES[ASSISTANT].rstrip(" ")


def _without_system(turns: Sequence[Turn]) -> list[Turn]:
    system = "\n\n".join(turn.content for turn in turns if turn.role == SYSTEM)
    first, *others = [turn for turn in turns if turn.role != SYSTEM]
    return [Turn(first.role, f"{system}\n\n{first.content}" if system else first.content), *others]
