"""Sparsity over a run: what k or the penalty is at each step, and the controller that steers a penalty to a target L0.

**The controller** moves u, the logarithm of the factor on an SAE's penalty, once in a few steps:

    u = sum + gain * ln(L0 / target),    sum += steps * ln(L0 / goal) / horizon

An integral controller whose proportional term starts from zero, whatever L0 is then. Logarithms, because L0 answers to a multiple
of the penalty with a multiple of itself, about alike at L0 20 and 100. L0 answers over tens to hundreds of steps, so while it
falls the proportional term takes back what the sum has piled up: L0 comes down in an exponential of gain * horizon steps whatever
the distance, and does not fall through the goal, from below which it would be slow to return (silent latents learn nothing).

- **Wind-up.** At the beginning L0 moves by itself, and late in a run slowly; an integral would run away. So u has bounds,
  which the sum gives way to, and a largest change per step; and it does not grow where the penalty already outweighs the
  reconstruction by far, nor shrink where it is nothing beside it: further it would have no effect, only a long way back. That
  measure needs no knowledge of coefficients: where L0 is at rest, penalty and reconstruction are of one order.
- **Decay of the learning rate.** L0 answers more slowly as steps shrink: the integral slows down in the same proportion.
- **Device.** Numbers are added up where the SAE is and read once in a few steps; the rest is Python's float64, which a checkpoint
  keeps exactly on any device.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from monoseme.core.display import get_display
from monoseme.saes import Losses
from monoseme.training.config import SparsityConfig

_READ_EVERY = 5
"""Steps of which the means are taken before the factor moves: a step's own L0 is noisy, and reading it waits for a GPU."""
_GAIN = 3.0
_HORIZON_FRACTION = 1 / 50
_HORIZONS = (20.0, 500.0)
"""Steps. L0 answers within about 100 steps of a run of 3,000, whose default rate is high, and in more of longer ones."""
_LARGEST_MOVE = 0.03
"""Of u in a step: the penalty changes tenfold in no less than 77 steps."""
_SHARES = (0.02, 50.0)
"""Penalty over reconstruction, as they enter the loss, outside of which the factor goes no further."""
_NEAR = 0.05
"""Error of ln L0 below which a bound does not matter."""
_SETTLED = 0.3
"""Part of the run before which nothing is said about a target out of reach."""


def annealed(step: int, *, config: SparsityConfig, n_steps: int) -> float:
    """Multiple of k, or of the target L0, at the 0-based `step`: geometric from `start_factor` to 1, then 1."""
    n_annealing = config.anneal_fraction * n_steps
    return config.start_factor ** (1.0 - step / n_annealing) if step < n_annealing else 1.0


def annealed_k(k: int, step: int, *, config: SparsityConfig, n_steps: int, n_latents: int) -> int:
    """k at a step of the annealing: rounded, and never below the k of the end nor above the number of latents."""
    return min(n_latents, max(k, round(k * annealed(step, config=config, n_steps=n_steps))))


def warmed_up(step: int, *, config: SparsityConfig, n_steps: int) -> float:
    """Part of the penalty that is in force at the 0-based `step`: linear over the warm-up, never 0."""
    n_warming = config.warmup_fraction * n_steps
    return min(1.0, (step + 1) / n_warming) if n_warming > 0 else 1.0


