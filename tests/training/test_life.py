"""The life of the latents: counted by hand, in fixed bins, and the same rows after a resume."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from monoseme.saes import Losses
from monoseme.tensors.sparse import SparseCodes
from monoseme.training import read_metrics
from monoseme.training.life import AGE_BINS, DENSITY_BINS, LatentLife


def step(sae: Any, life: LatentLife, dense: torch.Tensor) -> None:
    active = SparseCodes.from_dense(dense)
    zero = torch.zeros(len(dense), 1)
    losses = Losses(torch.zeros(()), {}, active, zero, zero)
    sae.after_step(losses)
    life.add(sae, losses)


def fires(tiny: ModuleType, *latents: int, n_rows: int = 10) -> torch.Tensor:
    """In the first row each of the latents fires once."""
    dense = torch.zeros(n_rows, tiny.F)
    dense[0, list(latents)] = 1.0
    return dense


def test_firings_deaths_and_revivals_are_those_of_the_steps(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()  # dead after 23 tokens
    life = LatentLife(sae)
    for latents in [(0, 1), (0,), (0,), (0, 1)]:
        step(sae, life, fires(tiny, *latents))
    row = life.row(sae)
    # Latent 1 fell silent for 20 tokens and fired again before it was dead; the nine others died at 30 tokens.
    assert (row["silent"], row["dead"], row["deaths"], row["revivals"]) == (9, 9, 9, 0)
    step(sae, life, fires(tiny, 1, 4, 7))
    row = life.row(sae)
    assert (row["dead"], row["deaths"], row["revivals"]) == (7, 9, 2)


def test_a_latent_that_dies_and_comes_back_within_a_window_counts_as_both(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()
    life = LatentLife(sae)
    step(sae, life, fires(tiny, *range(1, 11), n_rows=30))
    step(sae, life, fires(tiny, *range(11), n_rows=1))
    row = life.row(sae)
    assert (row["dead"], row["deaths"], row["revivals"]) == (0, 1, 1)


def test_histograms_hold_every_latent_once_in_its_bin(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()
    life = LatentLife(sae)
    dense = torch.zeros(10, tiny.F)
    dense[:, 0] = 1.0  # density 1: the last bin
    dense[0, 1] = 1.0  # density 0.1 = 10^-1: the bin that begins there
    dense[:5, 2] = 1.0  # density 0.5 = 10^-0.30
    step(sae, life, dense)
    row = life.row(sae)
    filled = {DENSITY_BINS[i]: n for i, n in enumerate(row["density"]) if n}
    assert filled == {-0.25: 1, -0.5: 1, -1.0: 1}
    assert sum(row["density"]) + row["silent"] == tiny.F
    ages = {AGE_BINS[i]: n for i, n in enumerate(row["age"]) if n}
    assert ages == {0.0: 3, 1.0: 8}  # fired in the last batch, or silent for its ten tokens
    assert len(row["density"]) == len(row["density_bins"]) - 1
    assert len(row["age"]) == len(row["age_bins"]) - 1


def test_explicit_zeros_did_not_fire(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()
    life = LatentLife(sae)
    active = SparseCodes.from_rows(
        torch.tensor([0, 1]), torch.tensor([3, 3], dtype=torch.int32), torch.tensor([0.0, 2.0]), n_rows=2, n_latents=tiny.F
    )
    zero = torch.zeros(2, 1)
    life.add(sae, Losses(torch.zeros(()), {}, active, zero, zero))
    assert life.tensors()["fired"].tolist() == [0, 0, 0, 1] + [0] * 7


def latents_rows(folder: Path) -> list[dict[str, Any]]:
    return [row for row in read_metrics(folder / "metrics.jsonl") if row.get("event") == "latents"]


def test_rows_come_at_log_and_validation_steps(tiny: ModuleType, tmp_path: Path) -> None:
    tiny.tiny_run(tmp_path, names=("one",))
    rows = latents_rows(tmp_path)
    assert [row["step"] for row in rows] == [3, 4, 6, 8, 9, 12, 13]
    assert all(sum(row["age"]) == tiny.F for row in rows)


def test_rows_are_the_same_after_a_resume(tiny: ModuleType, tmp_path: Path) -> None:
    def stop(done: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    tiny.tiny_run(tmp_path / "whole", names=("one",), n_steps=29, dead_after_tokens=8)
    with pytest.raises(KeyboardInterrupt):
        tiny.tiny_run(tmp_path / "stopped", names=("one",), n_steps=29, dead_after_tokens=8, on_step=stop)
    tiny.tiny_run(tmp_path / "stopped", names=("one",), n_steps=29, dead_after_tokens=8, resume=True)
    assert latents_rows(tmp_path / "stopped") == latents_rows(tmp_path / "whole")
    assert sum(row["deaths"] + row["revivals"] for row in latents_rows(tmp_path / "whole")) > 0
