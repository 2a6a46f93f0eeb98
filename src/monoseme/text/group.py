"""A group: about a million tokens of a corpus, the unit in which a token store grows."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monoseme.core.files import guard_disk
from monoseme.text.sections import Section, Tokens


@dataclass(frozen=True, eq=False)
class Group:
    """Sections in reading order. The tokens of section i are [offsets[i], offsets[i + 1])."""

    first: int
    """Number in the whole store of the group's section 0."""
    tokens: Tokens
    offsets: NDArray[np.int64]
    source: NDArray[np.int32]
    """Source of each section, as a number in the store's list of names."""
    label: NDArray[np.int32]
    """Labels of each section, as a number in the store's list."""
    row: NDArray[np.int64]
    """Row of the corpus that each section is cut from."""
    heldout: NDArray[np.bool_]

    @property
    def n_sections(self) -> int:
        """Sections of the group."""
        return len(self.offsets) - 1

    def section(self, i: int) -> Tokens:
        """The tokens of the group's section i."""
        return self.tokens.cut(int(self.offsets[i]), int(self.offsets[i + 1]))

    def hashed_parts(self) -> list[bytes]:
        """What decides the contexts of the group, as bytes."""
        arrays = [*self.tokens, self.offsets, self.source, self.heldout]
        return [np.ascontiguousarray(array).tobytes() for array in arrays if array is not None]

    def moved_to(self, folder: Path) -> "Group":
        """The same group with its tokens in memory-mapped files. Raises DiskFullError."""
        names = ("ids", "roles", "turns")
        parts = [_mapped(folder / f"{self.first}_{name}.npy", part) for name, part in zip(names, self.tokens, strict=True)]
        return replace(self, tokens=Tokens(*parts))


def _mapped(path: Path, array: NDArray[Any] | None) -> Any:
    if array is None:
        return None
    with guard_disk(path):
        np.save(path, array)
    return np.load(path, mmap_mode="r")


def gather_tokens(sections: list[Section]) -> Tokens:
    """The tokens of all sections one after the other."""
    tokens = [section.tokens for section in sections]
    ids = np.concatenate([part.ids for part in tokens])
    if tokens[0].roles is None:
        return Tokens(ids)
    roles = np.concatenate([part.roles for part in tokens if part.roles is not None])
    turns = np.concatenate([part.turns for part in tokens if part.turns is not None])
    return Tokens(ids, roles, turns)
