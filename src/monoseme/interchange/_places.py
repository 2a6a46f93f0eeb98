"""Where a foreign SAE learned, and where its file is."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ForeignError
from monoseme.models.site import Site


class SaidSite(NamedTuple):
    """Where an SAE learned, as its files say."""

    site: str | None
    """Comma-parted for several; None where they do not say."""
    notes: tuple[str, ...] = ()
    """What was assumed, or is missing."""


def with_site(config: Any, asked: str | None, known: str | None) -> Any:
    """The config of an SAE at the places that a setting asks for, else those that the files say, else at none (comma-parted).

    Raises SiteError for a text that is no site.
    """
    text = asked or known
    if text is None:
        return config
    return replace(config, sites=tuple(str(Site.parse(part.strip())) for part in text.split(",")))


def only_file(path: Path, suffixes: Sequence[str]) -> Path | None:
    """`path` where it is a file of one of the suffixes, or the only such file of that folder; None otherwise."""
    if path.is_file():
        return path if path.suffix in suffixes else None
    found = [p for p in sorted(path.glob("*")) if p.suffix in suffixes and p.is_file()] if path.is_dir() else []
    return found[0] if len(found) == 1 else None


def require_file(path: Path, suffixes: Sequence[str]) -> Path:
    """As `only_file`. Raises ForeignError where there is none, or several."""
    found = only_file(path, suffixes)
    if found is None:
        raise ForeignError(f"{path} should be, or hold, exactly one file {' or '.join('*' + s for s in suffixes)}")
    return found
