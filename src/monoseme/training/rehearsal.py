"""A rehearsal before the first step: what must be compiled for it is compiled here, told, and counted apart from the steps.

It moves nothing: no parameter is updated, buffers get back what they held, and losses draw at random from seeds of their own.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from monoseme.core.display import get_display
from monoseme.kernels import RowUpdates, compiled_so_far
from monoseme.tensors.factored import FactoredGrad, add_factor, emit_factors
from monoseme.tensors.sparse import SparseCodes
from monoseme.training.config import TrainConfig
from monoseme.training.feed import Feed, Rows
from monoseme.training.learner import Learner
from monoseme.training.optimiser import Optimiser

_ITEMS = 64
"""Of a batch: enough for the ways that a whole batch takes."""


def rehearse(feed: Feed, learners: Sequence[Learner], config: TrainConfig, *, done: int) -> None:
    """One pass of every SAE with compiled kernels over the start of the batch of step `done`; the feed stays where it is."""
    waiting = [learner for learner in learners if learner.stopped_at is None and learner.sae.kernel_name == "numba"]
    if not waiting or config.autocast is not None:  # which the loops leave to torch
        return
    place = feed.cursor()
    batches = dict(zip([learner.name for learner in learners], feed.advance(), strict=True))
    feed.seek(place)
    before = compiled_so_far()
    for learner in waiting:
        _rehearse_loss(learner, batches[learner.name], done=done)
    rows = waiting[0].sae.kernels.rows
    if rows is not None:
        _rehearse_update(rows, config)
    now = compiled_so_far()
    if now.n_loops > before.n_loops:
        n_loops, seconds = now.n_loops - before.n_loops, now.seconds - before.seconds
        get_display().say(f"compiled {n_loops} kernels in {seconds:.0f} s; they are kept for later runs")


def _rehearse_loss(learner: Learner, batch: Rows, *, done: int) -> None:
    sae = learner.sae
    part = batch.split(math.ceil(batch.x.shape[0] / _ITEMS))[0]
    held = {name: buffer.clone() for name, buffer in sae.named_buffers()}
    sae.tokens_since_fired.fill_(sae.config.dead_after_tokens)  # the losses that revive the dead take part
    with emit_factors():
        losses = sae.loss(part.x, learner.knobs.at(done), mask=part.mask)
        if losses.total.requires_grad:  # a baseline may have nothing to learn
            losses.total.backward()
    learner.optimiser.zero_grad()
    with torch.no_grad():
        for name, buffer in sae.named_buffers():
            buffer.copy_(held[name])


def _rehearse_update(rows: RowUpdates, config: TrainConfig) -> None:
    """Of an encoder and a decoder of three latents."""
    latents = torch.eye(3, 5)
    named = {"W_enc": nn.Parameter(latents.clone().t()), "W_dec": nn.Parameter(latents.clone())}
    optimiser = Optimiser(named.items(), config, peak_rate=1e-3, unit_norm=("W_dec",))
    codes = SparseCodes.from_topk(torch.tensor([[0, 2]]), torch.ones(1, 2), 3)
    optimiser.zero_grad()
    for name, parameter in named.items():
        add_factor(parameter, FactoredGrad(codes, torch.ones(1, 5), transposed=name == "W_enc"))
    optimiser.gather(rows)
    optimiser.update(1.0)
