"""How fast it is here: training, capture, stored activations, whole runs, against a dense reference, a floor, and the peers.

Each benchmark is a frozen config, a function from it to JSON-able numbers, and a table of these for people.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from monoseme.benchmarks._capture import CaptureBench, bench_capture
from monoseme.benchmarks._e2e import E2EBench, bench_e2e
from monoseme.benchmarks._page import write_page
from monoseme.benchmarks._store import StoreBench, bench_store
from monoseme.benchmarks._store_table import store_table
from monoseme.benchmarks._tables import capture_table, e2e_table, train_table
from monoseme.benchmarks._train import TrainBench, bench_train

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "CaptureBench",
    "E2EBench",
    "StoreBench",
    "TrainBench",
    "bench_capture",
    "bench_e2e",
    "bench_store",
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
        "store": Benchmark(
            "Stored activations: capture beside bare forwards, rows read back, and streams beside the model.",
            StoreBench,
            bench_store,
            store_table,
        ),
    }
)
"""By the word after `monoseme bench`."""
