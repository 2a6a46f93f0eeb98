"""What a path of this machine is called in files that leave it: by its last part, so that a reader still sees what it was."""

import re
from pathlib import PurePosixPath, PureWindowsPath

_PATH = re.compile(r"^(?:/|~|\.\.?/|\.\.?\\|[A-Za-z]:[\\/]|\\\\|file://)[^\n]*$")


def is_path(text: str) -> bool:
    """Whether a whole text can be nothing but a path; `data/x.jsonl` can be a name of the hub too."""
    return _PATH.match(text) is not None


def last_part(path: str) -> str:
    """The last part of a path of any system; a path without one stays."""
    plain = path.removeprefix("file://")
    name = PureWindowsPath(plain).name if "\\" in plain or re.match(r"[A-Za-z]:", plain) else PurePosixPath(plain).name
    return path if name in ("", "~", "..") else name
