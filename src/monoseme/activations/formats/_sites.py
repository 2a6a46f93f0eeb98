"""Which place of a foreign store is which site of ours: as told, else as its name is known to mean."""

from collections.abc import Callable, Sequence

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError, SiteError
from monoseme.models.site import KINDS, Site

SKIP = "skip"


def map_sites(names: Sequence[str], given: Sequence[str], known: Callable[[str], Site | None]) -> dict[str, Site]:
    """The site of each name of a store: what `given` says ("NAME=SITE", "NAME=skip", or one bare "SITE"), else what is known.

    Raises SiteError for names without a site and two names with one, ConfigError for a name that the store does not have.
    """
    said = _said(names, given)
    found: dict[str, Site] = {}
    unknown: list[str] = []
    for name in names:
        if said.get(name) == SKIP:
            continue
        site = Site.parse(said[name]) if name in said else known(name)
        if site is None:
            unknown.append(name)
        elif site in found.values():
            raise SiteError(f"two places of the store are {site}: {name} and {next(n for n, s in found.items() if s == site)}")
        else:
            found[name] = site
    if unknown:
        example = unknown[0] if len(names) > 1 else ""
        raise SiteError(
            f"it is not known which site of a model is meant by {', '.join(unknown)}.\n"
            f"  Say so with --site {example + '=' if example else ''}resid_post.12"
            + (f", or leave it out with --site {example}={SKIP}" if example else "")
            + f"\n  Kinds: {', '.join(KINDS)}"
        )
    if not found:
        raise SiteError("every place of the store is left out: --site leaves nothing to import")
    return found


def _said(names: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    said: dict[str, str] = {}
    for word in given:
        name, equals, site = word.rpartition("=")
        if not equals:
            if len(names) != 1 or len(given) != 1:
                raise ConfigError(
                    f"--site {word} does not say which place of the store it is.\n"
                    f"  Write NAME=SITE with one of: {', '.join(names)}"
                )
            name = names[0]
        if name not in names:
            raise ConfigError(f'the store has no place named "{name}".{suggest(name, names)}\n  Allowed: {", ".join(names)}')
        said[name] = site
    return said
