"""Every registered architecture in the loop: its view, masks, held-out batches, accumulation, and a resume to the same bits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.saes._subjects import subject

from monoseme.models.site import Site
from monoseme.saes import SAES
from monoseme.testing.sources import random_source
from monoseme.testing.subject import sites_of
from monoseme.training import Callbacks, Job, TrainConfig, TrainResult, open_checkpoint, read_metrics, train

SITES = tuple(Site("resid_post", layer) for layer in range(4))


class Killed(Exception):
    """Stands for a kill."""


def run(name: str, folder: Path, *, stop_at: int | None = None, resume: bool = False, **settings: Any) -> TrainResult:
    """Eleven steps on random activations with masked tokens and short documents."""
    given = subject(name)  # that of the conformance battery, which knows what an architecture needs
    sae = given.architecture(replace(given.small, dead_after_tokens=40))
    job = Job(name, sae, SITES[: sites_of(given.small)])
    source, held_out = (random_source(sites=SITES, seed=seed, width=7) for seed in range(2))
    config = TrainConfig(**{**SETTINGS, **settings})

    def stop(done: int) -> None:
        if done == stop_at:
            raise Killed

    callbacks = Callbacks(on_step=stop)
    return train(source, [job], config, folder=folder, held_out=held_out, callbacks=callbacks, resume=resume)


SETTINGS: dict[str, Any] = {
    "n_steps": 11,
    "batch_size": 26,
    "start_tokens": 52,
    "lr": 0.005,
    "log_every": 3,
    "validate_every": 4,
    "validation_tokens": 30,
    "checkpoint_every": 2,
    "checkpoint_at": (),
    "ema_decay": 0.8,
    "shuffle_window": 2,
}


@pytest.mark.parametrize("name", SAES.names())
def test_a_run_that_was_killed_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    whole = run(name, tmp_path / "whole")
    with pytest.raises(Killed):
        run(name, tmp_path / "killed", stop_at=7)
    resumed = run(name, tmp_path / "killed", resume=True)
    left, right = whole.saes[name].state_dict(), resumed.saes[name].state_dict()
    assert [key for key in left if not torch.equal(left[key], right[key])] == []
    assert whole.best == resumed.best
    raw, again = (open_checkpoint(folder)[name].state_dict() for folder in (tmp_path / "whole", tmp_path / "killed"))
    assert [key for key in raw if not torch.equal(raw[key], again[key])] == []


@pytest.mark.parametrize("name", SAES.names())
def test_rows_and_validations_are_finite_also_with_accumulation(name: str, tmp_path: Path) -> None:
    run(name, tmp_path, accumulate=2, n_steps=4, ema_decay=None)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert {row.get("event") for row in rows} >= {None, "validation"}
    told = [row for row in rows if row.get("event") != "latents"]
    missing = {key for row in told for key, value in row.items() if value is None}
    assert missing == set()
    assert all(row["l0"] >= 0 for row in told)
