"""Ways to steer that stand side by side: the methods on the latent itself, and the baselines.

All that is added to activations is as long as what the latent writes at the same strength: a random direction and a difference of
means differ from it in where they point, not in how far they push. The prompt baseline has no strength.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.splice import Placed
from monoseme.steering import (
    STEERING,
    Aim,
    Direction,
    LatentFacts,
    SteeringMethod,
    Strength,
    Unit,
    decoder_direction,
    random_direction,
)
from monoseme.studies._steering.writing import Way

RANDOM, DIFFERENCE, PROMPT = "random", "difference_in_means", "prompt"
BASELINES = (RANDOM, DIFFERENCE, PROMPT)
_BY_ADDITION = "additive"


class Arm(NamedTuple):
    """One way to steer one latent."""

    name: str
    strengths: tuple[float, ...]
    """In the study's unit; 1 alone for a way that has no strength."""
    way: Callable[[float], Way]


class Material(NamedTuple):
    """What arms of one latent are made of."""

    placed: Placed
    latent: int
    facts: LatentFacts
    difference: NDArray[np.float64] | None
    """Mean activation where it fires less that where it does not, [D]; None where that is not known."""
    excerpt: Sequence[int]
    """Tokens of text on which it fires."""


class Sweep(NamedTuple):
    """What is tried."""

    methods: tuple[str, ...]
    baselines: tuple[str, ...]
    strengths: tuple[float, ...]
    unit: Unit
    seed: int

    def check(self) -> None:
        """Raises ConfigError for a baseline there is not and a unit that a method does not take, UnknownPluginError."""
        unknown = [name for name in self.baselines if name not in BASELINES]
        if unknown:
            raise ConfigError(f"there is no baseline {', '.join(unknown)}.\n  Allowed: {', '.join(BASELINES)}")
        for name in self.methods:
            if self.unit not in STEERING.get(name).units:
                raise ConfigError(f"{name} takes no strength in {self.unit}.\n  Allowed: {', '.join(STEERING.get(name).units)}")


def arms_of(material: Material, sweep: Sweep) -> tuple[list[Arm], dict[str, str]]:
    """The arms, and those that cannot be: name -> why."""
    made = [_of_method(name, STEERING.get(name)(), material, sweep) for name in sweep.methods]
    left_out: dict[str, str] = {}
    written = decoder_direction(material.placed, material.latent).vector
    length = float(written.norm())
    if RANDOM in sweep.baselines:
        seed = derive_seed(sweep.seed, "steering", "direction", material.latent)
        made.append(_of_direction(RANDOM, random_direction(len(written), seed=seed, length=length), material, sweep))
    if DIFFERENCE in sweep.baselines:
        if material.difference is None:
            left_out[DIFFERENCE] = "it fires on too few of the tokens that means are taken over"
        else:
            difference = Direction(torch.from_numpy(material.difference).float(), f"difference in means of {material.latent}")
            made.append(_of_direction(DIFFERENCE, difference.scaled_to(length), material, sweep))
    if PROMPT in sweep.baselines:
        if not material.excerpt:
            left_out[PROMPT] = "all its firings are in text that concepts are found in"
        else:
            before = tuple(material.excerpt)
            made.append(Arm(PROMPT, (1.0,), lambda _: Way(before=before)))
    return made, left_out


def _of_method(name: str, method: SteeringMethod, material: Material, sweep: Sweep) -> Arm:
    def way(strength: float) -> Way:
        aim = Aim(material.latent, Strength(strength, sweep.unit), material.facts)
        return Way(edits=tuple(method.edits(material.placed, [aim])))

    return Arm(name, sweep.strengths, way)


def _of_direction(name: str, direction: Direction, material: Material, sweep: Sweep) -> Arm:
    method = STEERING.get(_BY_ADDITION)()

    def way(strength: float) -> Way:
        aim = Aim(direction, Strength(strength, sweep.unit), material.facts)
        return Way(edits=tuple(method.edits(material.placed.outputs[0], [aim])))

    return Arm(name, sweep.strengths, way)
