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
from monoseme.interchange._hub_words import HUB_VARIABLE, MAIN, SCHEME, stand_in

__all__ = ["HUB_VARIABLE", "MAIN", "Repo", "RepoKind", "RepoWord", "check_revision", "is_repo_part", "parse_repo"]

RepoKind = Literal["model", "dataset"]
"""SAEs go into model repositories, atlases into datasets."""
_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,4}")
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


def parse_repo(word: str, *, environment: Mapping[str, str] | None = None) -> RepoWord:
    """What a word names. Raises ConfigError with what can be written."""
    variables = os.environ if environment is None else environment
    text, root = word.strip().removeprefix(SCHEME), stand_in(variables)
    base, at, revision = text.rpartition("@") if "@" in text.rpartition("/")[2] else (text, "", "")
    if at and not _REVISION.fullmatch(revision):
        raise ConfigError(f"{word!r} names no revision: {revision!r} is neither a branch, a tag nor the id of a revision.")
    if base.startswith(_LOCAL):
        path = Path(base.removeprefix("file://")).expanduser()
        root, base = path.parent.parent, f"{path.parent.name}/{path.name}"
    owner, slash, name = base.partition("/")
    if not slash or not is_repo_part(owner) or not is_repo_part(name):
        raise ConfigError(
            f"{word!r} names no repository.\n"
            "  Write owner/name, owner/name@REVISION, or the path of one in a folder: ./FOLDER/owner/name"
        )
    return RepoWord(Repo(owner, name), revision or None, root)


def check_revision(revision: str) -> str:
    """The name of a branch or a tag. Raises ConfigError for what cannot be one."""
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise ConfigError(f"{revision!r} cannot name a revision.\n  Allowed: letters, digits, and . _ - between them")
    return revision


def is_repo_part(text: str) -> bool:
    """Whether an owner or a repository can be called so."""
    return bool(_PART.fullmatch(text)) and ".." not in text and "--" not in text and not text.endswith(".git")
