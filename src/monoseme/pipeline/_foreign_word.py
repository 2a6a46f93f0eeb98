"""What is said of a path that holds SAEs of another tool, where something of monoseme's own is needed."""

from pathlib import Path

from monoseme.core.errors import ForeignError
from monoseme.core.files import typed


def foreign_sae_text(path: Path, *, needed: str, instead: str) -> str | None:
    """That a path holds SAEs of another tool where `needed` ("a run") is asked for, and what to type `instead`.

    None where it holds none, or where it is not sure of which tool. `PATH` in `instead` becomes the path as it is typed.
    """
    if not path.exists():
        return None
    from monoseme.interchange import find_sae_format  # torch comes with the formats

    try:
        format = find_sae_format(path)
    except ForeignError:
        return None
    return f"{path} is not {needed}, but holds an SAE of another tool ({format}).\n  {instead.replace('PATH', typed(path))}"
