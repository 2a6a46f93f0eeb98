"""Verify every checksum of artifacts, of stores of activations, of checkpoints, or of a whole run.

    monoseme check PATH [PATH ...]

PATH is an artifact, a run or any folder that holds some, here or at an address (s3://, gs://, hf://). Of a store whose capture
is not at its end, the finished shards are verified. Exit code 0 when all is sound, 2 with one line per problem otherwise.
"""

from monoseme.cli._options import wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.pipeline import check_place


def main(words: list[str]) -> int:
    """Checks each thing below each path."""
    if wants_help(words):
        write(document("check"))
        return 0
    if not words:
        raise ConfigError("check needs a path.\n  Type:  monoseme check runs/demo")
    problems: dict[str, list[str]] = {}
    for word in words:
        problems |= check_place(word)
    get_display().result({"artifacts": problems})
    bad = [f"{path}/{line}" for path, lines in problems.items() for line in lines]
    if bad:
        raise ArtifactDamagedError("\n  ".join(["these files are damaged:", *bad]))
    return 0
