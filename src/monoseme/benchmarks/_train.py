"""Training steps: ours, the dense reference, the floor, and where asked for the peers, in the same interleaved rounds."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch

from monoseme.benchmarks._activity import Activity
from monoseme.benchmarks._data import synthetic_activations
from monoseme.benchmarks._dense_losses import DENSE, WITH_AUXK
from monoseme.benchmarks._floor import Floor, floor_contestants, floor_of, is_of_floor
from monoseme.benchmarks._machine import machine_facts, use_threads
from monoseme.benchmarks._memory import peak_memory_mb
from monoseme.benchmarks._own import DenseStep, OwnStep, Task
from monoseme.benchmarks._peers import PeerProcess, peer_contestants
from monoseme.benchmarks._rounds import Contestant, Timing, interleave
from monoseme.benchmarks._sizes import Sizes, sizes_named
from monoseme.benchmarks._sweep import bench_sweep
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.kernels import default_choice, resolve

_N_BATCHES = 4
_CLIP_NORM = 1.0  # the default of training runs
_BITES = 1e-6
"""A norm that every gradient exceeds, so that clipping scales at each step."""


@dataclass(frozen=True, kw_only=True)
class TrainBench:
    """What is timed, and how long."""

    configs: tuple[str, ...] = ("A", "B")
    """Sizes: A (512 to 8,192 latents), B (768 to 24,576), tiny."""
    architectures: tuple[str, ...] = ("topk",)
    """Of topk, batchtopk, relu, jumprelu, matryoshka, tsae, mlsae."""
    kernels: tuple[str, ...] = ("auto", "torch")
    """Kernel sets; results are told of the first, the others stand beside it. auto: what SAEs take here, or --kernel says."""
    rounds: int = 8
    """Times that every contestant is visited (count)."""
    steps: int = 2
    """Steps of a visit (count)."""
    threads: int | None = None
    """Of torch. None: torch's own number."""
    dead: float | None = None
    """Also with this share of the latents dead and AuxK at work on them, in (0, 1)."""
    clip: bool = False
    """Also clipping at norm 1, as runs do by default, and a gradient that is scaled at every step; else nothing is clipped, since
    the dense reference does not."""
    sweep: int | None = None
    """Also so many SAEs of 256 to 2,048 latents on one stream, against as many by themselves (count, at least 2)."""
    memory: bool = True
    """Measure peak memory, each contestant in a process of its own."""
    peers: bool = False
    """With topk, also sae-lens, dictionary-learning and eai-sparsify, in environments of their own (made once, 5 GB)."""

    def __post_init__(self) -> None:
        for name in self.architectures:
            if name not in DENSE:
                allowed = ", ".join(DENSE)
                raise ConfigError(f'there is no dense reference of "{name}".{suggest(name, DENSE)}\n  Allowed: {allowed}')
        for name in ("configs", "architectures", "kernels"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty: name at least one")
        for name in ("rounds", "steps", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1")
        if self.dead is not None and not 0.0 < self.dead < 1.0:
            raise ConfigError(f"dead is {self.dead}; it must be above 0 and below 1")
        if self.sweep is not None and self.sweep < 2:
            raise ConfigError(f"sweep is {self.sweep}; it must be at least 2")
        self._require_used()

    def _require_used(self) -> None:
        if self.dead is not None and not set(self.architectures) & set(WITH_AUXK):
            raise ConfigError(f"dead needs an architecture with an auxiliary loss.\n  Allowed: {', '.join(WITH_AUXK)}")
        if self.peers and "topk" not in self.architectures:
            raise ConfigError("peers are timed with topk: add it to architectures, or leave peers out")


def bench_train(bench: TrainBench) -> dict[str, Any]:
    """Times all sizes and architectures; JSON-able. Raises ConfigError for a size or kernel set that there is not.

    `configs` has one entry for each size and architecture, of the first kernel set; its `contestants` are all that took part.
    """
    every = [sizes_named(name) for name in dict.fromkeys(bench.configs)]
    kernels = tuple(dict.fromkeys(resolve(default_choice() if choice == "auto" else choice) for choice in bench.kernels))
    use_threads(bench.threads)
    bench = replace(bench, kernels=kernels)
    rows = [_one(bench, sizes, architecture) for sizes in every for architecture in dict.fromkeys(bench.architectures)]
    sweep = {} if bench.sweep is None else {"sweep": _sweep(bench, n_saes=bench.sweep)}
    return {"benchmark": "train", "configs": rows, **sweep, "machine": machine_facts()}


def _one(bench: TrainBench, sizes: Sizes, architecture: str) -> dict[str, Any]:
    """One size and architecture."""
    x = synthetic_activations(_N_BATCHES * sizes.batch, sizes.d_model)
    tasks = _tasks(bench, Task(sizes=sizes, architecture=architecture, kernel=bench.kernels[0]))
    plain = next(iter(tasks.values()))
    with ExitStack() as stack:
        contestants: dict[str, Contestant] = {"dense": DenseStep(plain, plain.batches(x))}
        contestants |= {name: OwnStep(task, task.batches(x)) for name, task in tasks.items()}
        contestants |= floor_contestants(sizes)
        if bench.peers and architecture == "topk":
            contestants |= peer_contestants(stack, x, sizes)
        description = f"{sizes.name} {architecture}"
        before = _activities(contestants)
        timings = interleave(contestants, rounds=bench.rounds, steps=bench.steps, description=description)
        activities = _from_to(before, _activities(contestants))
        peers = {name: peer.peak_memory_mb() for name, peer in contestants.items() if isinstance(peer, PeerProcess)}
        contestants.clear()  # their memory is wanted for the processes that measure memory
    memory = peers | (_memory(tasks, plain=plain) if bench.memory else {})
    return _entry(bench.kernels[0], plain, timings, memory, activities)


def _activities(contestants: Mapping[str, Contestant]) -> dict[str, Activity]:
    """Of those whose latents are not on by a k."""
    steps = {name: step.activity() for name, step in contestants.items() if isinstance(step, OwnStep | DenseStep)}
    return {name: activity for name, activity in steps.items() if activity is not None}


def _from_to(before: Mapping[str, Activity], after: Mapping[str, Activity]) -> dict[str, dict[str, Any]]:
    """For JSON: before the first step of each and after its last, warm-up included."""
    return {
        name: {
            f"{fact}_{when}": None if value is None else round(value, 1)
            for when, activity in (("start", before[name]), ("end", after[name]))
            for fact, value in activity._asdict().items()
        }
        for name in before
    }


def _sweep(bench: TrainBench, *, n_saes: int) -> dict[str, Any]:
    """Of TopK, with the first kernel set."""
    sizes = sizes_named("sweep")
    x = synthetic_activations(_N_BATCHES * sizes.batch, sizes.d_model)
    task = Task(sizes=sizes, kernel=bench.kernels[0])
    return bench_sweep(task, x, n_saes=n_saes, rounds=bench.rounds, steps=bench.steps)


def _tasks(bench: TrainBench, task: Task) -> dict[str, Task]:
    """Our contestants by name: each kernel set, and the variants asked for with the first of them."""
    tasks = {kernel: replace(task, kernel=kernel) for kernel in bench.kernels}
    first = bench.kernels[0]
    if bench.clip:
        tasks[f"{first}, clipped at {_CLIP_NORM:g}"] = replace(task, clip_norm=_CLIP_NORM)
        tasks[f"{first}, always clipped"] = replace(task, clip_norm=_BITES)
    if bench.dead is not None and task.architecture in WITH_AUXK:
        dead = replace(task, dead_fraction=bench.dead)
        tasks[f"{first}, {bench.dead:.0%} dead"] = dead
        tasks[f"{first}, {bench.dead:.0%} dead, AuxK on every token"] = replace(dead, settings=(("auxk_one_in", 1),))
    return tasks


def _entry(
    kernel: str,
    task: Task,
    timings: Mapping[str, Timing],
    memory: Mapping[str, float | None],
    activities: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    """The entry of `configs`."""
    sizes, own, floor = task.sizes, timings[kernel], floor_of(timings, task.sizes)
    rows = [_row(name, timings, floor, memory) | activities.get(name, {}) for name in timings if not is_of_floor(name)]
    return {
        "config": sizes.name,
        "architecture": task.architecture,
        "d_model": sizes.d_model,
        "n_latents": sizes.n_latents,
        "k": sizes.k,
        "batch": sizes.batch,
        "kernel": kernel,
        "activations_per_s": round(sizes.batch / own.best),
        "activations_per_s_median": round(sizes.batch / own.median),
        "ratio_to_dense": round(timings["dense"].best / own.best, 2),
        "ratio_to_dense_median": round(timings["dense"].median / own.median, 2),
        "share_of_floor": round(floor.seconds / own.best, 3),
        "peak_rss_mb": memory.get(kernel),
        "peak_rss_mb_dense": memory.get("dense"),
        "floor": {"ms": round(1e3 * floor.seconds, 3), **_rounded(floor)},
        "contestants": rows,
    }


def _row(name: str, timings: Mapping[str, Timing], floor: Floor, memory: Mapping[str, float | None]) -> dict[str, Any]:
    timing, dense = timings[name], timings["dense"]
    return {
        "name": name,
        **timing.facts(),
        "ratio_to_dense": round(dense.best / timing.best, 2),
        "ratio_to_dense_median": round(dense.median / timing.median, 2),
        "share_of_floor": round(floor.seconds / timing.best, 3),
        "peak_rss_mb": memory.get(name),
    }


def _rounded(floor: Floor) -> dict[str, Any]:
    return {
        "product_ms": round(1e3 * floor.product, 3),
        "adam_ms": round(1e3 * floor.adam, 3),
        "product_gflops": round(floor.product_gflops, 1),
        "adam_gb_per_s": round(floor.adam_gb_per_s, 1),
        "product_shape": floor.shape,
    }


def _memory(tasks: Mapping[str, Task], *, plain: Task) -> dict[str, float | None]:
    """MB of each contestant by itself."""
    threads = torch.get_num_threads()
    own = {name: peak_memory_mb(task, dense=False, threads=threads) for name, task in tasks.items()}
    return {**own, "dense": peak_memory_mb(plain, dense=True, threads=threads)}
