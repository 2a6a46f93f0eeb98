"""A planted dictionary: data made of known directions, so that one can ask how many of them an SAE found.

Letters: N samples, D width, G planted directions, F latents.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from monoseme.core.seeds import generator
from monoseme.saes._base import SAE
from monoseme.saes._codes import Losses
from monoseme.tensors.shapes import Float, Tensor


@dataclass(frozen=True, eq=False)
class PlantedDictionary:
    """Unit directions that are on independently, with exponential sizes."""

    directions: Float[Tensor, "G D"]
    """Unit rows."""
    n_active: float
    """Directions on in a sample, on average (count)."""
    seed: int

    def sample(self, n: int, *, part: str | int = 0) -> Float[Tensor, "N D"]:
        """n sums of directions, float32. `part` names an independent draw; the same name gives the same bits."""
        n_directions = self.directions.shape[0]
        stream = generator(self.seed, "planted", "sample", part)
        on = torch.rand(n, n_directions, generator=stream) < self.n_active / n_directions
        sizes = torch.empty(n, n_directions).exponential_(generator=stream)
        return (sizes * on) @ self.directions


def planted_dictionary(*, n_directions: int = 64, width: int = 32, n_active: float = 4.0, seed: int = 0) -> PlantedDictionary:
    """`n_directions` random unit vectors, each on with probability n_active / n_directions, with sizes from Exp(1).

    >>> planted_dictionary().sample(3).shape
    torch.Size([3, 32])
    """
    directions = torch.randn(n_directions, width, generator=generator(seed, "planted", "directions"))
    return PlantedDictionary(functional.normalize(directions, dim=1), n_active, seed)


def recovery(directions: Float[Tensor, "G D"], W_dec: Float[Tensor, "F D"], *, cosine: float = 0.9) -> float:
    """Fraction (0 to 1) of the planted directions to which some decoder row has a cosine above `cosine`.

    Two directions may be matched by one row only if they are that close themselves.
    """
    planted = functional.normalize(directions.detach().double(), dim=1)
    learned = functional.normalize(W_dec.detach().double(), dim=1)
    return float(((planted @ learned.T).amax(1) > cosine).double().mean())


def fit(
    sae: SAE,
    draw: Callable[[int], Tensor],
    *,
    n_steps: int,
    lr: float = 3e-3,
    on_step: Callable[[int, Losses], None] | None = None,
) -> list[float]:
    """The smallest honest training loop, for tests: Adam, constant rate with a linear fall to zero over the last half.

    `draw(step)` gives the raw batch of a step; the SAE starts from `draw(0)`. Returns the loss of each step.
    """
    sae.start(draw(0))
    optimiser = torch.optim.Adam(sae.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, 2 * (1 - step / n_steps)))
    totals: list[float] = []
    for step in range(n_steps):
        losses = sae.loss(draw(step))
        optimiser.zero_grad()
        losses.total.backward()
        sae.project_gradients()
        optimiser.step()
        schedule.step()
        sae.after_step(losses)
        totals.append(losses.total.item())
        if on_step is not None:
            on_step(step, losses)
    return totals
