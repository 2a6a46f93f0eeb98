"""Verify every checksum of artifacts or of a whole run.

    monoseme check PATH [PATH ...]

Exit code 0 when all is sound, 2 with one line per problem otherwise.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.artifact import MANIFEST, check_artifact
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactDamagedError, ArtifactError, ArtifactMissingError, ConfigError
from monoseme.pipeline import RUN_FILE, RunFolder


def main(words: list[str]) -> int:
    """Checks each artifact below each path."""
    if wants_help(words):
        write(document("check"))
        return 0
    if not words:
        raise ConfigError("check needs a path.\n  Type:  monoseme check runs/demo")
    problems: dict[str, list[str]] = {}
    for word in words:
        for artifact in _artifacts(Path(word)):
            problems[str(artifact)] = _problems(artifact)
            get_display().say(f"{artifact}: {'sound' if not problems[str(artifact)] else 'DAMAGED'}")
        if (Path(word) / RUN_FILE).is_file():
            problems[word] = problems.get(word, []) + _not_there(Path(word))
    get_display().result({"artifacts": problems})
    bad = [f"{path}/{line}" for path, lines in problems.items() for line in lines]
    if bad:
        raise ArtifactDamagedError("\n  ".join(["these files are damaged:", *bad]))
    return 0


def _problems(artifact: Path) -> list[str]:
    """What is wrong with an artifact, its manifest included: one that cannot be read must not hide the others."""
    try:
        return check_artifact(artifact)
    except ArtifactError as error:
        return [f"{MANIFEST}: {error}"]


def _not_there(run: Path) -> list[str]:
    """What is wrong with a run's own record, and the artifacts it names that are not there."""
    try:
        named = RunFolder(run).record()["artifacts"]
    except ArtifactError as error:
        return [f"{RUN_FILE}: {error}"]
    return [f"{path}: missing, but named in {RUN_FILE}" for path in _paths(named) if not (run / path).is_dir()]


def _paths(named: Any) -> Iterator[str]:
    if isinstance(named, Mapping):
        for inner in cast(Mapping[str, Any], named).values():
            yield from _paths(inner)
    else:
        yield str(named)


def _artifacts(path: Path) -> list[Path]:
    """The artifact at `path`, or every one below it."""
    if not path.exists():
        raise ArtifactMissingError(f"there is nothing at {path}")
    found = [path] if (path / MANIFEST).is_file() else []
    below = sorted(m.parent for m in path.rglob(MANIFEST) if m.parent != path)
    hidden = [p for p in below if any(part.startswith(".") for part in p.relative_to(path).parts)]
    if not found and len(below) == len(hidden):
        raise ArtifactMissingError(f"there is no artifact at or below {path}")
    return found + [p for p in below if p not in hidden]
