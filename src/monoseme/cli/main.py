"""The entry point: finds the verb, chooses the display, turns errors into one message and an exit code.

Exit codes: 0 done, 1 our fault (with a traceback), 2 the user can mend it (one message), 130 interrupted (resumable, says how).
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

import monoseme
from monoseme.cli._together import Tell, run_together
from monoseme.cli._verbs import help_text, names
from monoseme.core.config import suggest
from monoseme.core.display import Display, JsonDisplay, PlainDisplay, QuietDisplay, use_display
from monoseme.core.errors import ConfigError, MonosemeError
from monoseme.core.launch import launched, share_cores

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(help_text())
        return 0
    if words[0] in ("-V", "--version"):
        sys.stdout.write(f"monoseme {monoseme.__version__}\n")
        return 0
    # Threads that wait should sleep, not spin: worth 40 % on shared machines. Read by torch's OpenMP when it loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    verb, words = words[0], words[1:]
    if verb not in names():
        return _refuse(f'there is no command "{verb}".{suggest(verb, names())}\n  See them all with:  monoseme --help')
    display = _choose_display(words)
    words = [word for word in words if word not in ("--json", "--quiet")]
    try:
        launch = launched(os.environ)
    except ConfigError as error:
        return _refuse(str(error))
    if launch is not None:
        share_cores(launch, os.environ)
        return run_together(launch, verb, lambda tell: _run(verb, words, tell=tell), display=display, tell=_refuse)
    with use_display(display):
        return _run(verb, words, tell=_refuse)


def _run(verb: str, words: list[str], *, tell: Tell) -> int:
    try:
        kernels, words = _take_kernels(words)
        with _kernels_chosen(kernels):
            return importlib.import_module(f"monoseme.cli.{verb}").main(words) or 0
    except MonosemeError as error:
        return tell(str(error), code=error.exit_code)
    except KeyboardInterrupt:
        return tell("interrupted", code=INTERRUPTED)
    except BrokenPipeError:
        return 0  # the reader of our output, such as `head`, has seen enough
    except OSError as error:
        if error.filename is None:
            raise  # not about a file that the user can see to
        return tell(f"cannot use {error.filename}: {error.strerror}")


def _take_kernels(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """What `--kernel NAME` or `--kernel=NAME` says, and the words without it. Raises ConfigError where the name is missing."""
    for i, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag == "--kernel":
            if not equals and i + 1 == len(words):
                raise ConfigError("--kernel needs a name, such as torch")
            return value if equals else words[i + 1], [*words[:i], *words[i + (1 if equals else 2) :]]
    return None, list(words)


def _kernels_chosen(name: str | None) -> contextlib.AbstractContextManager[None]:
    """The SAEs of this command use these kernels. Raises ConfigError for a name there is not."""
    if name is None:
        return contextlib.nullcontext()
    from monoseme.kernels import choose_kernels  # torch comes with it, and help and lists are to stay light

    return choose_kernels(name)


def _refuse(message: str, *, code: int = 2) -> int:
    sys.stderr.write(f"monoseme: {message}\n")
    return code


def _choose_display(words: Sequence[str]) -> Display:
    if "--json" in words:
        return JsonDisplay()
    if "--quiet" in words:
        return QuietDisplay()
    if sys.stderr.isatty():
        from monoseme.core.display import RichDisplay

        return RichDisplay()
    return PlainDisplay()


if __name__ == "__main__":
    sys.exit(main())
