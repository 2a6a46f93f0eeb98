"""Verify every checksum of artifacts or of a whole run.

    monoseme check PATH [PATH ...]

Exit code 0 when all is sound, 2 with one line per problem otherwise.
"""

from pathlib import Path

from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.artifact import MANIFEST, check_artifact
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactDamagedError, ArtifactMissingError, ConfigError


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
            problems[str(artifact)] = check_artifact(artifact)
            get_display().say(f"{artifact}: {'sound' if not problems[str(artifact)] else 'DAMAGED'}")
    get_display().result({"artifacts": problems})
    bad = [f"{path}/{line}" for path, lines in problems.items() for line in lines]
    if bad:
        raise ArtifactDamagedError("\n  ".join(["these files are damaged:", *bad]))
    return 0


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
