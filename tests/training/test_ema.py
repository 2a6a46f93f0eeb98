"""The mean of the weights: its formula, its unit rows, and that it is what is measured, kept and handed back."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import Knobs
from monoseme.training import Job, open_checkpoint, read_metrics
from monoseme.training.learner import Learner

DECAY = 0.7


def learner_of(tiny: ModuleType) -> Learner:
    sae = tiny.tiny_sae()
    sae.start(tiny.TinyFeed(batch_size=50).batch(100).x)
    return Learner(Job("one", sae, ()), tiny.tiny_config(ema_decay=DECAY))


def test_it_is_the_weighted_mean_of_all_steps(tiny: ModuleType) -> None:
    learner = learner_of(tiny)
    seen = []
    for step in range(5):
        learner.step(tiny.TinyFeed().batch(step), step=step)
        seen.append(learner.sae.get_parameter("W_enc").detach().double().clone())
    weights = torch.tensor([DECAY ** (4 - i) for i in range(5)], dtype=torch.float64)
    wanted = sum(w * x for w, x in zip(weights / weights.sum(), seen, strict=True))
    torch.testing.assert_close(learner.result().get_parameter("W_enc").double(), wanted, rtol=1e-5, atol=1e-6)


def test_after_one_step_it_is_the_weights(tiny: ModuleType) -> None:
    learner = learner_of(tiny)
    learner.step(tiny.TinyFeed().batch(0), step=0)
    assert torch.equal(learner.result().get_parameter("b_enc"), learner.sae.get_parameter("b_enc"))


def test_rows_have_unit_norm_and_buffers_are_those_of_the_sae(tiny: ModuleType) -> None:
    learner = learner_of(tiny)
    for step in range(5):
        learner.step(tiny.TinyFeed().batch(step), step=step)
    before = {name: tensor.clone() for name, tensor in learner.sae.state_dict().items()}
    mean = learner.result()
    torch.testing.assert_close(mean.W_dec.norm(dim=1), torch.ones(tiny.F))
    assert all(torch.equal(tensor, dict(learner.sae.named_buffers())[name]) for name, tensor in mean.named_buffers())
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.sae.state_dict().items())
    assert not torch.equal(mean.W_dec, learner.sae.W_dec)


def test_the_mean_is_validated_kept_opened_and_handed_back(tiny: ModuleType, tmp_path: Path) -> None:
    result = tiny.tiny_run(tmp_path, names=("one",), ema_decay=DECAY)
    plain = tiny.tiny_run(tmp_path / "plain", names=("one",))
    opened = open_checkpoint(tmp_path)["one"]
    assert all(torch.equal(tensor, opened.state_dict()[name]) for name, tensor in result.saes["one"].state_dict().items())
    assert not torch.equal(opened.W_dec, plain.saes["one"].W_dec)
    held_out = tiny.tiny_held_out(("one",))["one"].measure(opened, knobs=Knobs(step=13, progress=1.0))
    last = [row for row in read_metrics(tmp_path / "metrics.jsonl") if row.get("event") == "validation"][-1]
    assert {key: last[key] for key in held_out} == held_out


def test_the_mean_resumes_to_the_bit(tiny: ModuleType, tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {"names": ("one",), "ema_decay": DECAY}
    whole = tiny.tiny_run(tmp_path / "whole", **settings).saes["one"]
    with pytest.raises(KeyboardInterrupt):
        tiny.tiny_run(tmp_path / "stopped", on_step=stop, **settings)
    resumed = tiny.tiny_run(tmp_path / "stopped", resume=True, **settings).saes["one"]
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_a_decay_that_keeps_nothing_or_everything_is_refused(tiny: ModuleType, decay: float) -> None:
    with pytest.raises(ConfigError, match="ema_decay"):
        tiny.tiny_config(ema_decay=decay)
