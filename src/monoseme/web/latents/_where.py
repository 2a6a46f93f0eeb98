"""Filters of the table of latents as SQL. Whatever the reader typed is a bound value, never part of a statement."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from monoseme.atlas.search.statistics import parse_condition
from monoseme.core.errors import ConfigError
from monoseme.web.latents._query import LatentFilter
from monoseme.web.run_files import BadRequestError

_STATES = {"all": "true", "alive": "density > 0", "dead": "density = 0", "explained": "explanation IS NOT NULL"}
_BOUNDED = ("density", "max", "score")
_MOST_DIGITS = 9
"""Of a number that is looked for as an index: more than any SAE has."""


class Where(NamedTuple):
    """A condition on rows of `latents`."""

    sql: str
    values: tuple[Any, ...]


def where(asked: LatentFilter, *, types: Mapping[str, str]) -> Where:
    """The filters, but for a search that ranks; `types` are the columns that a statement may name.

    Raises BadRequestError for a statement that cannot be read.
    """
    parts = [Where(_STATES[asked.state], ()), *_only(asked), *_bounds(asked), *_search(asked), *_statement(asked, types)]
    return Where(" AND ".join(f"({part.sql})" for part in parts), tuple(value for part in parts for value in part.values))


def density_column(role: str) -> str:
    """The column of densities, quoted: over all tokens, or over those of a role."""
    return quoted(f"density_{role}" if role else "density")


def quoted(name: str) -> str:
    """A name of a column as SQL."""
    return '"' + name.replace('"', '""') + '"'


def _only(asked: LatentFilter) -> list[Where]:
    chosen = [int(index) for index in asked.only.split(",") if index]
    return [Where("latent IN (SELECT unnest(?::BIGINT[]))", (chosen,))] if chosen else []


def _bounds(asked: LatentFilter) -> list[Where]:
    found = list[Where]()
    for name in _BOUNDED:
        column = density_column(asked.role) if name == "density" else quoted(name)
        for end, sign in (("min", ">="), ("max", "<=")):
            bound: float | None = getattr(asked, f"{name}_{end}")
            if bound is not None:
                found.append(Where(f"{column} {sign} ?", (bound,)))
    return found


def _search(asked: LatentFilter) -> list[Where]:
    text = asked.q.strip().lower()
    if not text or asked.ranks:
        return []
    number = text.removeprefix("#")
    if number.isdecimal() and len(number) <= _MOST_DIGITS:
        return [Where("contains(_searched, ?) OR latent = ?", (text, int(number)))]
    return [Where("contains(_searched, ?)", (text,))]


def _statement(asked: LatentFilter, types: Mapping[str, str]) -> list[Where]:
    if not asked.where.strip():
        return []
    try:
        return [Where(*parse_condition(asked.where, types))]
    except ConfigError as error:
        raise BadRequestError(f"where: {error}") from error
