"""What long work shows: a progress bar on a terminal, plain lines elsewhere, one JSON object, or nothing.

Library code asks `get_display()`; the command line chooses one with `use_display`. As a library we are silent, save for warnings.
"""

import contextlib
import contextvars
import json
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, Protocol, TextIO


class AtMost(int):
    """A total that is a bound: the work may end before it, as a text does that is shorter than what may be read of it."""

    @classmethod
    def of(cls, bound: int | None) -> "AtMost | None":
        """`bound`, or None where there is none."""
        return None if bound is None else cls(bound)


class Progress(Protocol):
    """A running count of one piece of work."""

    def advance(self, n: int = 1, **facts: str | float) -> None:
        """`n` more units are done; `facts` are shown beside the count (`fvu=0.12`)."""
        ...


class Display(Protocol):
    """Where progress and messages go."""

    def progress(self, description: str, *, total: int | None, unit: str) -> contextlib.AbstractContextManager[Progress]:
        """A count up to `total` (None: unknown; `AtMost`: or less) of `unit` (plural: "tokens"), with rate and time left."""
        ...

    def say(self, text: str) -> None:
        """Tells the user something worth knowing."""
        ...

    def warn(self, text: str) -> None:
        """Tells the user something that may spoil the result."""
        ...

    def result(self, values: dict[str, Any]) -> None:
        """The machine-readable outcome of a command."""
        ...


class _NoProgress:
    def advance(self, n: int = 1, **facts: str | float) -> None:
        del n, facts


class SilentDisplay:
    """Nothing but warnings, through Python's `warnings`: the default for library use."""

    @contextlib.contextmanager
    def progress(self, description: str, *, total: int | None, unit: str) -> Iterator[Progress]:
        """Shows nothing."""
        del description, total, unit
        yield _NoProgress()

    def say(self, text: str) -> None:
        """Says nothing."""

    def warn(self, text: str) -> None:
        """A Python warning."""
        warnings.warn(text, stacklevel=3)

    def result(self, values: dict[str, Any]) -> None:
        """Shows nothing."""


class MuteDisplay(SilentDisplay):
    """Nothing at all: for those of several processes that leave speaking to the first."""

    def warn(self, text: str) -> None:
        """Says nothing."""


class QuietDisplay(SilentDisplay):
    """`--quiet`: warnings as lines on the error stream, nothing else."""

    def warn(self, text: str) -> None:
        """One line on the error stream."""
        sys.stderr.write(f"warning: {text}\n")


class JsonDisplay(QuietDisplay):
    """`--json`: one JSON object on the output stream, warnings on the error stream."""

    def result(self, values: dict[str, Any]) -> None:
        """The object, on the output stream."""
        sys.stdout.write(json.dumps(values, allow_nan=False, default=str) + "\n")

    def rows(self, values: list[dict[str, Any]]) -> None:
        """A list of objects, on the output stream."""
        sys.stdout.write(json.dumps(values, allow_nan=False, default=str) + "\n")


class _PlainProgress:
    """A line every few seconds, for logs."""

    def __init__(self, *, description: str, total: int | None, unit: str, stream: TextIO, every_seconds: float) -> None:
        self._description, self._total, self._unit, self._stream = description, total, unit, stream
        self._every_seconds = every_seconds
        self._done = 0
        self._start = self._last = time.monotonic()

    def advance(self, n: int = 1, **facts: str | float) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._last >= self._every_seconds:
            self._last = now
            self._stream.write(self._line(now, facts) + "\n")
            self._stream.flush()

    def finish(self) -> None:
        seconds = time.monotonic() - self._start
        self._stream.write(f"{self._description}: {self._done:,} {self._unit} in {seconds:.1f} s\n")
        self._stream.flush()

    def _line(self, now: float, facts: dict[str, str | float]) -> str:
        rate = self._done / max(now - self._start, 1e-9)
        bound = "at most " if isinstance(self._total, AtMost) else ""
        between = " of at most " if bound else "/"
        count = f"{self._done:,}" if self._total is None else f"{self._done:,}{between}{self._total:,}"
        left = "" if self._total is None else f", {bound}{max(self._total - self._done, 0) / max(rate, 1e-9):.0f} s left"
        return f"{self._description}: {count} {self._unit} ({rate:,.0f}/s{left}){facts_text(facts)}"


