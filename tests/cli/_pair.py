"""One of two processes of a command. As a script: RANK FOLDER HOW; the exit code is the command's."""

import sys
from pathlib import Path

import torch

from monoseme.cli._together import Tell, run_together
from monoseme.core.display import PlainDisplay, get_display
from monoseme.core.errors import ConfigError, MonosemeError
from monoseme.core.launch import Launch
from monoseme.tensors.processes import everyone


def told(message: str, *, code: int = 2) -> int:
    sys.stderr.write(f"told: {message}\n")
    return code


def command(rank: int, how: str, tell: Tell) -> int:
    """What both say first, and how the one or both of them end."""
    get_display().say("one says this")
    try:
        if how == "one" and rank == 1:
            raise ConfigError("the second fails")
        everyone().sum(torch.ones(1))  # in vain, where the other has failed
        everyone().wait()
    except MonosemeError as error:
        return tell(str(error), code=error.exit_code)
    return 0


if __name__ == "__main__":
    rank, folder, how = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    store = torch.distributed.FileStore(str(folder / how), 2)
    run = lambda tell: command(rank, how, tell)  # noqa: E731
    sys.exit(run_together(Launch(rank, 2, rank, 2, "", 0), "train", run, display=PlainDisplay(), tell=told, store=store))
