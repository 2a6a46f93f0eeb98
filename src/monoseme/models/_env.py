"""The hub's token and cache: from the environment, else from a `.env` file in the working folder.

A variable that is set wins over the file. Values are handed on explicitly; the environment itself is left alone.
"""

import os
from pathlib import Path
from typing import NamedTuple


class HubSettings(NamedTuple):
    """What hub downloads need; None leaves it to huggingface_hub (environment, then its own login)."""

    token: str | None
    cache_dir: Path | None


def hub_settings(folder: Path | None = None) -> HubSettings:
    """`HF_TOKEN` and `HF_HOME` of `folder/.env` (default: the working folder) where the environment does not set them."""
    values = read_env(folder or Path.cwd())
    token = None if "HF_TOKEN" in os.environ else values.get("HF_TOKEN")
    is_cache_set = "HF_HOME" in os.environ or "HF_HUB_CACHE" in os.environ
    home = None if is_cache_set else values.get("HF_HOME")
    return HubSettings(token or None, Path(home).expanduser() / "hub" if home else None)


def read_env(folder: Path) -> dict[str, str]:
    """The assignments of `folder/.env`: `NAME=value` lines, `export` allowed, quotes taken off; {} when there is no file."""
    path = folder / ".env"
    if not path.is_file():
        return {}
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").split("\n")]
    pairs = (line.removeprefix("export ").partition("=") for line in lines if line and not line.startswith("#"))
    return {name.strip(): _value(value.strip()) for name, equals, value in pairs if equals}


def _value(text: str) -> str:
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1)
        return text[1:end] if end > 0 else text[1:]
    return text.partition(" #")[0].rstrip()
