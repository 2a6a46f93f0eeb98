"""Rounds are interleaved and fair, the floor is what its parts say, and dead latents are as many as were asked for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monoseme.benchmarks._data import N_SITES, in_view, synthetic_activations
from monoseme.benchmarks._floor import floor_contestants, floor_of, is_of_floor
from monoseme.benchmarks._own import Task, build_sae, dead_latents
from monoseme.benchmarks._rounds import Timing, interleave
from monoseme.benchmarks._sizes import Sizes, sizes_named
from monoseme.core.errors import ConfigError

TINY = sizes_named("tiny")


def test_every_contestant_takes_as_many_steps_and_the_order_is_reversed_each_round() -> None:
    visits: list[str] = []

    def contestant(name: str, seconds: float) -> float:
        visits.append(name)
        return seconds

    found = interleave({"a": lambda: contestant("a", 1.0), "b": lambda: contestant("b", 2.0)}, rounds=2, steps=2, warm_up=1)
    assert visits == ["a", "b", *"aabb", *"bbaa"]
    assert found == {"a": Timing((1.0,) * 4), "b": Timing((2.0,) * 4)}


def test_facts_of_a_timing_are_those_of_its_steps() -> None:
    facts = Timing((0.004, 0.001, 0.002, 0.003, 0.010)).facts()
    assert facts == {"best_ms": 1.0, "median_ms": 3.0, "spread": round((4 - 2) / 3, 3), "n_steps": 5}


@given(st.integers(1, 300), st.floats(0.01, 0.99))
def test_dead_latents_are_as_many_as_asked_for_and_ascend(n_latents: int, fraction: float) -> None:
    dead = dead_latents(n_latents, fraction)
    assert abs(dead.numel() - n_latents * fraction) <= 1
    assert dead.equal(dead.unique())


def test_the_floor_takes_the_fastest_product_and_24_of_the_28_bytes_of_adam() -> None:
    sizes = Sizes("test", 3, 5, 1, 7)
    timings = {"floor: whole": Timing((4.0, 3.0)), "floor: 2 rows": Timing((2.0,)), "floor: adam": Timing((14.0, 28.0))}
    floor = floor_of(timings | {"dense": Timing((1.0,))}, sizes)
    assert (floor.product, floor.adam, floor.seconds, floor.shape) == (2.0, pytest.approx(12.0), pytest.approx(14.0), "2 rows")
    assert floor.product_gflops == pytest.approx(2e-9 * 3 * 5 * 7 / 2.0)
    assert floor.adam_gb_per_s == pytest.approx(2 * 3 * 5 * 28 / 14.0 * 1e-9)


def test_parts_of_the_floor_are_told_from_contestants() -> None:
    parts = floor_contestants(TINY)
    assert all(is_of_floor(name) for name in parts)
    assert not is_of_floor("dense")
    assert all(part() > 0 for part in parts.values())


def test_synthetic_rows_have_a_mean_square_of_their_width_and_come_back() -> None:
    x = synthetic_activations(500, 24)
    assert x.shape == (500, 24)
    assert float(x.square().sum(1).mean()) == pytest.approx(24, rel=1e-5)
    assert x.equal(synthetic_activations(500, 24))
    assert not x.equal(synthetic_activations(500, 24, seed=1))


def test_a_view_holds_the_same_vectors() -> None:
    x = synthetic_activations(11, 7)
    assert in_view(x, "tokens").equal(x)
    assert in_view(x, "pairs").flatten(0, 1).equal(x[:10])
    assert in_view(x, "layers").shape == (2, N_SITES, 7)


@pytest.mark.parametrize("architecture", ["relu", "jumprelu"])
def test_penalised_saes_are_timed_at_the_l0_asked_for(architecture: str) -> None:
    x = synthetic_activations(512, TINY.d_model)
    sae = build_sae(Task(sizes=TINY, architecture=architecture, kernel="reference"), x)
    l0 = sae.encode(x).sparse().l0().float().mean()
    assert float(l0) == pytest.approx(TINY.n_latents / 8, rel=0.02)  # fewer than 50 are an eighth here


def test_latents_made_dead_do_not_fire_and_auxk_works_on_them() -> None:
    x = synthetic_activations(TINY.batch, TINY.d_model)
    sae = build_sae(Task(sizes=TINY, kernel="reference", dead_fraction=0.3), x)
    dead = dead_latents(TINY.n_latents, 0.3)
    losses = sae.loss(x)
    assert losses.parts["auxk"] > 0
    assert losses.active is not None
    fired = losses.active.indices[losses.active.values != 0]
    assert torch.isin(fired, dead).float().mean() < 0.01


def test_an_unknown_size_is_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match="Allowed: A, B"):
        sizes_named("C")
