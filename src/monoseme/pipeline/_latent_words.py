"""Latents as people name them on a command line: 123, topk:123, mlsae@resid_post.3:7; with a strength: topk:123=2max."""

from collections.abc import Iterable
from typing import NamedTuple

from monoseme.core.errors import ConfigError
from monoseme.steering import Strength, Unit


class LatentWord(NamedTuple):
    """One latent, as it was named."""

    key: str | None
    """The SAE as an atlas calls it (`topk`, `tfa.novel`, `mlsae@resid_post.3`); None: the only one there is."""
    latent: int

    def __str__(self) -> str:
        return str(self.latent) if self.key is None else f"{self.key}:{self.latent}"

    @classmethod
    def parse(cls, text: str) -> "LatentWord":
        """`123` or `topk:123`. Raises ConfigError for anything else."""
        key, colon, number = text.strip().rpartition(":")
        if not (number.isascii() and number.isdigit()) or (colon and not key):
            raise ConfigError(
                f'"{text}" names no latent.\n  Write its number, or SAE:NUMBER where there are several, as topk:123'
            )
        return cls(key or None, int(number))


class SteerWord(NamedTuple):
    """One latent, and how strongly it is to be steered with."""

    where: LatentWord
    strength: Strength

    def __str__(self) -> str:
        return f"{self.where}={self.strength}"

    @classmethod
    def parse(cls, text: str, *, unit: Unit = "max") -> "SteerWord":
        """`123=2max` or `topk:123=-0.5norm`; `unit` is that of a bare number. Raises ConfigError."""
        where, equals, strength = text.partition("=")
        if not equals:
            raise ConfigError(f'"{text}" says not how strongly.\n  Write LATENT=STRENGTH, as 123=2max, 123=0.5norm or 123=3raw')
        return cls(LatentWord.parse(where), Strength.parse(strength, unit=unit))


def steer_words(texts: Iterable[str], *, unit: Unit = "max") -> tuple[SteerWord, ...]:
    """The words of `--steer`, also with commas between them. Raises ConfigError, also for a latent that is named twice."""
    words = tuple(SteerWord.parse(word, unit=unit) for word in _apart(texts))
    _refuse_twice([word.where for word in words], "--steer")
    return words


def watch_words(texts: Iterable[str]) -> tuple[LatentWord, ...]:
    """The words of `--watch`, also with commas between them. Raises ConfigError, also for a latent that is named twice."""
    words = tuple(LatentWord.parse(word) for word in _apart(texts))
    _refuse_twice(words, "--watch")
    return words


def _apart(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in text.split(",") if word.strip()]


def _refuse_twice(words: Iterable[LatentWord], flag: str) -> None:
    seen: set[LatentWord] = set()
    for word in words:
        if word in seen:
            raise ConfigError(f"{flag} names latent {word} twice: name it once.")
        seen.add(word)
