"""From the names that other tools give to places in a model to ours.

Names of TransformerLens, as SAELens and Llamascopium use them. Source: `HookedTransformer`'s hook names; its `hook_attn_out`
and `hook_mlp_out` come after Gemma's post-norms, as ours do; `hook_attn_in` and `hook_mlp_in` come before the norm: none of ours.

| theirs | ours |
|---|---|
| `blocks.L.hook_resid_pre` | `resid_pre.L` |
| `blocks.L.attn.hook_z`, heads side by side | `head_out.L` |
| `blocks.L.hook_attn_out` | `attn_out.L` |
| `blocks.L.hook_mlp_out` | `mlp_out.L` |
| `blocks.L.hook_resid_post` | `resid_post.L` |
"""

import re
from collections.abc import Callable, Sequence

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError, SiteError
from monoseme.models.site import KINDS, Site

SKIP = "skip"
_HOOKS = {
    "hook_resid_pre": "resid_pre",
    "attn.hook_z": "head_out",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
    "hook_resid_post": "resid_post",
}


def hook_site(name: str) -> Site | None:
    """The site of a hook name of TransformerLens; None for one that is not known to be a site of ours."""
    match = re.fullmatch(r"blocks\.(\d{1,6})\.(.+)", name, re.ASCII)
    kind = _HOOKS.get(match[2]) if match else None
    return Site(kind, int(match[1])) if match and kind else None


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
