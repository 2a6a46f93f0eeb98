"""Steps of an SAE by itself and over a mesh, from one batch."""

from typing import NamedTuple

import torch
from torch import Tensor

from monoseme.saes import SAE, Knobs, Losses, own_tensors
from monoseme.tensors.processes import BatchPart, Group, Mesh, sharing_batch
from monoseme.testing import Subject


class Taken(NamedTuple):
    """What a loss gave."""

    losses: Losses
    gradients: dict[str, Tensor]
    """Of the whole batch, of the latents that are here; zeros where there is none."""


def batches(subject: Subject, n_rows: int, n_steps: int) -> list[Tensor]:
    return [subject.batch(n_rows, subject.architecture.learns_from, part=f"step {i}") for i in range(n_steps)]


def step_of(sae: SAE, x: Tensor, mesh: Mesh, *, step: int, rate: float = 0.05) -> Taken:
    """A plain step from this process's rows of `x`, weighed by their share, as training makes it."""
    sae.zero_grad()
    part = mesh.rows.part_of(len(x))
    here = x[part]
    with sharing_batch(BatchPart(mesh.rows, part.start, len(x))):
        losses = sae.loss(here, Knobs(step=step))
        if losses.total.requires_grad:
            (losses.total * (len(here) / len(x))).backward()
        found = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in sae.named_parameters()}
        gradients = {name: mesh.rows.sum(gradient) for name, gradient in found.items()}
        with torch.no_grad():
            for name, parameter in sae.named_parameters():
                parameter -= rate * gradients[name]
        sae.after_step(losses)
    return Taken(losses, gradients)


def same_step(sae: SAE, alone: SAE, x: Tensor, mesh: Mesh, *, step: int) -> None:
    """Takes a step with both: the same latents exactly, losses, gradients and weights to rounding."""
    ours, theirs = step_of(sae, x, mesh, step=step), step_of(alone, x, Mesh(), step=step)
    part = mesh.rows.part_of(len(x))
    share = (part.stop - part.start) / len(x)
    for name, value in theirs.losses.parts.items():
        together = mesh.rows.sum(ours.losses.parts[name].detach().double() * share).to(value.dtype)
        _close(name, together, value.detach(), rtol=2e-5, atol=1e-7)
    assert torch.equal(_fired(ours.losses), _here(_fired(theirs.losses), mesh, part, len(x)))
    for name, gradient in own_tensors(sae, theirs.gradients).items():
        # Of the largest entry: sums in another order leave more of the small ones than their own rounding.
        _close(name, ours.gradients[name], gradient, rtol=1e-4, atol=1e-5 * float(theirs.gradients[name].abs().max()) + 1e-9)
    for name, tensor in own_tensors(sae, alone.state_dict()).items():
        _close(name, sae.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)


def _close(name: str, given: Tensor, wanted: Tensor, *, rtol: float, atol: float) -> None:
    torch.testing.assert_close(given, wanted, rtol=rtol, atol=atol, msg=lambda text: f"{name}: {text}")


def _fired(losses: Losses) -> Tensor:
    """[rows, F]."""
    assert losses.active is not None
    return losses.active.to_dense().flatten(0, -2) != 0


def _here(fired: Tensor, mesh: Mesh, part: slice, n_items: int) -> Tensor:
    per_item = len(fired) // n_items
    return fired[part.start * per_item : part.stop * per_item, mesh.latents.rank :: mesh.latents.size]


def same_everywhere(sae: SAE, group: Group) -> None:
    """All ranks hold the same bits."""
    for name, tensor in sae.state_dict().items():
        first, *others = group.gather(tensor.contiguous())
        assert all(torch.equal(first, other) for other in others), name