class SparsityController:
    """Steers the factor on one SAE's penalty so that its L0 becomes `target`."""

    def __init__(self, name: str, *, target: float, config: SparsityConfig, n_steps: int) -> None:
        """`name` is the SAE's, for messages; `target` is the L0 (latents per token) to end at."""
        self.target = target
        self.saturated = False
        """Whether the factor is at a bound and the error would push it further: so far this target is out of reach."""
        self._name, self._config, self._n_steps = name, config, n_steps
        self._bounds = (math.log(config.smallest_factor), math.log(config.largest_factor))
        self._horizon = min(max(_HORIZON_FRACTION * n_steps, _HORIZONS[0]), _HORIZONS[1])
        self._u = 0.0
        self._sum: float | None = None
        self._batch: Tensor | None = None
        self._n = 0
        self._told = False

    def __repr__(self) -> str:
        return f"SparsityController({self._name!r}, target={self.target:g}, factor={self.factor:g})"

    @property
    def factor(self) -> float:
        """What multiplies the penalty."""
        return math.exp(self._u)

    def goal(self, step: int) -> float:
        """The L0 that a step is held against: the target, or what annealing makes of it."""
        return self.target * annealed(step, config=self._config, n_steps=self._n_steps)

    def observe(self, losses: Losses, *, l0: Tensor | None, step: int, rate: float) -> None:
        """Takes in the losses of the 0-based `step`, and moves the factor when enough of them are together.

        `l0` is that of the batch, `rate` the learning rate as a fraction of its peak. The penalty is the part called `sparsity`.
        """
        numbers = _measured(losses, l0)
        if numbers is None:
            return
        self._batch = numbers if self._batch is None else self._batch + numbers
        self._n += 1
        if self._n == _READ_EVERY:
            mean_l0, penalty, reconstruction = (self._batch / self._n).tolist()
            self._batch, self._n = None, 0
            self._move(mean_l0, share=penalty / reconstruction if reconstruction > 0.0 else math.inf, step=step, rate=rate)

    def _move(self, l0: float, *, share: float, step: int, rate: float) -> None:
        if warmed_up(step, config=self._config, n_steps=self._n_steps) < 1.0:
            return  # the penalty rises by itself: what L0 does says nothing yet about the factor
        log_l0 = math.log(max(l0, 0.01 * self.target))  # nothing at all may fire
        error, proportional = log_l0 - math.log(self.goal(step)), _GAIN * (log_l0 - math.log(self.target))
        before = self._u - proportional if self._sum is None else self._sum
        wanted = before + _READ_EVERY * rate * error / self._horizon + proportional
        low = max(self._bounds[0], self._u if share < _SHARES[0] else -math.inf)
        high = min(self._bounds[1], self._u if share > _SHARES[1] else math.inf)
        allowed = min(max(wanted, low), high)
        self._sum = allowed - proportional
        largest = _READ_EVERY * _LARGEST_MOVE
        self._u += min(max(allowed - self._u, -largest), largest)
        self.saturated = (wanted < low and error < -_NEAR) or (wanted > high and error > _NEAR)
        self._tell(l0, step)

    def _tell(self, l0: float, step: int) -> None:
        """Says once, when the run should have settled, that the target is out of reach."""
        if not self.saturated or self._told or step < _SETTLED * self._n_steps:
            return
        self._told = True
        side, bound = ("below", "smallest") if l0 < self.target else ("above", "largest")
        get_display().warn(
            f"{self._name}: L0 is {l0:.3g}, {side} its target {self.target:g}, and the penalty cannot help: it is multiplied by "
            f"{self.factor:.3g} and has reached its {bound}.\n"
            f"  Choose another target_l0 or number of latents, train for longer, or widen sparsity.{bound}_factor."
        )

    def state(self) -> dict[str, Any]:
        """What a resume needs, as JSON-able numbers, which keep every bit."""
        return {
            "u": self._u,
            "sum": self._sum,
            "measured": None if self._batch is None else self._batch.tolist(),
            "n": self._n,
            "saturated": self.saturated,
            "told": self._told,
        }

    def load_state(self, state: Mapping[str, Any], *, device: torch.device) -> None:
        """Takes up what `state` gave."""
        self._u, self._sum, self._n = state["u"], state["sum"], state["n"]
        measured = state["measured"]
        self._batch = None if measured is None else torch.tensor(measured, dtype=torch.float32, device=device)
        self.saturated, self._told = state["saturated"], state["told"]


def _measured(losses: Losses, l0: Tensor | None) -> Tensor | None:
    """L0, penalty and reconstruction of a batch, float32 [3]; None for an SAE that does not say what is active."""
    if l0 is None:
        return None
    named = [_sum_of(losses, name, like=l0) for name in ("sparsity", "reconstruction")]
    return torch.stack([l0, *named])


def _sum_of(losses: Losses, name: str, *, like: Tensor) -> Tensor:
    """The parts of a loss whose names begin so, added up; 1 where there are none, so that no bound comes of them."""
    found = [part.detach().to(like.dtype) for key, part in losses.parts.items() if key.startswith(name)]
    return torch.stack(found).sum() if found else torch.ones_like(like)
