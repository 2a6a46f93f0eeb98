"""How fast it is here: training steps, capture and whole runs, against a dense reference, the machine's floor, and the peers.

Each benchmark is a frozen config, a function from it to JSON-able numbers, and a table of these for people.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from monoseme.benchmarks._tables import train_table
from monoseme.benchmarks._train import TrainBench, bench_train

__all__ = ["BENCHMARKS", "Benchmark", "TrainBench", "bench_train"]


class Benchmark(NamedTuple):
    """One of the things that can be timed."""

    summary: str
    config: type[Any]
    run: Callable[[Any], dict[str, Any]]
    table: Callable[[Mapping[str, Any]], str]


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "train": Benchmark(
            "Training steps of SAEs, in interleaved rounds with a dense reference.", TrainBench, bench_train, train_table
        )
    }
)
"""By the word after `monoseme bench`."""
