"""Talk with a model, steered with latents or not.

    monoseme chat --model FOLDER
    monoseme chat --sae RUN/saes/topk --steer 123=2max --compare --system "You are a guide." --temperature 0.7
    monoseme chat --sae RUN/saes/topk --steer 123=2max --watch 123 --say "Hello." --say "Tell me more."

Turns are written with the tokenizer's own chat template (or that of --template FILE). A model without one gets plain text with
`Human:` and `Assistant:` before the turns, and you are told so. /reset begins anew, /quit or Ctrl-D ends. Ctrl-C breaks off an
answer and takes its turn back. With --say the turns are said and the answers written, without questions: that is how the command
that is printed in the end repeats a conversation. How to steer and to watch: monoseme generate --help
"""

import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from monoseme.cli._options import write
from monoseme.cli._verbs import document
from monoseme.cli._writing_flags import Words, WritingFlags, read_flags, replay_words, session_config
from monoseme.cli._written_text import SilentPage, StreamPage, value_lines, written_facts
from monoseme.core.display import JsonDisplay, QuietDisplay, get_display
from monoseme.core.errors import ConfigError, ModelError
from monoseme.pipeline import Answer, ChatForm, Conversation, Listener, open_session

_ASKING = "you: "


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChatFlags(WritingFlags):
    """What the command line says."""

    system: str | None = None
    """What the model is told before the first turn."""
    say: Words = ()
    """A turn of yours; several times for several turns. Then nothing is asked."""
    template: Path | None = None
    """A file with a Jinja chat template in place of the tokenizer's own."""


def main(words: list[str]) -> int:
    """Talks."""
    flags, steering = read_flags(ChatFlags, words, verb="chat", summary=document("chat"))
    if isinstance(get_display(), JsonDisplay) and not flags.say:
        raise ConfigError("chat with --json needs to know what to say.\n  Give each turn with --say.")
    template = None if flags.template is None else flags.template.read_text(encoding="utf-8")
    session = open_session(session_config(flags, steering))
    form = ChatForm(session.writer.model.tokenizer, template=template)
    if form.is_plain:
        get_display().warn(
            "this model's tokenizer has no chat template: turns stand after Human: and Assistant: as plain text. A model that "
            "has not learned from conversations goes on with the text rather than answering."
        )
    conversation = Conversation(session, form, flags.sampling, system=flags.system)
    talk = _Talk(conversation, lambda said: _replay(words, flags, said))
    return talk.said(flags.say) if flags.say else talk.asked()


class _Talk:
    """Says turns and shows answers."""

    def __init__(self, conversation: Conversation, replay: Callable[[Sequence[str]], str]) -> None:
        self._conversation, self._replay = conversation, replay
        self._turns: list[dict[str, Any]] = []

    def said(self, turns: Sequence[str]) -> int:
        """The turns that were given with the command. Raises ModelError, ConfigError."""
        for text in turns:
            if not isinstance(get_display(), JsonDisplay | QuietDisplay):
                write(f"{_ASKING}{text}")
            self._say(text)
        replay = self._replay(self._conversation.said)
        get_display().result({"turns": self._turns, "replay": replay})
        if not isinstance(get_display(), JsonDisplay | QuietDisplay):
            get_display().say(f"  again:  {replay}")
        return 0

    def asked(self) -> int:
        """Turns that the user types, until they end it."""
        while True:
            try:
                text = _ask()
            except (EOFError, KeyboardInterrupt):
                text = "/quit"
            if text in ("/quit", "/reset"):
                self._show_replay()
                if text == "/quit":
                    return 0
                self._conversation.reset()
            elif text.startswith("/"):
                get_display().say("  /reset begins anew, /quit ends")
            elif text.strip():
                self._say_patiently(text)

    def _say_patiently(self, text: str) -> None:
        """One turn; what is wrong with it does not end the conversation."""
        try:
            self._say(text)
        except KeyboardInterrupt:
            get_display().say("  broken off: this turn is taken back")
        except ModelError as error:
            get_display().warn(str(error))

    def _say(self, text: str) -> None:
        with ExitStack() as pages:
            answers = self._conversation.say(text, _listening(pages))
        self._turns.append({"user": text, **{name: written_facts(answer.written) for name, answer in answers.items()}})
        if not isinstance(get_display(), JsonDisplay):
            write("".join(f"{line}\n" for answer in answers.values() for line in _new_values(answer)))

    def _show_replay(self) -> None:
        if self._conversation.said:
            get_display().say(f"  again:  {self._replay(self._conversation.said)}")


def _listening(pages: ExitStack) -> Callable[[str], Listener]:
    """Who hears of the arms' answers: each ends its line where the next begins."""
    page = SilentPage() if isinstance(get_display(), JsonDisplay) else StreamPage("", named=True)

    def listen(name: str) -> Listener:
        pages.close()
        return pages.enter_context(page.arm(name))

    return listen


def _new_values(answer: Answer) -> list[str]:
    """The lines of the answer's own tokens."""
    lines = value_lines(answer.written)
    return lines[:1] + lines[1 + len(answer.written.generation.prompt_ids) :]


def _ask() -> str:
    """The next turn. Raises EOFError, KeyboardInterrupt."""
    if sys.stdin.isatty():
        return input(_ASKING)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def _replay(words: Sequence[str], flags: ChatFlags, said: Sequence[str]) -> str:
    """The command that repeats a conversation."""
    kept = list(words)
    while any(word.partition("=")[0] == "--say" for word in kept):
        at = next(i for i, word in enumerate(kept) if word.partition("=")[0] == "--say")
        del kept[at : at + (1 if "=" in kept[at] else 2)]
    return shlex.join(["monoseme", "chat", *replay_words(kept, flags), *(f"--say={text}" for text in said)])
