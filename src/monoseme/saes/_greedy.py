"""The loop of matching pursuit, and its gradient without anything of size [B, F] or [B, K, D] kept.

    r_0 = x;   v_t = s <r_t, a_t>,   r_(t+1) = r_t - v_t a_t,   a_t the atom with the largest <r_t, a>

With the choices fixed, v is a linear function of x. Backward runs the loop from its end: residuals come back by r_t = r_(t+1) +
v_t a_t, so that only the last one, the choices and the values are kept. With q the sum of u_t a_t of later steps,

    u_t = s (g_t - <a_t, q>),   grad a_t += u_t r_t - v_t q,   q += u_t a_t;   at the end grad x = q

Letters: B rows, D model width, F latents, K steps.
Source: Mallat & Zhang 1993, "Matching pursuits with time-frequency dictionaries"; the gradient is worked out here.
"""

from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from monoseme.tensors.shapes import Bool, Float, Int, Tensor
from monoseme.tensors.sparse import SparseCodes

_CHUNK_ELEMENTS = 2**22
"""Products held at once: rows are independent, and 16 MB stay near the processor for the search of the largest."""


class Rules(NamedTuple):
    """What else ends the steps of a row; as it is: nothing."""

    positive: bool = False
    """A row is done when no atom has a positive product."""
    at_repeat: bool = False
    """A row is done after a step that takes an atom it has already."""
    stop_norm: float = 0.0
    """A row is done after a step that leaves less than this norm."""


class _Steps(NamedTuple):
    """What the loop did."""

    chosen: Int[Tensor, "B K"]
    taken: Float[Tensor, "B K"]
    """v; zero where a row had stopped."""
    made: Bool[Tensor, "B K"]
    """Whether the row still went on."""
    residual: Float[Tensor, "B D"]


def greedy_codes(
    x: Float[Tensor, "B D"],
    atoms: Float[Tensor, "F D"],
    k: int,
    *,
    step: float = 1.0,
    stop_below: float = 0.0,
    rules: Rules = Rules(),  # noqa: B008  it cannot be changed
) -> SparseCodes:
    """Codes of k steps, differentiable in x and atoms; what one atom took in several steps is one entry.

    A row stops when |r| <= stop_below |x|, or by a rule. Ties go to the lowest latent. Entries may be negative where no product
    is positive, unless a rule says otherwise.
    """
    with torch.no_grad():
        n_rows = max(256, _CHUNK_ELEMENTS // atoms.shape[0])
        parts = [_run(rows, atoms, k, step=step, stop_below=stop_below, rules=rules) for rows in x.split(n_rows)]
        steps = _Steps(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))
    taken = steps.taken
    if torch.is_grad_enabled() and (x.requires_grad or atoms.requires_grad):
        taken = _Replayed.apply(x, atoms, steps, step)
    return _merged(steps, taken, atoms.shape[0])


def _run(x: Tensor, atoms: Tensor, k: int, *, step: float, stop_below: float, rules: Rules) -> _Steps:
    residual, limit = x.clone(), stop_below * x.norm(dim=1)
    chosen = torch.zeros(x.shape[0], k, dtype=torch.int64, device=x.device)
    taken, made = x.new_zeros(x.shape[0], k), torch.zeros(x.shape[0], k, dtype=torch.bool, device=x.device)
    going = residual.norm(dim=1) > limit
    for t in range(k):
        if not bool(going.any()):
            break
        best = (residual @ atoms.t()).max(1)
        going = going & (best.values > 0) if rules.positive else going
        value = step * best.values * going
        residual.addcmul_(value.unsqueeze(1), atoms[best.indices], value=-1)
        chosen[:, t], taken[:, t], made[:, t] = best.indices, value, going
        norm = residual.norm(dim=1)
        going = going & (norm > limit) & (norm >= rules.stop_norm)
        if rules.at_repeat:
            going = going & ~((chosen[:, :t] == best.indices.unsqueeze(1)) & made[:, :t]).any(1)
    return _Steps(chosen, taken, made, residual)


class _Replayed(torch.autograd.Function):
    """The values of the steps, with the gradient of the module's docstring."""

    @staticmethod
    def forward(ctx: Any, _x: Tensor, atoms: Tensor, steps: _Steps, step: float) -> Tensor:
        """x is passed so that autograd knows of it."""
        ctx.save_for_backward(atoms, *steps)
        ctx.step = step
        return steps.taken.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  torch's stub forbids any override
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        atoms, chosen, taken, made, residual = ctx.saved_tensors
        later, grad_atoms = torch.zeros_like(residual), torch.zeros_like(atoms)
        for t in reversed(range(chosen.shape[1])):
            atom, value = atoms[chosen[:, t]], taken[:, t : t + 1]
            residual = residual + value * atom
            along = (grads[0][:, t] - (atom * later).sum(1)) * ctx.step * made[:, t]
            grad_atoms.index_add_(0, chosen[:, t], along.unsqueeze(1) * residual - value * later)
            later = later + along.unsqueeze(1) * atom
        return later, grad_atoms, None, None


def _merged(steps: _Steps, taken: Float[Tensor, "B K"], n_latents: int) -> SparseCodes:
    n_rows = taken.shape[0]
    places = torch.arange(n_rows, device=taken.device).unsqueeze(1) * n_latents + steps.chosen
    places, order = places[steps.made].sort(stable=True)
    unique, slots = torch.unique_consecutive(places, return_inverse=True)
    values = taken.new_zeros(unique.shape[0]).index_add(0, slots, taken[steps.made][order])
    return SparseCodes.from_rows(unique // n_latents, unique % n_latents, values, n_rows=n_rows, n_latents=n_latents)
