"""Takes out of settings and records what tells of this machine: paths, its name, its user.

A setting that is a path keeps its last part (`/data/models/pythia` becomes `pythia`), so that a reader still sees what it was. Of
the environment part of a manifest only what tells nothing of a machine stays.
"""

import getpass
import re
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from monoseme.core.elsewhere import is_path, last_part
from monoseme.models.local import name_elsewhere

_KEPT_FACTS = ("started", "seconds", "python", "n_tokens")
"""Of an environment part: when, how long, which Python, how much."""
_FEWEST = 4
"""Names of machines and users with fewer letters are also words."""


class Scrubber(NamedTuple):
    """What is looked for, and what stands in its place."""

    folders: tuple[str, ...]
    """Paths that may stand within a longer text, the longest first: the home folder, the working one, that of drafts."""
    host: str | None
    user: str | None
    renamed: tuple[tuple[str, str], ...] = ()
    """Models that are called otherwise: one in a folder by its name on the hub."""

    @classmethod
    def of_this_machine(cls, renamed: Mapping[str, str] | None = None) -> "Scrubber":
        """With the names of this machine."""
        found = {str(Path.home()), str(Path.cwd()), tempfile.gettempdir()}
        folders = sorted((f for f in found if len(PurePosixPath(f).parts) > 1), key=len, reverse=True)
        return cls(tuple(folders), _named(socket.gethostname()), _named(_user()), tuple((renamed or {}).items()))

    def clean(self, value: Any) -> Any:
        """The same without what tells of this machine; tables and lists all the way down, their keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._setting(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.clean(item) for item in value]
        return value

    def _setting(self, key: str, value: Any) -> Any:
        return self.model(value) if key == "model" and isinstance(value, str) else self.clean(value)

    def model(self, name: str) -> str:
        """A language model by its folder or its name: `./NAME` for a folder, if it is not told to be called otherwise."""
        return dict(self.renamed).get(name) or name_elsewhere(name)

    def text(self, text: str) -> str:
        """One text that is not a model."""
        if is_path(text):
            return last_part(text)
        for folder in self.folders:
            text = re.sub(rf"(?<![\w.]){re.escape(folder)}(?:[\\/][^\s\"'<>|:*?]*)?(?![\w])", _last_of_match, text)
        if self.user:
            text = re.sub(rf"(?<![\w.-]){re.escape(self.user)}@[\w.-]+", "user@host", text)
        if self.host:
            text = re.sub(rf"(?<![\w.-]){re.escape(self.host)}(?![\w-])", "host", text)
        return text


def kept_environment(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Of a manifest's environment, what may leave this machine: numbers, a date, a version; never free text."""
    found = {key: environment[key] for key in _KEPT_FACTS if key in environment}
    return {
        key: value for key, value in found.items() if isinstance(value, int | float) or re.fullmatch(r"[\w.:+-]+", str(value))
    }


def _last_of_match(match: "re.Match[str]") -> str:
    return last_part(match[0])


def _named(name: str | None) -> str | None:
    known = name is not None and len(name) >= _FEWEST and name not in ("localhost", "root", "user")
    return name if known else None


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may have no name for its user
        return None
