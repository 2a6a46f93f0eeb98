"""Latents of a source put into the run on a base at the entity's last token: masks that are trained, and masks that are tested.

With d = s - b, the codes of the source less those of the base, the model goes on with

    x + (m * d) W_dec        with the error term: what the SAE does not explain stays the base's (ours)
    x_hat + (m * d) W_dec    without it, so that all that the SAE does not explain is lost (SAEBench)

Source: Huang et al. 2024, arXiv:2402.17700 (masks with a falling temperature, after Csordas et al. 2021); SAEBench 0.6.
Letters: n swaps of a batch, S positions, D width, F latents.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.evaluation import writes_of
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Site
from monoseme.studies._ravel.questions import Known, is_answer
from monoseme.studies._ravel.swaps import Swap
from monoseme.studies._workbench import Subject
from monoseme.tensors.shapes import Float, Int, Tensor

_LAST_TEMPERATURE = 1e-4


@dataclass(frozen=True, kw_only=True)
class MaskSchedule:
    """How masks are trained; SAEBench's numbers."""

    epochs: int = 2
    """Passes over the training swaps (count)."""
    lr: float = 1e-3
    """Learning rate of Adam."""
    batch_size: int = 16
    """Swaps of a step (count)."""
    seed: int = 0
    """Of their order."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or self.lr <= 0:
            raise ConfigError("epochs and batch_size must be at least 1, and lr above 0")


class AtEntity(NamedTuple):
    """What is at the entity's last token of one prompt."""

    x: Float[Tensor, " D"]
    x_hat: Float[Tensor, " D"]
    written: Float[Tensor, " F"]
    """The codes, in multiples of the decoder's rows."""


