"""Ctrl-C and SIGTERM become a wish; a second one is taken at its word."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from monoseme.core.interrupt import stop_wish


@pytest.fixture(autouse=True)
def _as_at_a_prompt() -> Iterator[None]:
    """Python's own handler of Ctrl-C: a shell starts background jobs with the signal ignored, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish(number: signal.Signals) -> None:
    with stop_wish() as wish:
        assert not wish.asked
        os.kill(os.getpid(), number)
        assert wish.asked


def test_the_second_signal_interrupts() -> None:
    with pytest.raises(KeyboardInterrupt), stop_wish():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_wish():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_another_thread_is_never_asked() -> None:
    wishes = []

    def work() -> None:
        with stop_wish() as wish:
            wishes.append(wish.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert wishes == [False]
