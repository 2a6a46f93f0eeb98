"""What may be asked of a word's letters: spell it, its first or last letter, its n-th from either end, whether one is in it.

The templates are those of Chanin et al. 2024, arXiv:2409.14507, and of SAEBench, with which numbers are to be compared.
"""

import re
import string
from dataclasses import dataclass

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.spelling.vocabulary import letters_of

LETTERS = string.ascii_uppercase
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_NTH = re.compile(r"nth_(start|end)_([1-9]\d?)")
_CONTAINS = re.compile(r"contains_([a-zA-Z])")


@dataclass(frozen=True, kw_only=True)
class LetterTask:
    """A question about a word, and its answer."""

    name: str
    """As `task_named` takes it."""
    template: str
    """With {word} in place of the word; its leading space, if any, goes with it."""
    classes: tuple[str, ...] | None
    """The answers there are; None where there are as many as words."""
    position: int | None = None
    """Which letter is asked for, as an index of the word: 0 first, -1 last; None: another question."""
    contained: str | None = None
    """The letter that is looked for."""

    def question(self, word: str) -> str:
        """What is asked, up to the colon."""
        return self.template.format(word=word)

    @property
    def word_at(self) -> int:
        """Where in a question the word begins (characters)."""
        return self.template.index("{word}")

    def label(self, word: str) -> str | None:
        """The answer, without the space before it; None where the word is too short to have one."""
        letters = letters_of(word)
        if self.contained is not None:
            return "Yes" if self.contained in letters else "No"
        if self.position is None:
            return "-".join(letters)
        reach = self.position + 1 if self.position >= 0 else -self.position
        return letters[self.position] if len(letters) >= reach else None

    def answer(self, word: str) -> str:
        """The answer as the text goes on with it. Raises ConfigError for a word too short to have one."""
        label = self.label(word)
        if label is None:
            raise ConfigError(f'the task {self.name} has no answer for "{word.strip()}": it has {len(word.strip())} letters')
        return f" {label}"


def task_named(name: str) -> LetterTask:
    """`spelling`, `first_letter`, `last_letter`, `nth_start_2`, `nth_end_2` (the last but one), `contains_e`.

    Raises ConfigError for any other name.
    """
    letter = tuple(LETTERS)
    plain = {
        "spelling": LetterTask(name="spelling", template="{word}:", classes=None),
        "first_letter": LetterTask(name="first_letter", template="{word} has the first letter:", classes=letter, position=0),
        "last_letter": LetterTask(name="last_letter", template="{word} has the last letter:", classes=letter, position=-1),
    }
    if name in plain:
        return plain[name]
    if (nth := _NTH.fullmatch(name)) and int(nth[2]) <= len(_ORDINALS):
        return _nth_letter(name, from_end=nth[1] == "end", n=int(nth[2]))
    if contains := _CONTAINS.fullmatch(name):
        wanted = contains[1].upper()
        return LetterTask(name=name, template=f"{{word}} contains the letter {wanted}:", classes=("Yes", "No"), contained=wanted)
    allowed = [
        *plain,
        f"nth_start_1 .. nth_start_{len(_ORDINALS)}",
        f"nth_end_1 .. nth_end_{len(_ORDINALS)}",
        "contains_a .. contains_z",
    ]
    raise ConfigError(f'there is no task "{name}".{suggest(name, list(plain))}\n  Allowed: {", ".join(allowed)}')


def _nth_letter(name: str, *, from_end: bool, n: int) -> LetterTask:
    ordinal = _ORDINALS[n - 1]
    where = f"{ordinal} letter from the end" if from_end else f"{ordinal} letter"
    position = -n if from_end else n - 1
    return LetterTask(name=name, template=f"{{word}} has the {where}:", classes=tuple(LETTERS), position=position)
