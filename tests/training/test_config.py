"""Training settings: what is refused, and when things fall due."""

import pytest

from monoseme.core.config import from_dict, to_dict
from monoseme.core.errors import ConfigError
from monoseme.training.config import ScheduleConfig, TrainConfig


def test_tokens_make_whole_steps() -> None:
    assert TrainConfig(n_tokens=1001, batch_size=100).steps == 11


def test_tokens_and_steps_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="give one"):
        TrainConfig(n_tokens=1000, n_steps=10)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"accumulate": 5, "batch_size": 3}, "empty parts"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"clip_norm": -1.0}, "clip_norm is -1.0"),
        ({"betas": (0.9, 1.0)}, "below 1"),
        ({"checkpoint_at": (0.5, 1.5)}, "1.5"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"early_stop_patience": 0}, "early_stop_patience"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**settings)


@pytest.mark.parametrize("settings", [{"decay_fraction": 0.5}, {"final_fraction": 0.1}])
def test_a_constant_schedule_refuses_settings_of_a_decay(settings: dict) -> None:
    with pytest.raises(ConfigError, match="would be ignored"):
        ScheduleConfig(kind="constant", **settings)


def test_no_decay_is_said_with_the_kind_not_with_a_zero() -> None:
    with pytest.raises(ConfigError, match="constant"):
        ScheduleConfig(decay_fraction=0.0)


def test_a_config_survives_json() -> None:
    config = TrainConfig(n_steps=7, schedule=ScheduleConfig(kind="cosine", warmup_steps=2), checkpoint_at=(0.5,))
    assert from_dict(TrainConfig, to_dict(config)) == config


def test_checkpoints_fall_at_steps_fractions_and_the_end() -> None:
    config = TrainConfig(n_steps=11, checkpoint_every=4, checkpoint_at=(0.5,))
    assert [done for done in range(1, 12) if config.checkpoint_due(done)] == [4, 6, 8, 11]


def test_the_last_step_is_logged_and_validated() -> None:
    config = TrainConfig(n_steps=7, log_every=5, validate_every=3)
    assert [done for done in range(1, 8) if config.log_due(done)] == [5, 7]
    assert [done for done in range(1, 8) if config.validation_due(done)] == [3, 6, 7]
