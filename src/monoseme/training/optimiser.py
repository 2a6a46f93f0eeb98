"""Adam for one SAE: projects, clips the exact norm, steps, keeps rows at unit norm, and knows its state by name.

A kernel may leave a gradient as factors (codes, rows) instead of a dense `.grad` (`monoseme.tensors.factored`). Where its set
offers updates by rows, such a parameter is updated by them (`_adam_rows`): projection, Adam and norm in one pass. Everything else
goes the dense way, through torch's Adam. Both keep the same state and reach the same numbers up to rounding; an architecture
never knows which, and a run may change from one to the other.
"""

from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor, nn

from monoseme.core.errors import ResumeError
from monoseme.kernels import AdamRule, RowUpdates
from monoseme.tensors.factored import add_factor, materialise_factors, take_factors
from monoseme.tensors.processes import ALONE, Group
from monoseme.training._adam_rows import RowAdam, RowGradient, claim
from monoseme.training.config import TrainConfig

_FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")
_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Optimiser:
    """Adam or AdamW over the named parameters of one SAE.

    A step: `zero_grad`, backward, `gather`, the SAE's `project_gradients` (which finds only what goes the dense way), `update`.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        config: TrainConfig,
        *,
        peak_rate: float,
        unit_norm: Collection[str] = (),
        sharded: Collection[str] = (),
        latents: Group = ALONE,
    ) -> None:
        """`peak_rate` is the learning rate that `update`'s factor scales. Frozen parameters are left alone, and may be all.

        `unit_norm` names the parameters whose rows are kept at unit norm when updated by rows; the dense way leaves that to the
        SAE's `project_gradients` and `after_step`. `sharded` names those of which each process of `latents` holds a part: their
        norm is that of all parts.
        """
        self.peak_rate = peak_rate
        self._config = config
        self._named = {name: parameter for name, parameter in parameters if parameter.requires_grad}
        self._unit_norm = frozenset(unit_norm)
        self._sharded = frozenset(sharded)
        self._latents = latents
        self._adam = _adam(self._named, config, peak_rate) if self._named else None
        self._device = next((p.device for p in self._named.values()), torch.device("cpu"))
        self._row_adam = RowAdam()
        self._rows: RowUpdates | None = None
        self._by_rows: dict[str, RowGradient] = {}
        self._counts: dict[str, int] = {}
        """Steps of what went by rows last, as numbers: reading the tensor would wait for the device."""

    def __repr__(self) -> str:
        return f"Optimiser({type(self._adam).__name__}, peak_rate={self.peak_rate:g}, parameters={sorted(self._named)})"

    def zero_grad(self) -> None:
        """Forgets all gradients, factors included."""
        self._by_rows.clear()
        for parameter in self._named.values():
            parameter.grad = None
            take_factors(parameter)

    def gather(self, rows: RowUpdates | None = None) -> None:
        """Takes the factors that backward passes left: kept for `rows` where those take the parameter, else added to `.grad`."""
        self._rows = rows
        for name, parameter in self._named.items():
            factors = take_factors(parameter)
            if not factors:
                continue
            claimed = None if rows is None else claim(parameter, factors, rows, unit=name in self._unit_norm)
            if claimed is not None:
                self._by_rows[name] = claimed
                continue
            for factor in factors:
                add_factor(parameter, factor)
            materialise_factors([parameter])

    def update(self, factor: float) -> Tensor:
        """One Adam update at `factor` times the peak rate, of the gradient scaled down to norm `clip_norm` if it is longer.

        Returns the norm it had, float64 (float32 on MPS). Exact: over every element of every parameter, of this step. Each
        tensor's (or row's) norm is reduced in float32, their sum in float64. On the dense way, and without clipping, no value is
        read back from the device.
        """
        largest = self._config.clip_norm
        gradients = {name: p.grad for name, p in self._named.items() if p.grad is not None}
        squares = {name: _square(gradient) for name, gradient in gradients.items()}
        if largest is None:
            squares |= {name: self._step_rows(name, factor, scale=1.0) for name in self._by_rows}
            norm = self._norm(squares)
        else:
            squares |= {name: self._gather_rows(name) for name in self._by_rows}
            norm = self._norm(squares)
            _shrink([*gradients.values()], largest / norm)
            scale = min(1.0, float(largest / norm)) if self._by_rows else 1.0
            for name in self._by_rows:
                self._step_rows(name, factor, scale=scale)
        self._by_rows.clear()
        if gradients:
            self._step_dense(factor)
        return norm

    def _norm(self, squares: Mapping[str, Tensor]) -> Tensor:
        """From the square of each parameter: every process has the whole of most, and its part of the sharded ones."""
        if self._latents.size == 1:
            return _norm([*squares.values()])
        here = [square for name, square in squares.items() if name in self._sharded]
        whole = [square for name, square in squares.items() if name not in self._sharded]
        # Where nothing of this process has a gradient, others may: all take part in the sum.
        part = torch.stack(here).sum() if here else torch.zeros((), dtype=torch.float64, device=self._device)
        return _norm([*whole, self._latents.sum(part)])

    def _step_dense(self, factor: float) -> None:
        if self._adam is None:
            return
        for group in self._adam.param_groups:
            group["lr"] = self.peak_rate * factor
        self._adam.step()
        for name, parameter in self._named.items():
            if parameter.grad is not None:
                self._counts.pop(name, None)

    def _gather_rows(self, name: str) -> Tensor:
        assert self._rows is not None
        return self._row_adam.gather(self._rows, self._by_rows[name], self._moments(name), room=name)

    def _step_rows(self, name: str, factor: float, *, scale: float) -> Tensor:
        assert self._rows is not None
        moments, config = self._moments(name), self._config
        rule = AdamRule(
            lr=self.peak_rate * factor,
            beta1=config.betas[0],
            beta2=config.betas[1],
            eps=config.eps,
            step=self._counted(name),
            weight_decay=config.weight_decay,
            decoupled=config.optimiser == "adamw",
        )
        return self._row_adam.step(self._rows, self._by_rows[name], moments, rule, scale=scale)

    def _moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Both, made where there are none yet as torch makes them."""
        assert self._adam is not None
        parameter = self._named[name]
        state = self._adam.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state["exp_avg"], state["exp_avg_sq"]

    def _counted(self, name: str) -> int:
        """The number of this step, from 1, noted in the state too."""
        assert self._adam is not None
        step = self._adam.state[self._named[name]]["step"]
        if name not in self._counts:
            self._counts[name] = int(step)
        self._counts[name] += 1
        step += 1
        return self._counts[name]

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
            raise ResumeError(
                f"the checkpoint's optimiser holds parameters that this SAE lacks: {', '.join(sorted(unknown))}.\n"
                "  Go on with the version of monoseme that wrote it, or start anew in another folder."
            )
        self._counts.clear()
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


def _square(gradient: Tensor) -> Tensor:
    wide = torch.float32 if gradient.device.type == "mps" else torch.float64
    return torch.linalg.vector_norm(gradient, dtype=torch.promote_types(gradient.dtype, torch.float32)).to(wide) ** 2


def _norm(squares: list[Tensor]) -> Tensor:
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros((), dtype=torch.float32)


def _shrink(gradients: list[Tensor], scale: Tensor) -> None:
    """Multiplies by min(1, scale). On a CPU the comparison is free and saves a pass; elsewhere reading it would stall."""
    if scale.device.type == "cpu" and scale >= 1.0:
        return
    capped = scale.clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(capped.to(gradient.dtype))
