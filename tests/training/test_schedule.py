"""The learning rate as a function of the step."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.training.config import ScheduleConfig
from monoseme.training.schedule import default_rate, rate_factor, warmup_steps


def factors(n_steps: int, **settings) -> list[float]:
    config = ScheduleConfig(**settings)
    return [rate_factor(step, config=config, n_steps=n_steps) for step in range(n_steps)]


def test_the_default_rate_of_a_long_run_falls_with_the_root_of_the_width() -> None:
    assert default_rate(16_384, 100_000) == 2e-4
    assert default_rate(4_096, 30_000) == pytest.approx(4e-4)


def test_the_default_rate_of_a_short_run_is_higher_up_to_ten_times() -> None:
    assert default_rate(4_096, 1_200) == pytest.approx(2e-3)
    assert default_rate(4_096, 300) == pytest.approx(4e-3)
    assert default_rate(4_096, 75) == pytest.approx(4e-3)


def test_warmup_is_a_twentieth_of_the_run_and_at_most_a_thousand_steps() -> None:
    assert warmup_steps(ScheduleConfig(), 200) == 10
    assert warmup_steps(ScheduleConfig(), 1_000_000) == 1000


def test_warmup_rises_to_the_peak_and_never_is_zero() -> None:
    assert factors(9, kind="constant", warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_linear_decay_takes_the_last_part_of_the_run() -> None:
    assert factors(10, warmup_steps=0, decay_fraction=0.4) == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_cosine_is_half_way_down_in_its_middle() -> None:
    values = factors(8, kind="cosine", warmup_steps=0, final_fraction=0.2)
    assert values[4] == pytest.approx(0.6)
    assert values[2] == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi / 4)))


def test_decay_waits_for_a_longer_warmup() -> None:
    assert factors(5, warmup_steps=4, decay_fraction=1.0) == [0.25, 0.5, 0.75, 1.0, 1.0]


@given(
    n_steps=st.integers(1, 400),
    kind=st.sampled_from(["constant", "linear", "cosine"]),
    warmup=st.none() | st.integers(0, 50),
)
def test_every_factor_is_above_zero_and_at_most_one(n_steps: int, kind: str, warmup: int | None) -> None:
    values = factors(n_steps, kind=kind, warmup_steps=warmup)
    assert all(0.0 < value <= 1.0 for value in values)
