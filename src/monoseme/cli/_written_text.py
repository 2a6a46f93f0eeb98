"""Texts on a terminal while a model writes them: as they come, side by side, and the values of watched latents token by token."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from monoseme.core.display import JsonDisplay, QuietDisplay, get_display
from monoseme.models import TokenEvent
from monoseme.pipeline import Listener, Written

_NARROWEST = 30
"""A column of fewer characters cannot be read."""


def clean(text: str) -> str:
    """The text with what would steer a terminal spelt out; line breaks and tabs stay."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else repr(letter)[1:-1] for letter in text)


class Page(Protocol):
    """Where texts appear."""

    def arm(self, name: str) -> contextlib.AbstractContextManager[Listener]:
        """Shows what one arm writes in the body."""
        ...


class SilentPage:
    """Shows nothing: for programs."""

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[Listener]:
        """Nobody listens."""
        del name
        yield Listener()


class StreamPage:
    """One text below the other, token by token."""

    def __init__(self, opening: str, *, named: bool) -> None:
        """`opening` stands before each text; `named`: the arm's name, too."""
        self._opening, self._named = opening, named

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[Listener]:
        """Writes as it hears."""
        _put((f"{name}: " if self._named else "") + clean(self._opening))
        try:
            yield Listener(on_token=lambda event: _put(clean(event.text)))
        finally:
            _put("\n")


class CountedPage:
    """Several texts at once: how many tokens there are while they are written, all texts in the end."""

    def __init__(self, openings: Sequence[str], *, most_tokens: int, named: bool) -> None:
        """`openings` stand before the texts; `most_tokens` of one text."""
        self._openings, self._most, self._named = tuple(openings), most_tokens, named

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[Listener]:
        """Counts, then writes."""
        texts = list(self._openings)

        def hear(event: TokenEvent) -> None:
            texts[event.row] += event.text
            bar.advance()

        with get_display().progress(f"writing ({name})", total=self._most * len(texts), unit="tokens") as bar:
            yield Listener(on_token=hear)
        for number, text in enumerate(texts, 1):
            _put(f"[{number}] " + (f"{name}: " if self._named else "") + clean(text) + "\n")


class ColumnsPage:
    """The arms side by side, growing as they are written: for terminals."""

    def __init__(self, openings: Sequence[str], arms: Sequence[str], *, console: Any = None) -> None:
        """A row for each of `openings`, a column for each arm."""
        from rich.console import Console

        self._console = console or Console(highlight=False)
        self._arms = tuple(arms)
        self._texts = {arm: list(openings) for arm in self._arms}

    @property
    def width(self) -> int:
        """Of the terminal (characters)."""
        return self._console.width

    @contextlib.contextmanager
    def arm(self, name: str) -> Iterator[Listener]:
        """Fills a column."""
        from rich.live import Live

        is_last = name == self._arms[-1]
        with Live(console=self._console, get_renderable=self._table, refresh_per_second=8, transient=not is_last):

            def hear(event: TokenEvent) -> None:
                self._texts[name][event.row] += event.text

            yield Listener(on_token=hear)

    def _table(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table(expand=True, show_lines=len(self._texts[self._arms[0]]) > 1)
        for arm in self._arms:
            table.add_column(arm, ratio=1, overflow="fold")
        for row in zip(*self._texts.values(), strict=True):
            table.add_row(*(Text(clean(text)) for text in row))
        return table


def page_for(openings: Sequence[str], arms: Sequence[str], *, most_tokens: int) -> Page:
    """The page that suits the display, the terminal and what is to be written."""
    named = len(arms) > 1
    if isinstance(get_display(), JsonDisplay):
        return SilentPage()
    if named and sys.stdout.isatty() and not isinstance(get_display(), QuietDisplay):
        page = ColumnsPage(openings, arms)
        if page.width >= _NARROWEST * len(arms):
            return page
    if len(openings) == 1:
        return StreamPage(openings[0], named=named)
    return CountedPage(openings, most_tokens=most_tokens, named=named)


def value_lines(written: Written) -> list[str]:
    """A line for each token with the values of the watched latents, a dot where one does not fire; none without such latents."""
    if not written.values:
        return []
    shown = [repr(token)[1:-1] if not token.isprintable() else token for token in written.tokens]
    width = max(map(len, [*shown, "token"]))
    names = list(written.values)
    lines = [f"{'token':<{width}}  " + "  ".join(f"{name:>10}" for name in names)]
    for place, token in enumerate(shown):
        values = [_number(written.values[name][place]) for name in names]
        cells = "  ".join(f"{value:>{max(10, len(name))}}" for value, name in zip(values, names, strict=True))
        lines.append(f"{token:<{width}}  {cells}")
    return lines


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return "." if value == 0 else f"{value:.3g}"


def _put(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def written_facts(written: Written) -> dict[str, Any]:
    """A continued text for programs."""
    generation = written.generation
    return {
        "text": generation.text,
        "token_ids": generation.token_ids,
        "is_ended": generation.is_ended,
        "tokens": list(written.tokens),
        "n_prompt_tokens": len(generation.prompt_ids),
        "values": {name: list(values) for name, values in written.values.items()},
    }
