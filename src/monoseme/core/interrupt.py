"""Ctrl-C and SIGTERM as a wish that long work grants when it has come to a place where it can stop."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopWish:
    """Whether somebody asked the run to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def stop_wish() -> Iterator[StopWish]:
    """Catches the first SIGINT or SIGTERM for the body; a second one acts as if we were not here.

    Outside the main thread Python admits no handlers: the wish is then never asked.
    """
    wish = StopWish()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return
    before = {int(number): signal.getsignal(number) for number in _SIGNALS}

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        wish.asked = True
        signal.signal(number, before[number])

    for number in _SIGNALS:
        signal.signal(number, ask)
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
