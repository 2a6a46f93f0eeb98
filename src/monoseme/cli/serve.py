"""Open runs in the web app: metrics, latents, their pages, your own prompts, steering, and what studies found.

    monoseme serve RUN [RUN ...]
    monoseme serve RUN STUDIES                     a folder of studies beside those in RUN/studies and next to RUN
    monoseme serve RUN --port 9000 --open          another port than 8321; opens the browser
    monoseme serve RUN --model models/pythia       the language model, where it is not where the run had it
    monoseme serve RUN --host 0.0.0.0 --expose     beyond this machine; needs the token in the URL it prints

Listens on this machine only, unless told otherwise. Ctrl-C ends it.
"""

from pathlib import Path

from monoseme.cli._declared import HandFlag
from monoseme.cli._run_words import read_words
from monoseme.web import serve

_PORT = 8321
_FLAGS = (
    HandFlag("--open", "Opens the browser.", is_switch=True),
    HandFlag("--expose", "Lets other machines connect, with the token that is printed.", is_switch=True),
    HandFlag("--host", "ADDRESS to listen on; this machine only, if not said."),
    HandFlag("--model", "FOLDER or hub id of the language model, instead of the one that the runs name."),
    HandFlag("--port", f"Port ({_PORT})."),
)


def main(words: list[str]) -> int:
    """Serves until it is stopped."""
    said = read_words(words, verb="serve", flags=_FLAGS)
    if said is None:
        return 0
    port = said.number("--port")
    serve(
        [Path(word) for word in said.paths],
        host=said.options.get("--host", "127.0.0.1"),
        port=_PORT if port is None else port,
        open_browser="--open" in said.switches,
        expose="--expose" in said.switches,
        model=said.options.get("--model"),
    )
    return 0
