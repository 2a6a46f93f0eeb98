"""A loss through the language model beside the SAE's own: how the two are added. The model itself is the caller's.

    total = reconstruction_weight * (the parts called reconstruction) + (the other parts) + weight * objective

Source: Braun et al. 2024, arXiv:2405.12241 (end-to-end SAEs).
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from monoseme.activations import View
from monoseme.core.errors import ConfigError
from monoseme.saes import Losses
from monoseme.training.config import ObjectiveConfig
from monoseme.training.feed import Rows

Objective = Callable[[str, Losses, Rows], Tensor]
"""From a job's name, its losses (`x_hat` [T, D] with its graph, one row for each position that counts, context by context) and
its contexts, a 0-d loss."""

_NAME = "objective"
_RECONSTRUCTION = "reconstruction"


def with_objective(name: str, losses: Losses, batch: Rows, *, objective: Objective, config: ObjectiveConfig) -> Losses:
    """The losses with the objective as one more part. Raises ConfigError where no part is there to be weighed."""
    parts = dict(losses.parts)
    if config.reconstruction_weight != 1.0:
        own = [part for part in parts if part.startswith(_RECONSTRUCTION)]
        if not own:
            raise ConfigError(
                f"{name} has no part called {_RECONSTRUCTION} that objective.reconstruction_weight could weigh.\n"
                f"  Its parts are: {', '.join(parts)}. Leave objective.reconstruction_weight at 1."
            )
        parts |= {part: parts[part] * config.reconstruction_weight for part in own}
    parts[_NAME] = config.weight * objective(name, losses, batch)
    return losses._replace(total=_sum(list(parts.values())), parts=parts)


def require_contexts(name: str, view: View) -> None:
    """Raises ConfigError for a job that does not learn from whole contexts, without which the model cannot run."""
    if view.name != "contexts":
        raise ConfigError(
            f"{name} learns from {view.name}, but a loss through the model needs whole contexts.\n"
            '  Give its Job view=View(name="contexts"), which an SAE of tokens or contexts can take,\n'
            '  or set objective.kind to "none".'
        )


def require_objective(config: ObjectiveConfig, objective: Objective | None) -> None:
    """Raises ConfigError when only one of the setting and the function is there."""
    if config.kind != "none" and objective is None:
        raise ConfigError(f'objective.kind is "{config.kind}", but Callbacks.objective gives no loss through a model')
    if config.kind == "none" and objective is not None:
        raise ConfigError('Callbacks.objective would be ignored: set objective.kind to "ce" or "kl"')


def _sum(values: Sequence[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
