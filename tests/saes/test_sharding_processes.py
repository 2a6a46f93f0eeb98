"""Four real processes (gloo) that share an SAE in three ways, against the SAE by itself."""

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from monoseme.saes import SAE, own_tensors, sharded, whole_tensors
from monoseme.tensors.processes import Mesh, everyone, mesh_of
from tests.saes._meshed import batches, same_everywhere, same_step
from tests.saes._subjects import subject

_N = 4
_SECONDS = 60.0
"""A machine with nothing else to do needs five: most of it to import torch."""


@pytest.mark.slow  # twenty seconds of two cores; threads and two processes stand for the four by default
def test_processes_take_the_steps_of_the_whole(tmp_path: Path) -> None:
    context = multiprocessing.start_processes(
        _work, args=(str(tmp_path / "meeting"),), nprocs=_N, join=False, start_method="spawn"
    )
    try:
        ends = time.monotonic() + _SECONDS
        while not context.join(timeout=1.0):  # ends early, with the error of a process that failed
            assert time.monotonic() < ends, "the processes wait for each other"
    finally:
        for process in context.processes:
            if process.is_alive():
                process.kill()


def _work(rank: int, meeting: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=_N, timeout=timedelta(seconds=_SECONDS)
    )
    try:
        for latents in (1, 2, 4):
            mesh = mesh_of(everyone(), latents=latents)
            for name in ("topk", "batchtopk"):
                _compare(name, mesh)
    finally:
        torch.distributed.destroy_process_group()


def _compare(name: str, mesh: Mesh) -> None:
    given = subject(name)
    alone = given.build(dead_after_tokens=20, k_aux=3, auxk_one_in=3)
    alone.tokens_since_fired[::4] = 10**9  # all on one process, where four divide the latents
    mine = sharded(replace(alone.config), mesh.latents)
    mine.load_state_dict(own_tensors(mine, alone.state_dict()))
    for sae in (mine, alone):
        sae.use_kernels("torch")
    for step, x in enumerate(batches(given, 13, 3)):
        same_step(mine, alone, x, mesh, step=step)
    same_everywhere(mine, mesh.rows)
    _same_whole(mine, alone, mesh)


def _same_whole(mine: SAE, alone: SAE, mesh: Mesh) -> None:
    for key, tensor in whole_tensors(mine, mine.state_dict()).items():
        torch.testing.assert_close(tensor, alone.state_dict()[key], rtol=1e-4, atol=1e-5)
    held = mine.b_dec.detach()  # all hold it whole
    assert all(torch.equal(held, other) for other in mesh.latents.gather(held))
