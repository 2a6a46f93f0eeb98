"""Training by rows is training: the same updates as with dense gradients, whatever else the step does."""

from types import ModuleType
from typing import Any

import pytest
import torch

from monoseme.activations import View
from monoseme.core.display import SilentDisplay, use_display
from monoseme.models.site import Site
from monoseme.saes import Losses
from monoseme.saes.topk import TopK
from monoseme.training.config import ObjectiveConfig, TrainConfig
from monoseme.training.feed import Rows
from monoseme.training.learner import Job, Learner

B, D, F = 12, 7, 11
_SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"clip_norm": None},
    "clipped": {"clip_norm": 0.05},
    "accumulated": {"accumulate": 3, "clip_norm": None},
    "accumulated_and_clipped": {"accumulate": 3, "clip_norm": 0.05},
    "decay": {"weight_decay": 0.1},
    "decoupled_decay": {"weight_decay": 0.1, "optimiser": "adamw"},
    "mean_of_weights": {"ema_decay": 0.9},
}


class ByHand(TopK):
    """Projects by itself, so that its gradients must be dense."""

    def project_gradients(self) -> None:
        super().project_gradients()


def learner(tiny: ModuleType, kind: type[TopK], **settings: Any) -> Learner:
    sae = kind(TopK.Config(d_in=D, n_latents=F, k=3, dead_after_tokens=30))  # AuxK soon adds factors of its own
    sae.use_kernels("numba")
    sae.start(torch.cat([tiny.TinyFeed().batch(step).x for step in range(100, 110)]))
    job = Job("one", sae, (Site.parse("resid_post.3"),))
    return Learner(job, tiny.tiny_config(batch_size=B, n_steps=30, **settings))


def trained(tiny: ModuleType, one: Learner, n_steps: int = 20, *, contexts: bool = False) -> dict[str, torch.Tensor]:
    feed = tiny.TinyFeed(batch_size=B)
    for step in range(n_steps):
        x = feed.batch(step).x
        one.step(Rows(x.reshape(3, 4, D) if contexts else x), step=step)
    return {**one.result().state_dict(), **one.optimiser.state()}


def assert_alike(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        # rounding of float32 in the order of sums, through twenty steps of Adam at a rate of 0.008
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("case", _SETTINGS)
def test_rows_and_dense_gradients_train_alike(tiny: ModuleType, case: str) -> None:
    fast, slow = (learner(tiny, kind, **_SETTINGS[case]) for kind in (TopK, ByHand))
    assert_alike(trained(tiny, fast), trained(tiny, slow))
    assert fast.window.row()["grad_norm"] == pytest.approx(slow.window.row()["grad_norm"], rel=1e-4)
    assert fast.window.row()["loss"] == pytest.approx(slow.window.row()["loss"], rel=1e-4)
    assert all(fast.sae.get_parameter(name).grad is None for name in ("W_enc", "W_dec"))
    assert all(slow.sae.get_parameter(name).grad is not None for name in ("W_enc", "W_dec"))


def test_a_loss_through_a_model_reaches_the_rows(tiny: ModuleType) -> None:
    def objective(name: str, losses: Losses, batch: Rows) -> torch.Tensor:
        del name, batch
        return losses.x_hat.tanh().square().mean()

    configured = ObjectiveConfig(kind="kl", weight=3.0)
    found = []
    for kind in (TopK, ByHand):
        sae = learner(tiny, kind).sae
        job = Job("one", sae, (Site.parse("resid_post.3"),), View(name="contexts"))
        config = tiny.tiny_config(batch_size=B, n_steps=30, clip_norm=None, objective=configured)
        found.append(trained(tiny, Learner(job, config, objective=objective), contexts=True))
    assert_alike(*found)


def test_an_sae_with_a_projection_of_its_own_trains_with_dense_gradients_and_says_so(tiny: ModuleType) -> None:
    said: list[str] = []

    class Listening(SilentDisplay):
        def say(self, text: str) -> None:
            said.append(text)

    with use_display(Listening()):
        trained(tiny, learner(tiny, ByHand), 3)
        trained(tiny, learner(tiny, TopK), 3)
    assert said == ["one: gradients are dense, since topk has a way of its own to project them"]


def test_rows_that_the_screen_left_open_are_logged() -> None:
    sae = TopK(TopK.Config(d_in=64, n_latents=512, k=4))
    sae.use_kernels("numba")
    x = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    sae.start(x)
    one = Learner(Job("one", sae, (Site.parse("resid_post.3"),)), TrainConfig(n_steps=3, batch_size=64))
    one.step(Rows(x), step=0)
    assert 0.0 <= one.window.row()["screen/recomputed_fraction"] < 1.0
