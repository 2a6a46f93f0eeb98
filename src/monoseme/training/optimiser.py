"""Adam for one SAE: gathers dense and factored gradients, clips their exact norm, steps, and knows its state by name.

A kernel may leave a gradient as factors (codes, rows) instead of a dense `.grad` (`monoseme.tensors.factored`); both reach the
same numbers here, and an architecture never knows which.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from monoseme.core.errors import ResumeError
from monoseme.tensors.factored import materialise_factors, take_factors
from monoseme.training.config import TrainConfig

_FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Optimiser:
    """Adam or AdamW over the named parameters of one SAE."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], config: TrainConfig, *, peak_rate: float) -> None:
        """`peak_rate` is the learning rate that `step`'s factor scales. Frozen parameters are left alone, and may be all."""
        self.peak_rate = peak_rate
        self._named = {name: parameter for name, parameter in parameters if parameter.requires_grad}
        self._adam = _adam(self._named, config, peak_rate) if self._named else None

    def __repr__(self) -> str:
        return f"Optimiser({type(self._adam).__name__}, peak_rate={self.peak_rate:g}, parameters={sorted(self._named)})"

    def zero_grad(self) -> None:
        """Forgets all gradients, factors included."""
        for parameter in self._named.values():
            parameter.grad = None
            take_factors(parameter)

    def gather(self) -> None:
        """Turns the factors left by backward passes into `.grad`, added to what is there."""
        materialise_factors(self._named.values())

    def clip(self, largest: float | None) -> Tensor:
        """Scales the whole gradient down to norm `largest` if it is longer; returns the norm it had, float64 (float32 on MPS).

        Exact: over every element of every parameter, of this step. Each tensor's norm is reduced in float32, their sum in
        float64. No value is read back from the device.
        """
        gradients = [p.grad for p in self._named.values() if p.grad is not None]
        if not gradients:
            return torch.zeros((), dtype=torch.float32)
        wide = torch.float32 if gradients[0].device.type == "mps" else torch.float64
        squares = [
            torch.linalg.vector_norm(g, dtype=torch.promote_types(g.dtype, torch.float32)).to(wide) ** 2 for g in gradients
        ]
        norm = torch.stack(squares).sum().sqrt()
        if largest is not None:
            _shrink(gradients, largest / norm)
        return norm

    def step(self, factor: float) -> None:
        """One Adam update at `factor` times the peak rate."""
        if self._adam is None:
            return
        for group in self._adam.param_groups:
            group["lr"] = self.peak_rate * factor
        self._adam.step()

    def forget(self, name: str, entries: Tensor, *, axis: int) -> None:
        """Sets both moments of some entries of a parameter, along one axis, to zero; its count of steps stays."""
        state = {} if self._adam is None else self._adam.state.get(self._named[name], {})
        for moment in _MOMENTS[1:]:
            if moment in state:
                state[moment].index_fill_(axis, entries, 0.0)

    def state(self) -> dict[str, Tensor]:
        """Both moments and the count of each parameter, as `<parameter>.<moment>`; empty before the first step."""
        if self._adam is None:
            return {}
        return {
            f"{name}.{moment}": self._adam.state[parameter][moment]
            for name, parameter in self._named.items()
            if parameter in self._adam.state
            for moment in _MOMENTS
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes up what `state` gave. Raises ResumeError for names that are not this SAE's."""
        unknown = {name.rpartition(".")[0] for name in state} - set(self._named)
        if unknown:
            raise ResumeError(f"the checkpoint's optimiser holds parameters that this SAE lacks: {', '.join(sorted(unknown))}")
        for name, parameter in self._named.items():
            if self._adam is not None and f"{name}.step" in state:
                self._adam.state[parameter] = {
                    "step": state[f"{name}.step"].to(parameter.device, copy=True),
                    # The strides of the parameter: the fused update walks all of them side by side.
                    "exp_avg": torch.empty_like(parameter).detach().copy_(state[f"{name}.exp_avg"]),
                    "exp_avg_sq": torch.empty_like(parameter).detach().copy_(state[f"{name}.exp_avg_sq"]),
                }


def _adam(named: Mapping[str, nn.Parameter], config: TrainConfig, rate: float) -> torch.optim.Adam | torch.optim.AdamW:
    # A bias has no scale that decay could keep in check; decaying one only moves the firing threshold or the mean.
    groups = [
        {"params": [p for p in named.values() if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in named.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimiser]
    fused = all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in named.values())
    return kind([g for g in groups if g["params"]], lr=rate, betas=config.betas, eps=config.eps, fused=fused)


def _shrink(gradients: list[Tensor], scale: Tensor) -> None:
    """Multiplies by min(1, scale). On a CPU the comparison is free and saves a pass; elsewhere reading it would stall."""
    if scale.device.type == "cpu" and scale >= 1.0:
        return
    capped = scale.clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(capped.to(gradient.dtype))
