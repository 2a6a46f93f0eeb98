"""A command that several processes run together: the first one speaks, whoever fails first says why, and all end alike."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from monoseme.core.display import Display, MuteDisplay, use_display
from monoseme.core.launch import Launch

VERBS = ("capture", "train", "run", "scan")
"""What several processes can share."""
_GONE = "a process of this command is gone: killed, or out of memory.\n  What was saved is whole: go on with --resume."


class Tell(Protocol):
    """Shows a message that ends the command; gives back the exit code."""

    def __call__(self, message: str, *, code: int = 2) -> int: ...


def run_together(
    launch: Launch, verb: str, run: Callable[[Tell], int], *, display: Display, tell: Tell, store: Any = None
) -> int:
    """Joins the other processes and runs `run`, whose messages reach the user once; the exit code, the same on all.

    `store`: where to meet, as `joined` takes it.
    """
    if verb not in VERBS:
        message = f"{verb} is a command for one process, but {launch.size} were started.\n  Several can share: {', '.join(VERBS)}"
        return tell(message) if launch.rank == 0 else 2
    from monoseme.tensors.joining import is_loss_of_company, joined  # torch comes with it

    errors = sys.stderr
    with joined(launch, store=store) as company:

        def tell_once(message: str, *, code: int = 2) -> int:
            if not company.first_to_fail(code):
                return company.code(code)
            with contextlib.redirect_stderr(errors):
                return tell(message, code=code)

        try:
            with contextlib.nullcontext() if launch.rank == 0 else _muted(), use_display(_display(launch, display)):
                return run(tell_once)
        except SystemExit as end:  # of a parser of options, which has said why
            code = end.code if isinstance(end.code, int) else 2
            return code if code == 0 or company.first_to_fail(code) else company.code(code)
        except Exception as error:
            if is_loss_of_company(error):
                return tell_once(_GONE, code=1)
            if company.first_to_fail(1):
                raise
            return company.code(1)


def _display(launch: Launch, display: Display) -> Display:
    return display if launch.rank == 0 else MuteDisplay()


@contextlib.contextmanager
def _muted() -> Iterator[None]:
    """Libraries write to the streams by themselves: what the first process shows need not be shown again."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
