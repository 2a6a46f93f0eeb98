"""Pages of which a part is made from the code, between two marks, so that page and code cannot drift apart."""

from monoseme.core.errors import ConfigError


def with_made_part(page: str, *, start: str, end: str, made: str) -> str:
    """The page with what stands between its marks replaced by `made`. Raises ConfigError where a mark is not there."""
    before, start_found, rest = page.partition(start)
    _, end_found, after = rest.partition(end)
    if not (start_found and end_found):
        raise ConfigError(f"the page lacks its marks.\n  Write into it, each on a line of its own:\n  {start}\n  {end}")
    return f"{before}{start}\n\n{made}\n\n{end}{after}"
