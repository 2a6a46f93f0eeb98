"""Steering vectors as files that need no monoseme to be used.

    FOLDER/steering_vector.safetensors   one float32 tensor [D] for each site, by the site's name ("resid_post.3")
    FOLDER/steering_vector.json          the model, and for each vector where it is added: the module by its name in
                                         transformers and whether to its `input` or its `output`; what it was made of

Only addition is a vector: h' = h + v at every token that is not special. Written by `export_vectors`, read by `read_vectors` and
by ten lines of transformers (docs/steering.md).

Letters: D width.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from monoseme.core.errors import ArtifactDamagedError, ConfigError, SiteError
from monoseme.core.files import write_atomic, write_json
from monoseme.models import LanguageModel, Site
from monoseme.splice import Placed
from monoseme.steering._base import Aim, SteeringMethod
from monoseme.steering._directions import Direction
from monoseme.steering._residual import acting_sites
from monoseme.steering.additive import Additive, steering_vector
from monoseme.tensors.shapes import Tensor

_TENSORS, _FACTS = "steering_vector.safetensors", "steering_vector.json"
_FORMAT = 1
_HOOKS: Mapping[str, str] = {"resid_pre": "input", "resid_post": "output"}
"""Kind of site -> what of the block's module it is; the others are inside of one."""


def export_vectors(
    folder: Path,
    model: LanguageModel,
    method: SteeringMethod,
    place: Placed | Site,
    aims: Sequence[Aim],
    *,
    sites: Sequence[Site] | None = None,
) -> Path:
    """Writes both files into a folder, which is made, and gives it back.

    Raises ConfigError for a method other than additive, SiteError for a site that the model lacks or that is not the input or the
    output of a block, and what `SteeringMethod.edits` raises.
    """
    if not isinstance(method, Additive):
        raise ConfigError(f"{method.plugin_name} is no vector that could be added ({method.formula}): only additive is exported")
    found: dict[Site, Tensor] = {}
    for site in acting_sites(place, sites):
        model.spec.check(site)
        if site.kind not in _HOOKS:
            raise SiteError(f"{site} is inside of a block: only vectors at {', '.join(_HOOKS)} are exported")
        found[site] = steering_vector(method.along(place, aims, site)).contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / _TENSORS, save({str(site): vector for site, vector in found.items()}))
    facts = {
        "format": _FORMAT,
        "model": {"name": model.config.model, "content_hash": model.content_hash()},
        "method": method.plugin_name,
        "formula": "h + vector at every token that is not special",
        "vectors": [_placed(model, site, vector) for site, vector in found.items()],
        "made_of": [_described(aim) for aim in aims],
    }
    write_json(folder / _FACTS, facts)
    return folder


def read_vectors(folder: Path) -> dict[Site, Direction]:
    """What `export_vectors` wrote; a strength of 1raw adds it as it was. Raises ArtifactDamagedError for anything else."""
    try:
        facts: Mapping[str, Any] = json.loads((folder / _FACTS).read_bytes())
        tensors = load((folder / _TENSORS).read_bytes())
        name = " + ".join(f"{made['strength']} {made['of']}" for made in facts["made_of"])
        vectors = {Site.parse(placed["site"]): tensors[placed["site"]] for placed in facts["vectors"]}
        if facts["format"] != _FORMAT or any(vector.ndim != 1 for vector in vectors.values()):
            raise ValueError(f"it is of format {facts['format']}, and this version reads {_FORMAT}")
    except (OSError, LookupError, TypeError, ValueError, RecursionError, SafetensorError, SiteError) as error:
        raise ArtifactDamagedError(f"{folder} holds no steering vector: {error}.\n  Export it again.") from error
    return {site: Direction(vector.float(), name) for site, vector in vectors.items()}


def _placed(model: LanguageModel, site: Site, vector: Tensor) -> dict[str, Any]:
    """Where a vector is added, for programs that know transformers alone."""
    return {
        "site": str(site),
        "layer": site.layer,
        "module": model.block_names[site.layer].removesuffix("."),
        "hook": _HOOKS[site.kind],
        "width": len(vector),
        "norm": float(vector.double().norm()),
    }


def _described(aim: Aim) -> dict[str, Any]:
    return {
        "of": aim.name,
        "latent": aim.target if isinstance(aim.target, int) else None,
        "strength": str(aim.strength),
        "maximum": aim.facts.maximum,
        "mean_norm": aim.facts.mean_norm,
    }
