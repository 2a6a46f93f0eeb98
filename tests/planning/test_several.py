"""Runs of several processes: what each computes and sends, by hand."""

import dataclasses
from pathlib import Path

import pytest

from monoseme.pipeline import RunConfig
from monoseme.planning import PlanConfig
from monoseme.planning.exchanges import bytes_sent
from monoseme.planning.outline import RunOutline
from monoseme.planning.run_time import Counts, Shares, training_time
from monoseme.planning.speed import TrainingSpeed
from monoseme.planning.train_plan import _TrainingPlan

_SPEED = TrainingSpeed(
    loading=1.0, starting=2.0, compiling=0.0, step_model=6.0, step_stream=8.0, step_saes=10.0, log=0.0, validation=3.0,
    checkpoint=0.5, checkpoint_bytes=100, batch_size=96,
)  # fmt: skip


def test_a_process_alone_sends_nothing(config: RunConfig) -> None:
    assert bytes_sent(RunOutline(config), Shares()) == 0


def test_what_is_sent_is_the_hand_worked_sum(config: RunConfig) -> None:
    outline = RunOutline(config)
    d, f, batch = outline.models["model"].spec.d_model, 37, 96
    parameters, rows = 4 * (2 * d * f + f + d), batch * d * 4
    assert bytes_sent(outline, Shares(rows=4)) == pytest.approx(2 * 3 / 4 * parameters + 3 / 4 * rows)
    assert bytes_sent(outline, Shares(latents=2)) == pytest.approx(1 / 2 * rows + 4 * 1 / 2 * rows)
    both = 2 * 3 / 4 * parameters / 2 + 7 / 8 * rows + 4 * 1 / 2 * rows / 4
    assert bytes_sent(outline, Shares(rows=4, latents=2)) == pytest.approx(both)


def test_forwards_are_divided_by_all_and_batches_by_those_that_share_rows() -> None:
    counts = Counts(steps=5, logs=0, validations=2, checkpoints=2)
    times = training_time(_SPEED, counts, text=None, ending_bytes=50, shares=Shares(rows=2, latents=3), traffic=0.25)
    parts = {part.name: part.value for part in times}
    assert parts["model and stream"] == 5 * (6 / 6 + 2 / 2)
    assert parts["SAEs"] == 5 * 10 / 2
    assert parts["exchanges"] == 5 * 0.25
    assert parts["time"] == pytest.approx(1 + 2 + 10 + 25 + 0 + 6 + 1 + 0 + 0.5 + 1.25)
    assert times[-1].found == "estimated"


def test_with_divided_latents_one_part_of_them_is_probed(config: RunConfig, tmp_path: Path) -> None:
    settings = dataclasses.replace(config.settings, train=dataclasses.replace(config.train, latent_shards=4))
    plan = _TrainingPlan(RunConfig.of(settings, config.saes), tmp_path / "a", PlanConfig(processes=8))
    alone = plan._alone()
    assert (alone.saes[0].n_latents, alone.train.latent_shards) == (10, 1)
    assert plan._shares == Shares(rows=2, latents=4)
