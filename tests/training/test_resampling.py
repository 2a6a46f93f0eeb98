"""Resampling: which entries change and to what, that nothing else does, and when it happens."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.models.site import Site
from monoseme.saes import build, config_from_dict
from monoseme.training import Job, TrainConfig, read_metrics
from monoseme.training.config import ResampleConfig
from monoseme.training.learner import Learner

DEAD = [2, 5]
SITE = Site.parse("resid_post.3")


def learner_at_the_step_before(tiny: ModuleType, sae: Any = None, **settings: Any) -> Learner:
    """Four steps done, resampling due after the fifth, two latents that cannot fire and count as dead."""
    sae = sae or tiny.tiny_sae()
    sae.start(tiny.TinyFeed(batch_size=50).batch(100).x)
    config = tiny.tiny_config(resample=ResampleConfig(at_steps=(5,)), **settings)
    learner = Learner(Job("one", sae, (SITE,)), config)
    for step in range(4):
        learner.step(tiny.TinyFeed().batch(step), step=step)
    with torch.no_grad():
        sae.b_enc[DEAD] = -100.0
    sae.tokens_since_fired.zero_()
    sae.tokens_since_fired[DEAD] = 1000
    return learner


def everything(learner: Learner) -> dict[str, Tensor]:
    tensors = {**learner.sae.state_dict(), **learner.optimiser.state()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def test_dead_latents_take_the_directions_of_inputs_and_all_else_stays(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    from monoseme.training import learner as module

    learner, seen = learner_at_the_step_before(tiny), []
    real = module.resample

    def watched(*arguments: Any, **settings: Any) -> int:
        seen.append((everything(learner), arguments[2]))
        return real(*arguments, **settings)

    monkeypatch.setattr(module, "resample", watched)
    learner.step(tiny.TinyFeed().batch(4), step=4)
    (before, losses), after, sae = seen[0], everything(learner), learner.sae
    alive = [i for i in range(tiny.F) if i not in DEAD]

    inputs = sae.normalise(losses.x).rows - sae.b_dec
    units = inputs / inputs.norm(dim=1, keepdim=True)
    cosines = after["W_dec"][DEAD] @ units.T
    assert torch.allclose(cosines.amax(1), torch.ones(2))
    assert cosines.argmax(1).unique().numel() == 2  # no input twice
    norm = 0.2 * before["W_enc"][:, alive].norm(dim=0).mean()
    torch.testing.assert_close(after["W_enc"][:, DEAD], norm * after["W_dec"][DEAD].T)
    assert not after["b_enc"][DEAD].any()
    assert not after["tokens_since_fired"][DEAD].any()
    for moment in ("exp_avg", "exp_avg_sq"):
        assert not after[f"W_enc.{moment}"][:, DEAD].any()
        assert not after[f"W_dec.{moment}"][DEAD].any()
        assert not after[f"b_enc.{moment}"][DEAD].any()
    for name, tensor in before.items():
        if "W_enc" in name and tensor.ndim == 2:
            assert torch.equal(tensor[:, alive], after[name][:, alive]), name
        elif tensor.ndim and tensor.shape[0] == tiny.F:
            assert torch.equal(tensor[alive], after[name][alive]), name
        else:
            assert torch.equal(tensor, after[name]), name


def test_badly_reconstructed_inputs_are_drawn_by_their_squared_loss(tiny: ModuleType) -> None:
    from monoseme.training.resampling import _chances

    learner = learner_at_the_step_before(tiny)
    losses = learner.sae.loss(tiny.TinyFeed().batch(4).x)
    wanted = (losses.x - losses.x_hat.detach()).double().square().sum(1) ** 2
    torch.testing.assert_close(_chances(losses, tiny.D), wanted)


def test_the_mean_of_the_weights_follows(tiny: ModuleType) -> None:
    learner = learner_at_the_step_before(tiny, ema_decay=0.9)
    learner.step(tiny.TinyFeed().batch(4), step=4)
    assert torch.equal(learner.result().b_enc[DEAD], torch.zeros(2))
    torch.testing.assert_close(learner.result().W_dec[DEAD], learner.sae.W_dec[DEAD])


def test_resampled_latents_are_no_revivals(tiny: ModuleType) -> None:
    learner = learner_at_the_step_before(tiny)
    learner.step(tiny.TinyFeed().batch(4), step=4)
    row = learner.life.row(learner.sae)
    assert (row["dead"], row["resampled"], row["revivals"]) == (0, 2, 0)


def test_without_dead_latents_nothing_changes(tiny: ModuleType) -> None:
    learner, plain = learner_at_the_step_before(tiny), learner_at_the_step_before(tiny)
    plain._config = tiny.tiny_config()
    for one in (learner, plain):
        one.sae.tokens_since_fired.zero_()
        one.step(tiny.TinyFeed().batch(4), step=4)
    left, right = everything(learner), everything(plain)
    assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_it_falls_due_at_steps_and_every_so_many_tokens() -> None:
    config = ResampleConfig(every_tokens=12, at_steps=(4,))
    assert [done for done in range(1, 10) if config.due(done, batch_size=5)] == [3, 4, 5, 8]  # 15, 20, 25, 40 tokens
    assert not any(ResampleConfig().due(done, batch_size=5) for done in range(1, 10))


def test_a_run_that_resamples_resumes_to_the_bit(tiny: ModuleType, tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done == 9:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {
        "n_steps": 23,
        "dead_after_tokens": 8,
        "names": ("one",),
        "resample": ResampleConfig(every_tokens=20),
    }
    whole = tiny.tiny_run(tmp_path / "whole", **settings).saes["one"]
    resampled = [row.get("resampled", 0) for row in read_metrics(tmp_path / "whole" / "metrics.jsonl")]
    assert sum(resampled) > 0
    with pytest.raises(KeyboardInterrupt):
        tiny.tiny_run(tmp_path / "stopped", on_step=stop, **settings)
    resumed = tiny.tiny_run(tmp_path / "stopped", resume=True, **settings).saes["one"]
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_an_sae_of_another_make_is_refused(tiny: ModuleType) -> None:
    sae = build(config_from_dict({"architecture": "gated", "d_in": tiny.D, "n_latents": tiny.F}))
    with pytest.raises(ConfigError, match="gated cannot be resampled"):
        Learner(Job("one", sae, (SITE,)), tiny.tiny_config(resample=ResampleConfig(at_steps=(5,))))


@pytest.mark.parametrize("resample", [ResampleConfig(at_steps=(3, 8)), ResampleConfig(every_tokens=36)])
def test_a_time_after_the_end_of_the_run_is_refused(resample: ResampleConfig) -> None:
    with pytest.raises(ConfigError, match="it would never happen"):
        TrainConfig(n_steps=7, batch_size=5, resample=resample)