_SIZE_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def counted(n: int, plural: str) -> str:
    """`1 shard`, `1,234 shards`; of words whose plural ends in an s."""
    return f"{n:,} {plural.removesuffix('s') if n == 1 else plural}"


def size_text(n_bytes: float) -> str:
    """`12 bytes`, `6.342 MB`; units of 1,000."""
    unit = 0
    while n_bytes >= 1000 and unit < len(_SIZE_UNITS) - 1:
        n_bytes, unit = n_bytes / 1000, unit + 1
    return f"{n_bytes:.4g} {_SIZE_UNITS[unit]}"


def facts_text(facts: dict[str, str | float]) -> str:
    """`  fvu 0.12  l0 32` from facts, or an empty text."""
    shown = (
        f"{key.replace('_', ' ')} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in facts.items()
    )
    return "".join(f"  {text}" for text in shown)


class PlainDisplay:
    """Plain lines, for anything that is not a terminal; progress goes to the error stream."""

    def __init__(self, *, every_seconds: float = 5.0) -> None:
        """A progress line at most every `every_seconds`."""
        self._every_seconds = every_seconds

    @contextlib.contextmanager
    def progress(self, description: str, *, total: int | None, unit: str) -> Iterator[Progress]:
        """A line now and then, and one at the end."""
        bar = _PlainProgress(
            description=description, total=total, unit=unit, stream=sys.stderr, every_seconds=self._every_seconds
        )
        yield bar
        bar.finish()

    def say(self, text: str) -> None:
        """One line on the output stream."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def warn(self, text: str) -> None:
        """One line on the error stream."""
        sys.stderr.write(f"warning: {text}\n")
        sys.stderr.flush()

    def result(self, values: dict[str, Any]) -> None:
        """Nothing: what matters was said."""


class _RichProgress:
    def __init__(self, bars: Any, task: Any) -> None:
        self._bars, self._task = bars, task

    def advance(self, n: int = 1, **facts: str | float) -> None:
        self._bars.update(self._task, advance=n, facts=facts_text(facts))


class RichDisplay:
    """Bars with rate, time left and memory, on a terminal."""

    def __init__(self) -> None:
        """Writes to the error stream, so that output can be piped."""
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)

    @contextlib.contextmanager
    def progress(self, description: str, *, total: int | None, unit: str) -> Iterator[Progress]:
        """A bar that stays when it is done."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description:<22}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
        )
        with _RatedBars(Bars, columns, self._console) as bars:
            is_bound = isinstance(total, AtMost)
            task = bars.add_task(description, total=total, unit=f"{unit} at most" if is_bound else unit, facts="", rate="")
            yield _RichProgress(bars, task)
            if is_bound:
                bars.update(task, total=bars.tasks[0].completed, unit=unit)

    def say(self, text: str) -> None:
        """One line, as it is: nothing in it is markup."""
        self._console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """One line in yellow."""
        self._console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)

    def result(self, values: dict[str, Any]) -> None:
        """Nothing: what matters was said."""


def _RatedBars(bars_class: Any, columns: Any, console: Any) -> Any:
    """Rich's bars, each with its units per second and the process's memory beside it."""
    from monoseme.core.memory import own_memory_mb

    class Rated(bars_class):
        def get_renderables(self) -> Any:
            for task in self.tasks:
                if task.speed and not task.finished:
                    task.fields["rate"] = f"{task.speed:,.0f}/s {own_memory_mb():,.0f} MB"
            yield self.make_tasks_table(self.tasks)

    return Rated(*columns, console=console)


_current: contextvars.ContextVar[Display] = contextvars.ContextVar("display", default=SilentDisplay())  # noqa: B039


def get_display() -> Display:
    """The display in force."""
    return _current.get()


@contextlib.contextmanager
def use_display(display: Display) -> Iterator[None]:
    """Puts `display` in force for the body."""
    token = _current.set(display)
    try:
        yield
    finally:
        _current.reset(token)
