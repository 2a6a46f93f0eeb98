"""Fifty clients at once: nothing is lost, nobody is left out, memory does not grow."""

import asyncio
from pathlib import Path

import pytest

from .load import load, served


@pytest.mark.slow
def test_fifty_clients_lose_no_stream_and_memory_stays_bounded(run_folder: Path) -> None:
    with served(run_folder) as (url, pid):
        seen = asyncio.run(load(url, pid, n_clients=50, seconds=20))
    assert (seen["n_errors"], seen["errors"]) == (0, [])
    assert seen["n_texts"] >= 50
    # Each waits for its turn, so no client is more than a few texts before another; one that leaves texts has fewer whole ones.
    assert seen["texts_per_client"]["max"] - seen["texts_per_client"]["min"] <= 3
    # What 32 rows of keys and values, and the answers on their way, may take.
    assert seen["memory_mb"]["most"] - seen["memory_mb"]["before"] < 200