class Patcher:
    """One SAE in a model, and what it makes of the prompts of a study."""

    def __init__(self, model: LanguageModel, subject: Subject) -> None:
        self.model, self.subject = model, subject
        self.site: Site = subject.placed.inputs[0]
        self.writes = writes_of(subject.sae, n_sites=1).float().to(model.device)
        self._held: dict[tuple[int, ...], AtEntity] = {}

    @torch.no_grad()
    def at(self, known: Known) -> AtEntity:
        """Read once for each prompt."""
        key = (*known.ids, known.position)
        if key not in self._held:
            tokens = torch.tensor([known.ids], device=self.model.device)
            x = self.model.capture(tokens, [self.site])[self.site]
            mask = self.model.editable(tokens)
            codes = self.subject.placed.encode({self.site: x}, mask)
            row = int(mask[0, : known.position].sum())
            wanted = torch.zeros(int(mask.sum()), dtype=torch.bool, device=mask.device)
            wanted[row] = True
            here = codes.select_rows(wanted.to(codes.sparse().device))
            scale = 1.0 if here.scale is None else here.scale
            written = here.sparse(self.subject.part).to_dense() * scale
            decoded = self.subject.sae.decode(here)
            self._held[key] = AtEntity(x[0, known.position].float(), decoded[0].to(x.device).float(), written[0].float())
        return self._held[key]

    def differences(self, swaps: Sequence[Swap]) -> Float[Tensor, "n F"]:
        """Codes of the source less those of the base."""
        return torch.stack([self.at(swap.source).written - self.at(swap.base).written for swap in swaps])

    def anchors(self, swaps: Sequence[Swap], *, error_term: bool) -> Float[Tensor, "n D"]:
        """What the differences are added to."""
        held = [self.at(swap.base) for swap in swaps]
        return torch.stack([each.x if error_term else each.x_hat for each in held])

    def train(self, swaps: Sequence[Swap], schedule: MaskSchedule, *, error_term: bool) -> Float[Tensor, " F"]:
        """The mask's logits: above 0, a latent is carried over. The same seed gives the same bits."""
        logits = torch.zeros(len(self.writes), device=self.writes.device)
        mean, square = torch.zeros_like(logits), torch.zeros_like(logits)
        n_steps = schedule.epochs * math.ceil(len(swaps) / schedule.batch_size)
        step = 0
        for epoch in range(schedule.epochs):
            order = torch.randperm(len(swaps), generator=generator(schedule.seed, "mask", epoch))
            for rows in order.split(schedule.batch_size):
                temperature = _LAST_TEMPERATURE ** (step / max(n_steps - 1, 1))
                grad = self._gradient([swaps[int(i)] for i in rows], logits, temperature, error_term=error_term)
                step += 1
                mean, square = 0.9 * mean + 0.1 * grad, 0.999 * square + 0.001 * grad**2
                size = (square / (1 - 0.999**step)).sqrt() + 1e-8
                logits = logits - schedule.lr * mean / (1 - 0.9**step) / size
        return logits

    def _gradient(
        self, swaps: Sequence[Swap], logits: Float[Tensor, " F"], temperature: float, *, error_term: bool
    ) -> Float[Tensor, " F"]:
        """Of the cross-entropy of the wanted answers' first tokens."""
        given = logits.clone().requires_grad_()
        with torch.enable_grad():
            moved = (torch.sigmoid(given / temperature) * self.differences(swaps)) @ self.writes
            said = self.logits(swaps, self.anchors(swaps, error_term=error_term) + moved)
            wanted = torch.tensor([swap.wanted.first_token for swap in swaps], device=said.device)
            loss = torch.nn.functional.cross_entropy(said.float(), wanted)
        (found,) = torch.autograd.grad(loss, [given])
        return found

    def logits(self, swaps: Sequence[Swap], at_entity: Float[Tensor, "n D"]) -> Float[Tensor, "n V"]:
        """After each base prompt, with these vectors at its entity."""
        tokens, real = _padded([swap.base.ids for swap in swaps], self.model.device)
        x = self.model.capture(tokens, [self.site], real=real)[self.site]
        rows = torch.arange(len(swaps), device=x.device)
        position = torch.tensor([swap.base.position for swap in swaps], device=x.device)
        patched = x.index_put((rows, position), at_entity.to(x))
        said = self.model.run_from(self.site, patched, tokens=tokens, real=real)
        return said[rows, real.sum(1) - 1]

    def answers(
        self, swaps: Sequence[Swap], at_entity: Float[Tensor, "n D"], *, max_new_tokens: int, batch_size: int
    ) -> list[bool]:
        """Whether the model goes on with the wanted answer, with these vectors at the entity."""
        found: list[bool] = []
        for start in range(0, len(swaps), batch_size):
            batch, vectors = swaps[start : start + batch_size], at_entity[start : start + batch_size]
            position = torch.tensor([swap.base.position for swap in batch])
            edit = FunctionEdit(self.site, _Put(vectors, position))
            told = self.model.generate([swap.base.ids for swap in batch], edits=[edit], max_new_tokens=max_new_tokens)
            found += [is_answer(t.text, swap.wanted.question.answer) for t, swap in zip(told, batch, strict=True)]
        return found


class _Put(NamedTuple):
    """Puts a vector at one position of each prompt, and leaves what is generated alone."""

    vectors: Float[Tensor, "n D"]
    position: Int[Tensor, " n"]

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The activations with the vectors in them."""
        there = context.is_prompt & context.mask & (context.positions == self.position.to(x.device)[context.row].unsqueeze(1))
        return torch.where(there.unsqueeze(-1), self.vectors.to(x)[context.row].unsqueeze(1), x)


def _padded(ids: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens [n, S], padded on the right, and where they are real."""
    longest = max(len(each) for each in ids)
    tokens = torch.zeros(len(ids), longest, dtype=torch.int64, device=device)
    real = torch.zeros(len(ids), longest, dtype=torch.bool, device=device)
    for i, each in enumerate(ids):
        tokens[i, : len(each)] = torch.tensor(each, device=device)
        real[i, : len(each)] = True
    return tokens, real
