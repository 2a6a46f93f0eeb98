"""One layer of an SAE that has one dictionary for several: the same weights as an SAE that reads tokens."""

from dataclasses import fields
from typing import Any

import torch

from monoseme.saes._base import SAE
from monoseme.saes._export import folded_config, folded_state, successor
from monoseme.saes._lens import SiteLens
from monoseme.saes._registry import SAES


@torch.no_grad()
def one_site(sae: SAE, site: int, *, lens: SiteLens | None) -> SAE:
    """The architecture `topk`, or `lensed_topk` with the map of `lens` at that site, on raw activations of site number `site`."""
    config = folded_config(sae.config)
    kind = SAES.get("topk" if lens is None else "lensed_topk")
    names = {setting.name for setting in fields(kind.Config)} & {setting.name for setting in fields(config)}
    settings: dict[str, Any] = {name: getattr(config, name) for name in names}
    settings["sites"] = None if config.sites is None else (config.sites[site],)
    made = kind(kind.Config(**settings))
    state = folded_state(sae)
    if lens is not None:
        state |= {"lens.weight": lens.weight[site : site + 1], "lens.bias": lens.bias[site : site + 1]}
    return successor(sae, made, state)
