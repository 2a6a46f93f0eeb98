"""What a step does: its order, its accumulation, its types, its alarms."""

from types import ModuleType
from typing import Any

import pytest
import torch

from monoseme.core.errors import NonFiniteLossError
from monoseme.models.site import Site
from monoseme.saes import SAE, Losses
from monoseme.training.feed import Rows
from monoseme.training.learner import Best, Job, Learner


def make(tiny: ModuleType, sae: SAE | None = None, **settings: Any) -> Learner:
    sae = sae or tiny.tiny_sae()
    sae.start(torch.cat([tiny.TinyFeed().batch(step).x for step in range(100, 110)]))
    return Learner(Job("one", sae, (Site.parse("resid_post.3"),)), tiny.tiny_config(**settings))


def state_after(learner: Learner, tiny: ModuleType, n_steps: int, batch_size: int) -> dict[str, torch.Tensor]:
    feed = tiny.TinyFeed(batch_size=batch_size)
    for step in range(n_steps):
        learner.step(feed.batch(step), step=step)
    return {name: tensor.detach().clone() for name, tensor in learner.sae.state_dict().items()}


@pytest.mark.parametrize("accumulate", [2, 3, 17])
def test_an_accumulated_batch_equals_the_whole_one_to_rounding(tiny: ModuleType, accumulate: int) -> None:
    wide = tiny.tiny_sae().double(), tiny.tiny_sae().double()
    whole = state_after(make(tiny, wide[0], batch_size=17), tiny, 5, 17)
    parts = state_after(make(tiny, wide[1], batch_size=17, accumulate=accumulate), tiny, 5, 17)
    for name in whole:  # in float64 the order of the sums shows only far below this
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-9, atol=1e-12)


def test_parts_of_a_masked_batch_weigh_as_many_rows_as_they_count(tiny: ModuleType) -> None:
    feed = tiny.TinyFeed(batch_size=6)
    x = feed.batch(0).x.double().reshape(3, 2, -1)
    mask = torch.tensor([[True, True], [True, False], [False, True]])
    grads = []
    for accumulate in (1, 3):
        learner = make(tiny, tiny.tiny_sae().double(), batch_size=6, accumulate=accumulate, clip_norm=None)
        learner.step(Rows(x, mask), step=0)
        grads.append(learner.sae.get_parameter("W_enc").grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-9, atol=1e-12)


def test_the_gradient_is_projected_before_its_norm_is_taken(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()
    sae.use_kernels("reference")  # others leave no gradient of matrices behind
    learner = make(tiny, sae, clip_norm=None)
    learner.step(tiny.TinyFeed().batch(0), step=0)
    norm = torch.cat([p.grad.double().flatten() for p in learner.sae.parameters()]).norm()
    assert learner.window.row()["grad_norm"] == pytest.approx(float(norm), rel=1e-6)


def test_decoder_rows_have_unit_norm_after_a_step(tiny: ModuleType) -> None:
    learner = make(tiny, lr=0.1)
    learner.step(tiny.TinyFeed().batch(0), step=0)
    torch.testing.assert_close(learner.sae.W_dec.norm(dim=1), torch.ones(tiny.F))


def test_the_rate_is_that_of_the_width_unless_given(tiny: ModuleType) -> None:
    assert make(tiny, n_steps=30_000, lr=None).optimiser.peak_rate == pytest.approx(2e-4 / (tiny.F / 2**14) ** 0.5)
    assert make(tiny, lr=0.25).optimiser.peak_rate == 0.25


def test_autocast_computes_in_bfloat16_and_keeps_float32_weights(tiny: ModuleType) -> None:
    seen: list[torch.dtype] = []

    class Watching(type(tiny.tiny_sae())):
        def loss(self, *arguments: Any, **settings: Any) -> Losses:
            seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
            return super().loss(*arguments, **settings)

    plain = make(tiny)
    cast = make(tiny, Watching(tiny.tiny_sae().config), autocast="bfloat16")
    for learner in (plain, cast):
        learner.step(tiny.TinyFeed().batch(0), step=0)
    assert seen == [torch.bfloat16]
    assert all(p.dtype == torch.float32 for p in cast.sae.parameters())
    assert all(tensor.dtype == torch.float32 for tensor in cast.optimiser.state().values())
    # eight bits of mantissa: about 0.4 % in each product
    assert cast.window.row()["loss"] == pytest.approx(plain.window.row()["loss"], rel=0.05)


def test_a_loss_that_is_not_finite_stops_at_its_step(tiny: ModuleType) -> None:
    learner = make(tiny)
    learner.step(tiny.TinyFeed().batch(0), step=0)
    with pytest.raises(NonFiniteLossError, match='"one" was not finite at step 2'):
        learner.step(Rows(torch.full((tiny.B, tiny.D), float("inf"))), step=1)


def test_the_window_means_the_losses_and_counts_silence(tiny: ModuleType) -> None:
    learner = make(tiny)
    losses = []
    for step in range(2):
        with torch.no_grad():
            losses.append(float(learner.sae.loss(tiny.TinyFeed().batch(step).x).total))
        learner.step(tiny.TinyFeed().batch(step), step=step)
    assert learner.window.row()["loss"] == pytest.approx(sum(losses) / 2, rel=1e-6)
    fired = learner.sae.tokens_since_fired < 2 * tiny.B
    assert learner.liveness()["silent_fraction"] == pytest.approx(1 - float(fired.double().mean()))


def test_the_best_is_the_lowest_and_patience_runs_out(tiny: ModuleType) -> None:
    learner = make(tiny, early_stop_patience=2)
    assert [learner.judge(value, done=done) for done, value in enumerate((3.0, 2.0, 2.5), start=1)] == [True, True, False]
    assert learner.stopped_at is None
    assert not learner.judge(2.0, done=4)
    assert learner.best == Best(2, 2.0)
    assert learner.stopped_at == 4


def test_the_best_may_be_the_highest(tiny: ModuleType) -> None:
    learner = make(tiny, best_is="highest")
    assert [learner.judge(value, done=done) for done, value in enumerate((3.0, 2.0, 4.0), start=1)] == [True, False, True]


def test_nan_is_no_best(tiny: ModuleType) -> None:
    learner = make(tiny)
    assert not learner.judge(float("nan"), done=1)
    assert learner.best is None
