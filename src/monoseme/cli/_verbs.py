"""Which commands exist, read from the files beside this one; nothing is imported."""

import ast
import functools
from pathlib import Path

_ORDER = (
    "demo",
    "run",
    "plan",
    "capture",
    "sentences",
    "import",
    "train",
    "eval",
    "scan",
    "explain",
    "score",
    "export",
    "push",
    "pull",
    "search",
    "generate",
    "chat",
    "report",
    "serve",
    "show",
    "check",
    "verify",
    "ls",
)
_FOLDER = Path(__file__).parent


@functools.cache
def names() -> tuple[str, ...]:
    """The verbs, in the order in which a user meets them, then by name."""
    found = {p.stem for p in _FOLDER.glob("*.py") if not p.stem.startswith("_") and p.stem != "main"}
    return (*(verb for verb in _ORDER if verb in found), *sorted(found.difference(_ORDER)))


def document(verb: str) -> str:
    """The docstring of a verb's file."""
    return ast.get_docstring(ast.parse((_FOLDER / f"{verb}.py").read_text(encoding="utf-8"))) or ""


def help_text() -> str:
    """What `monoseme --help` prints."""
    lines = [f"  {verb:<9} {document(verb).splitlines()[0]}" for verb in names()]
    return "\n".join(
        (
            "monoseme: train, measure, explain and steer with sparse autoencoders on language models.",
            "",
            "Usage: monoseme COMMAND [OPTIONS]        monoseme COMMAND --help",
            "",
            *lines,
            "",
            "Every command takes --quiet (warnings only), --json (one machine-readable result) and --kernel NAME (what SAEs are",
            "computed with: auto, reference, torch, numba or triton).",
            "Start with:  monoseme demo",
            "",
        )
    )
