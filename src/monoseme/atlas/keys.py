"""Orders for what a scan keeps: a hash of a position, and values turned into sortable integers.

Everything a scan keeps is "the n smallest keys of a group", so that it merges exactly in any order and partition.
"""

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
LAST_KEY = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""Sorts after every key; marks an empty place."""


def hash_positions(seed: int, documents: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64-bit hash of (seed, document, position), equal on every machine: the order of a uniform sample.

    Source: the finaliser of splitmix64 (Steele, Lea, Flood 2014), once per word.
    """
    seeded = np.full(len(documents), seed % 2**64, dtype=np.uint64)
    return _mix(_mix(_mix(seeded) ^ documents.astype(np.uint64)) ^ positions.astype(np.uint64))


def hash_documents(seed: int, documents: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64-bit hash of (seed, document): the order of a sample of documents, and the split of them."""
    return hash_positions(seed, documents, np.zeros_like(documents))


def descending(values: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Keys that sort as the values from large to small. The values are positive and finite.

    The bits of positive floats sort as the floats do.
    """
    return np.uint64(0xFFFF_FFFF) - values.view(np.uint32).astype(np.uint64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = words + _GOLDEN
    words = (words ^ (words >> np.uint64(30))) * _MIX_A
    words = (words ^ (words >> np.uint64(27))) * _MIX_B
    return words ^ (words >> np.uint64(31))
