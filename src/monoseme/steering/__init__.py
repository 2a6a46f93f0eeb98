"""Steering: methods that change what a model says, one file each; strengths, conditions, directions. Imports no torch."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.steering._registry import STEERING
from monoseme.steering._strength import LatentFacts, Strength, Unit

if TYPE_CHECKING:
    from monoseme.steering._base import EVERYWHERE, Aim, SteeringMethod
    from monoseme.steering._conditions import (
        AtPositions,
        AtTokens,
        Condition,
        Everywhere,
        FromPosition,
        OnlyGenerated,
        OnlyPrompt,
        WhileFires,
    )
    from monoseme.steering._directions import (
        Direction,
        decoder_direction,
        difference_in_means,
        probe_direction,
        random_direction,
    )
    from monoseme.steering._exported import export_vectors, read_vectors
    from monoseme.steering._facts import mean_norm, measured_facts

__all__ = [
    "EVERYWHERE",
    "STEERING",
    "Aim",
    "AtPositions",
    "AtTokens",
    "Condition",
    "Direction",
    "Everywhere",
    "FromPosition",
    "LatentFacts",
    "OnlyGenerated",
    "OnlyPrompt",
    "SteeringMethod",
    "Strength",
    "Unit",
    "WhileFires",
    "decoder_direction",
    "difference_in_means",
    "export_vectors",
    "mean_norm",
    "measured_facts",
    "probe_direction",
    "random_direction",
    "read_vectors",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "_base": ["EVERYWHERE", "Aim", "SteeringMethod"],
        "_conditions": [
            "AtPositions",
            "AtTokens",
            "Condition",
            "Everywhere",
            "FromPosition",
            "OnlyGenerated",
            "OnlyPrompt",
            "WhileFires",
        ],
        "_directions": ["Direction", "decoder_direction", "difference_in_means", "probe_direction", "random_direction"],
        "_exported": ["export_vectors", "read_vectors"],
        "_facts": ["mean_norm", "measured_facts"],
    },
)
