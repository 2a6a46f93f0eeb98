"""Sparse autoencoders: the contract, and one public file per architecture. Importing this imports no torch."""

import importlib
from typing import TYPE_CHECKING, Any

from monoseme.saes._registry import SAES, build, config_from_dict, config_to_dict

if TYPE_CHECKING:
    from monoseme.saes._base import SAE
    from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
    from monoseme.saes._export import folded_copy
    from monoseme.saes._normalise import NormaliseConfig
    from monoseme.saes._reconstruct import MOVES, MOVES_WITH_AUXK, AuxK, reconstruction_losses, rows_of
    from monoseme.saes._store import load_sae, save_sae

__all__ = [
    "DEFAULT_KNOBS",
    "MOVES",
    "MOVES_WITH_AUXK",
    "SAE",
    "SAES",
    "AuxK",
    "Codes",
    "Knobs",
    "Losses",
    "NormaliseConfig",
    "build",
    "config_from_dict",
    "config_to_dict",
    "folded_copy",
    "load_sae",
    "reconstruction_losses",
    "rows_of",
    "save_sae",
]

_LAZY = {
    "DEFAULT_KNOBS": "_codes",
    "MOVES": "_reconstruct",
    "MOVES_WITH_AUXK": "_reconstruct",
    "SAE": "_base",
    "AuxK": "_reconstruct",
    "Codes": "_codes",
    "Knobs": "_codes",
    "Losses": "_codes",
    "NormaliseConfig": "_normalise",
    "folded_copy": "_export",
    "load_sae": "_store",
    "reconstruction_losses": "_reconstruct",
    "rows_of": "_reconstruct",
    "save_sae": "_store",
}


def __getattr__(name: str) -> Any:
    """Imports what needs torch when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
