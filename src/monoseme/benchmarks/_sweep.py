"""Many SAEs on one stream: a step of all of them on one batch, against as many steps of SAEs that have theirs alone."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from monoseme.benchmarks._own import OwnStep, Task
from monoseme.benchmarks._rounds import Contestant, Timing, interleave

_TOGETHER = "together"


class SweepStep:
    """Several SAEs, alike but for their seeds, that take each step on the same batch, as those of one run do."""

    def __init__(self, task: Task, batches: Sequence[Tensor], *, n_saes: int) -> None:
        """Each begins like an SAE by itself."""
        self._steps = [OwnStep(_with_seed(task, seed), batches) for seed in range(n_saes)]

    def __call__(self) -> float:
        """Seconds of the next step of all."""
        began = time.perf_counter()
        for step in self._steps:
            step()
        return time.perf_counter() - began


def bench_sweep(task: Task, x: Tensor, *, n_saes: int, rounds: int, steps: int) -> dict[str, Any]:
    """Seconds of a step of all together, over the sum of the steps of each alone, in interleaved rounds; JSON-able."""
    batches = task.batches(x)
    contestants: dict[str, Contestant] = {_TOGETHER: SweepStep(task, batches, n_saes=n_saes)}
    contestants |= {f"alone, seed {seed}": OwnStep(_with_seed(task, seed), batches) for seed in range(n_saes)}
    timings = interleave(contestants, rounds=rounds, steps=steps, description=f"sweep of {n_saes}")
    return _entry(timings, task, n_saes=n_saes)


def _entry(timings: Mapping[str, Timing], task: Task, *, n_saes: int) -> dict[str, Any]:
    together, alone = timings[_TOGETHER], [timing for name, timing in timings.items() if name != _TOGETHER]
    sizes = task.sizes
    return {
        "n_saes": n_saes,
        "d_model": sizes.d_model,
        "n_latents": sizes.n_latents,
        "k": sizes.k,
        "batch": sizes.batch,
        "kernel": task.kernel,
        "best_ms_together": round(1e3 * together.best, 3),
        "best_ms_alone": round(1e3 * sum(timing.best for timing in alone), 3),
        "share_of_separate_steps": round(together.best / sum(timing.best for timing in alone), 3),
        "share_of_separate_steps_median": round(together.median / sum(timing.median for timing in alone), 3),
    }


def _with_seed(task: Task, seed: int) -> Task:
    return replace(task, settings=(*task.settings, ("seed", seed)))
