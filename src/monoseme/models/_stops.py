"""Texts at which a generation ends, found in text that arrives piece by piece."""

from collections.abc import Sequence


class StopTexts:
    """Lets a text pass up to the first stop; what may yet become one is held back until it is known."""

    def __init__(self, stops: Sequence[str]) -> None:
        """Starts with nothing held back."""
        self._stops = tuple(stops)
        self._held = ""

    def push(self, piece: str) -> tuple[str, bool]:
        """The text that may be shown now, and whether a stop has come; nothing passes after that."""
        text = self._held + piece
        at = first_stop(text, self._stops)
        if at is not None:
            self._held = ""
            return text[:at], True
        n_held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - n_held :]
        return text[: len(text) - n_held], False

    def rest(self) -> str:
        """What was held back, when no more text comes."""
        held, self._held = self._held, ""
        return held


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop begins in a text; None without one."""
    return min((at for at in map(text.find, stops) if at >= 0), default=None)


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of the text with which the stop begins."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
