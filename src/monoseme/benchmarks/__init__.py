"""How fast it is here: training steps, capture and whole runs, against a dense reference, the machine's floor, and the peers.

Each benchmark is a frozen config, a function from it to JSON-able numbers, and a table of these for people.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from monoseme.benchmarks._capture import CaptureBench, bench_capture
from monoseme.benchmarks._e2e import E2EBench, bench_e2e
from monoseme.benchmarks._page import write_page
from monoseme.benchmarks._tables import capture_table, e2e_table, train_table
from monoseme.benchmarks._train import TrainBench, bench_train

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "CaptureBench",
    "E2EBench",
    "TrainBench",
    "bench_capture",
    "bench_e2e",
    "bench_train",
    "write_page",
]


class Benchmark(NamedTuple):
    """One of the things that can be timed."""

    summary: str
    config: type[Any]
    run: Callable[[Any], dict[str, Any]]
    table: Callable[[Mapping[str, Any]], str]


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "train": Benchmark(
            "Training steps of SAEs beside dense PyTorch, the floor, and the peers.", TrainBench, bench_train, train_table
        ),
        "capture": Benchmark(
            "The language model's side alone, beside bare forward loops.", CaptureBench, bench_capture, capture_table
        ),
        "e2e": Benchmark("Whole runs, from tokens to a trained SAE, beside the peers.", E2EBench, bench_e2e, e2e_table),
    }
)
"""By the word after `monoseme bench`."""
