"""One of two processes that train and capture together. As a script: RANK FOLDER; leaves its results as files under FOLDER.

Also what the test itself calls to do the same alone.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.activations.store.supplies import FakeSupply

from monoseme.activations import DistributedSource, LiveSource, PrefetchSource, SinkFilter
from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.writer import write_store
from monoseme.core.errors import Interrupted
from monoseme.core.folder import LocalFolder
from monoseme.core.launch import Launch
from monoseme.core.seeds import generator
from monoseme.models.site import Site
from monoseme.saes import config_from_dict, sharded
from monoseme.tensors.joining import is_loss_of_company, joined
from monoseme.tensors.processes import ALONE, Group, Mesh, mesh_of
from monoseme.testing.sources import TensorSource
from monoseme.text.given import GivenContexts
from monoseme.training import Callbacks, Job, TrainConfig, TrainResult, train

D, F, K, S, N = 7, 26, 3, 11, 24
SITE = Site.parse("resid_post.0")
SETTINGS: dict[str, dict[str, Any]] = {
    "topk": {"k": K, "dead_after_tokens": 47, "auxk_coefficient": 0.5, "k_aux": 3},
    "batchtopk": {"k": K, "dead_after_tokens": 47, "auxk_coefficient": 0.5, "k_aux": 3},
    "relu": {"target_l0": 4.0},
    "tsae": {"k": K, "contrastive_temperature": 0.5},
}
ALONE_MESH = Mesh()
SHARDED = ("topk", "batchtopk")


def source() -> TensorSource:
    """Sparse mixtures of directions, in contexts of documents of two."""
    directions = torch.randn(19, D, generator=generator(0, "directions"))
    rng = generator(0, "contexts")
    active = (torch.rand(N, S, 19, generator=rng) < 0.2) * torch.rand(N, S, 19, generator=rng)
    return TensorSource({SITE: active @ directions + 1.0})


def run(
    folder: Path, mesh: Mesh = ALONE_MESH, *, names: tuple[str, ...] = tuple(SETTINGS), resume: bool = False, **more: Any
) -> TrainResult:
    """Six steps of batches that two processes cannot halve, with clipping, AuxK, a mean of the weights and validation."""
    jobs = [
        Job(
            name,
            sharded(config_from_dict({"architecture": name, "d_in": D, "n_latents": F, **SETTINGS[name]}), mesh.latents),
            (SITE,),
        )
        for name in names
    ]
    for job in jobs:
        job.sae.use_kernels("torch")
    config = TrainConfig(
        n_steps=6, batch_size=23, lr=0.01, eps=1e-3, clip_norm=0.05, ema_decay=0.5, start_tokens=53, shuffle_window=2,
        log_every=3, validate_every=3, validation_tokens=40, checkpoint_every=2, checkpoint_at=(), keep=9,
    )  # fmt: skip
    callbacks = Callbacks(mesh=mesh, **more)
    return train(source(), jobs, config, folder=folder, held_out=source(), callbacks=callbacks, resume=resume)


class Doubling:
    """A model whose activations are its tokens, doubled: what it is asked for is counted."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.n_forwards = 0
        self.spec = self

    def site_width(self, site: Site) -> int:
        return D

    def capture(self, tokens: torch.Tensor, sites: Any, *, real: Any = None) -> dict[Site, torch.Tensor]:
        self.n_forwards += 1
        return {site: tokens.float().unsqueeze(-1) * torch.arange(1.0, D + 1) for site in sites}

    def content_hash(self) -> str:
        return "doubling"


def live(model: Doubling, *, contexts_per_forward: int) -> LiveSource:
    """Five blocks of 5 contexts and one of 2."""
    contexts = GivenContexts(torch.arange(27 * S).reshape(27, S))
    sinks = SinkFilter(factor=2.0)
    return LiveSource(model, contexts, [SITE], contexts_per_block=5, contexts_per_forward=contexts_per_forward, filter=sinks)


def blocks(both: Group, *, contexts_per_forward: int) -> dict[str, torch.Tensor]:
    """All blocks, made ahead by a thread while this one talks to the others too; and how many forwards it took here."""
    model = Doubling()
    made = live(model, contexts_per_forward=contexts_per_forward)
    _ = made.sink_thresholds
    divided = made if both.size == 1 else DistributedSource(made, both.twin())
    ahead = PrefetchSource(divided)
    found: dict[str, torch.Tensor] = {}
    before = model.n_forwards
    for i in range(6):
        block = ahead.block(i)
        both.sum(torch.ones(3))
        found |= {f"{i}.x": block.activations[SITE].contiguous(), f"{i}.mask": block.mask}
    both.wait()
    return found | {"n_forwards": torch.tensor(model.n_forwards - before)}


def stop_at_three(folder: Path, mesh: Mesh, *, here: bool) -> None:
    """A run that is asked to stop after step 3, by this process or another one."""

    def ask(step: int) -> None:
        if step == 2 and here:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="after step 3"):
        run(folder, mesh, on_step=ask)


def capture(folder: Path, processes: Group = ALONE, *, die_at: int | None = None, resume: bool = False) -> None:
    """A store of four shards of two blocks; at block `die_at` this process is killed."""
    supply = FakeSupply(padded=True)

    def look(i: int) -> None:
        if i == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    supply.before_vectors = look
    storage = StorageConfig(dtype="float32", shard_bytes=7000)
    inputs = {"model": "sha256:m", "text": "sha256:t"}
    write_store(LocalFolder(folder), supply, storage, config={"model": "fake"}, inputs=inputs, processes=processes, resume=resume)


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(str(folder / "meeting"), 2)
    with joined(Launch(rank, 2, rank, 2, "", 0), store=store) as company:
        both = company.processes
        for n in (2, 5):
            save_file(blocks(both, contexts_per_forward=n), folder / f"blocks_{n}.{rank}.safetensors")
        rows = mesh_of(both)
        run(folder / "rows", rows)
        run(folder / "latents", mesh_of(both, latents=2), names=SHARDED)
        stop_at_three(folder / "stopped_together", rows, here=rank == 1)
        run(folder / "stopped_alone", rows, resume=True)
        capture(folder / "store_of_two", both)
        try:
            capture(folder / "store_killed", both, die_at=6 if rank == 1 else None)
        except RuntimeError as error:
            os._exit(0 if is_loss_of_company(error) else 1)  # in order it cannot end: it would wait for the other


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
