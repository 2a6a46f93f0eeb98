"""The same latent elsewhere: at the other sites, or in the other parts of the codes, of its SAE; and with each speaker."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas import Atlas
from monoseme.web.latent.answers import Layer, RoleDensity
from monoseme.web.run_files import RunFiles


def layers(files: RunFiles, atlas: Atlas, sae: str, index: int) -> list[Layer]:
    """The latent in each scanned part and site of the SAE behind `sae`, sites in order; none where there is only one."""
    name = str(files.described(sae)["name"])
    keys = files.keys_of(name)
    if len(keys) < 2:
        return []
    order = files.sites_of(name) if name in files.sae_paths() else []
    keys.sort(key=lambda key: _place(files.described(key)["site"], order))
    return [_layer(atlas, key, _named(files, key), index) for key in keys if index < atlas.latents(key).n_latents]


def _place(site: str, order: list[str]) -> int:
    return order.index(site) if site in order else len(order)


def _named(files: RunFiles, key: str) -> str:
    """What tells the key from the others of its SAE."""
    described = files.described(key)
    told = [described["part"], described["site"] if "@" in key else None]
    return " at ".join(part for part in told if part) or "all"


def _layer(atlas: Atlas, key: str, name: str, index: int) -> Layer:
    latents = atlas.latents(key)
    stats = latents.stats(latents.row(index))
    return Layer(key=key, name=name, density=stats.density, max=stats.max, mean=stats.mean)


def role_densities(densities: Mapping[str, NDArray[np.float64]], index: int) -> list[RoleDensity]:
    """How often the latent fires with each role, the most often first."""
    found = [RoleDensity(role=role, density=float(of_role[index])) for role, of_role in densities.items()]
    return sorted(found, key=lambda one: -one.density)
