"""A running mean of an SAE's weights: smoother than the weights of any one step, above all where the learning rate is high.

    mean_t = mean_(t-1) + (1 - d) / (1 - d^t) (weights_t - mean_(t-1))

is the exponential mean with weight d of the past, corrected for its start: mean_1 = weights_1.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from monoseme.core.errors import ResumeError
from monoseme.saes import SAE


class WeightMean:
    """The mean of all parameters of one SAE over its steps, each in its own dtype, where it is."""

    def __init__(self, decay: float) -> None:
        """`decay` is d, the weight of the past in a step, in (0, 1)."""
        self._decay = decay
        self._means: dict[str, Tensor] = {}
        self._n_steps = 0

    @torch.no_grad()
    def update(self, sae: SAE) -> None:
        """Takes in the weights after a step."""
        self._n_steps += 1
        share = (1.0 - self._decay) / (1.0 - self._decay**self._n_steps)
        for name, parameter in sae.named_parameters():
            if name in self._means:
                self._means[name].lerp_(parameter, share)
            else:
                self._means[name] = parameter.detach().clone()

    def copy_latents(self, parameter: str, values: Tensor, latents: Tensor, *, axis: int) -> None:
        """Puts some latents of a parameter where they are now: what they were has nothing to do with what they are."""
        if parameter in self._means:
            self._means[parameter].index_copy_(axis, latents, values.detach().index_select(axis, latents))

    def averaged(self, sae: SAE) -> SAE:
        """A copy of the SAE with the mean weights, unit rows made unit again, and the buffers of the SAE as they are."""
        mean = copy.deepcopy(sae)
        put_mean(mean, self._means)
        return mean

    def tensors(self) -> dict[str, Tensor]:
        """The means by the names of the parameters; empty before the first step."""
        return dict(self._means)

    @property
    def n_steps(self) -> int:
        """Steps taken in."""
        return self._n_steps

    def load(self, tensors: Mapping[str, Tensor], *, n_steps: int, sae: SAE) -> None:
        """Takes up what `tensors` and `n_steps` gave. Raises ResumeError for names that are not this SAE's."""
        unknown = tensors.keys() - dict(sae.named_parameters()).keys()
        if unknown:
            raise ResumeError(f"the checkpoint's mean holds parameters that this SAE lacks: {', '.join(sorted(unknown))}")
        parameters = dict(sae.named_parameters())
        self._means = {name: torch.empty_like(parameters[name]).detach().copy_(mean) for name, mean in tensors.items()}
        self._n_steps = n_steps


@torch.no_grad()
def put_mean(sae: SAE, means: Mapping[str, Tensor]) -> None:
    """Gives an SAE mean weights and restores what holds after each step, such as unit rows (a mean of unit rows is shorter)."""
    for name, mean in means.items():
        sae.get_parameter(name).copy_(mean)
    sae.after_step()
