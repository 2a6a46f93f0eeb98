"""SAEs by parts of their codes: what a list of SAEs and the words of `--part` mean together."""

from collections.abc import Sequence
from typing import NamedTuple

from monoseme.core.errors import ConfigError
from monoseme.pipeline._saes import NamedSae
from monoseme.saes import part_of

WHOLE = "all"


class SaePart(NamedTuple):
    """One part of the code of one SAE."""

    name: str
    """`tsae`, or `tsae (high)` for a part."""
    named: NamedSae
    word: str
    """The part as the user wrote it."""
    part: str | None
    """As `Codes.part` takes it; None is the whole code."""


def parted(saes: Sequence[NamedSae], words: Sequence[str]) -> list[SaePart]:
    """Every SAE with every part that it has, SAE by SAE: all, high, low, predicted, novel, the number of a group.

    Raises ConfigError without a word, and for a part that no SAE has.
    """
    if not words:
        raise ConfigError("part is empty.\n  Allowed: all, high, low, predicted, novel, or the number of a group")
    for word in words:
        if all(part_of(named.sae.parts, word) is None for named in saes):
            told = "; ".join(f"{named.name}: {', '.join(named.sae.parts)}" for named in saes)
            raise ConfigError(f'no SAE has the part "{word}".\n  They have: {told}')
    pairs = [(named, word, part_of(named.sae.parts, word)) for named in saes for word in dict.fromkeys(words)]
    return [_one(named, word, part) for named, word, part in pairs if part is not None]


def _one(named: NamedSae, word: str, part: str) -> SaePart:
    whole = word == WHOLE
    return SaePart(named.name if whole else f"{named.name} ({word})", named, word, None if whole else part)
