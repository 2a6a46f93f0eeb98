"""What a repository of the hub is called: owner/name, with a revision, on the hub or in a folder of this machine.

owner/name            on the hub, or in the folder that MONOSEME_HUB names
owner/name@v1         a branch, a tag or the id of a revision
hf://owner/name@v1    the same, as an address
./shared/owner/name   in the folder ./shared
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from monoseme.core.errors import ConfigError
from monoseme.models.hub_words import HUB_VARIABLE, MAIN, SCHEME, stand_in

__all__ = ["HUB_VARIABLE", "MAIN", "Repo", "RepoKind", "RepoWord", "check_revision", "is_repo_part", "parse_repo"]

RepoKind = Literal["model", "dataset"]
"""SAEs go into model repositories, atlases into datasets."""
_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,4}")
_ID = re.compile(r"[0-9a-f]{40}")
_LOCAL = ("/", "./", "../", "~", "file://")


class Repo(NamedTuple):
    """One repository."""

    owner: str
    name: str
    kind: RepoKind = "model"

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def atlas(self) -> "Repo":
        """Where the whole atlas of its SAEs is kept."""
        return Repo(self.owner, f"{self.name}-atlas", "dataset")


class RepoWord(NamedTuple):
    """A repository as it was named."""

    repo: Repo
    revision: str | None
    """None where none was said: the main branch."""
    root: Path | None
    """The folder that stands in for the hub; None: the hub itself."""

    def revision_or(self, said: str | None) -> str | None:
        """The revision that the word or a flag names. Raises ConfigError where both name one, and not the same."""
        if said is not None and self.revision not in (None, said):
            raise ConfigError(f"two revisions are named, @{self.revision} and --revision {said}: give one of the two.")
        if said is not None and not _REVISION.fullmatch(said):
            raise ConfigError(f"{said!r} is neither a branch, a tag nor the id of a revision.")
        return said or self.revision


def parse_repo(word: str, *, environment: Mapping[str, str] | None = None) -> RepoWord:
    """What a word names. Raises ConfigError with what can be written."""
    variables = os.environ if environment is None else environment
    root = stand_in(variables)
    base, at, revision = _split(word.strip().removeprefix(SCHEME))
    if at and not _REVISION.fullmatch(revision):
        raise ConfigError(f"{word!r} names no revision: {revision!r} is neither a branch, a tag nor the id of a revision.")
    if base.startswith(_LOCAL):
        path = Path(os.path.expanduser(base.removeprefix("file://")))  # noqa: PTH111 - Path's own raises for a user there is not
        root, base = path.parent.parent, f"{path.parent.name}/{path.name}"
    owner, slash, name = base.partition("/")
    if not slash or not is_repo_part(owner) or not is_repo_part(name):
        raise ConfigError(
            f"{word!r} names no repository.\n"
            "  Write owner/name, owner/name@REVISION, or the path of one in a folder: ./FOLDER/owner/name"
        )
    return RepoWord(Repo(owner, name), revision or None, root)


def without_revision(word: str) -> str:
    """The word as it was typed, without its @REVISION."""
    return _split(word.strip())[0]


def _split(word: str) -> tuple[str, str, str]:
    """What stands before an @ of the last part, the @, and what follows."""
    return word.rpartition("@") if "@" in word.rpartition("/")[2] else (word, "", "")


def check_revision(revision: str) -> str:
    """The name of a branch that is to move. Raises ConfigError for what cannot be one."""
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise ConfigError(f"{revision!r} cannot name a revision.\n  Allowed: letters, digits, and . _ - between them")
    if _ID.fullmatch(revision):
        raise ConfigError(
            f"{revision} is the id of a revision, and revisions never change.\n  Name a branch that moves to what is sent."
        )
    return revision


def is_repo_part(text: str) -> bool:
    """Whether an owner or a repository can be called so."""
    return bool(_PART.fullmatch(text)) and ".." not in text and "--" not in text and not text.endswith(".git")
