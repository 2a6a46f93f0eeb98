"""Sparse autoencoders: the contract, and one public file per architecture. Importing this imports no torch."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.saes._registry import SAES, build, config_from_dict, config_to_dict

if TYPE_CHECKING:
    from monoseme.saes._auxk import AuxK, AuxKConfig
    from monoseme.saes._base import SAE, InOut, Roles
    from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
    from monoseme.saes._export import folded_copy
    from monoseme.saes._normalise import NormaliseConfig
    from monoseme.saes._parts import part_of
    from monoseme.saes._reconstruct import MOVES, MOVES_WITH_AUXK, reconstruction_losses, rows_of
    from monoseme.saes._sharding import (
        own_tensors,
        sharded,
        whole,
        whole_tensors,
    )
    from monoseme.saes._store import load_sae, save_sae

__all__ = [
    "DEFAULT_KNOBS",
    "MOVES",
    "MOVES_WITH_AUXK",
    "SAE",
    "SAES",
    "AuxK",
    "AuxKConfig",
    "Codes",
    "InOut",
    "Knobs",
    "Losses",
    "NormaliseConfig",
    "Roles",
    "build",
    "config_from_dict",
    "config_to_dict",
    "folded_copy",
    "load_sae",
    "own_tensors",
    "part_of",
    "reconstruction_losses",
    "rows_of",
    "save_sae",
    "sharded",
    "whole",
    "whole_tensors",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "_auxk": ["AuxK", "AuxKConfig"],
        "_base": ["InOut", "Roles", "SAE"],
        "_codes": ["Codes", "DEFAULT_KNOBS", "Knobs", "Losses"],
        "_export": ["folded_copy"],
        "_normalise": ["NormaliseConfig"],
        "_parts": ["part_of"],
        "_reconstruct": ["MOVES", "MOVES_WITH_AUXK", "reconstruction_losses", "rows_of"],
        "_sharding": ["own_tensors", "sharded", "whole", "whole_tensors"],
        "_store": ["load_sae", "save_sae"],
    },
)
