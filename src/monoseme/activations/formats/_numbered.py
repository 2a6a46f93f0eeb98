"""Files of a folder that carry numbers in their names, in the order of the numbers: text order puts 10 before 2."""

import itertools
import os
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import ForeignError
from monoseme.core.files import hash_bytes
from monoseme.tensors.foreign_file import CONVERTED

_ENTRIES_LOOKED_AT = 10_000
"""Of a folder, to recognise a format: one with millions of other files must not take minutes to refuse."""


class Template(NamedTuple):
    """How the files of one kind are named: `Template("batch_{}_{}", ".pt")`; `{:05d}` where numbers have zeros in front."""

    stem: str
    ending: str

    def numbers(self, name: str) -> list[int] | None:
        """The numbers in a name of this kind, converted or not; None for other names."""
        stem, dot, ending = name.rpartition(".")
        if dot + ending not in (self.ending, CONVERTED):
            return None
        match = re.fullmatch(re.sub(r"\\\{.*?\\\}", r"(\\d{1,18})", re.escape(self.stem)), stem, re.ASCII)
        if match is None:
            return None
        numbers = [int(text) for text in match.groups()]
        return numbers if self.stem.format(*numbers) == stem else None


@dataclass(frozen=True)
class NumberedFiles:
    """The files of one kind, sorted by their numbers. Millions of them take some tens of bytes each."""

    folder: Path
    template: Template
    numbers: NDArray[np.int64]
    """[files, numbers in a name]."""
    sizes: NDArray[np.int64]
    """[files] bytes."""
    converted: NDArray[np.bool_]
    """[files] whether the safetensors form of a file is there, which is then read instead."""

    def __len__(self) -> int:
        """Files."""
        return len(self.numbers)

    def path(self, i: int) -> Path:
        """File i."""
        ending = CONVERTED if self.converted[i] else self.template.ending
        return self.folder / (self.template.stem.format(*self.numbers[i].tolist()) + ending)

    def only(self, kept: NDArray[np.bool_]) -> "NumberedFiles":
        """Those of a mask [files]."""
        return replace(self, numbers=self.numbers[kept], sizes=self.sizes[kept], converted=self.converted[kept])

    @property
    def fingerprint(self) -> str:
        """Hash of the numbers and sizes of all files."""
        return hash_bytes(self.template.stem.encode() + self.numbers.tobytes() + self.sizes.tobytes())


def numbered_files(folder: Path, template: Template) -> NumberedFiles:
    """All files of a kind in a folder; others are passed over. Raises ForeignError when there is no such folder."""
    found, n_numbers = array("q"), template.stem.count("{")
    for entry in _entries(folder):
        if (numbers := template.numbers(entry.name)) is not None:
            found.extend((*numbers, entry.name.endswith(CONVERTED), entry.stat().st_size))
    table = np.array(found, dtype=np.int64).reshape(-1, n_numbers + 2)
    table = table[np.lexsort(table[:, : n_numbers + 1].T[::-1])]
    # Of a file and its converted form, which come one after the other, the converted one.
    numbers = table[:, :n_numbers]
    is_last = np.append((numbers[1:] != numbers[:-1]).any(axis=1), True) if len(table) else np.zeros(0, dtype=bool)
    table = table[is_last]
    return NumberedFiles(folder, template, table[:, :n_numbers], table[:, -1], table[:, -2].astype(bool))


def has_numbered(folder: Path, template: Template) -> bool:
    """Whether the first entries of a folder have a file of this kind; False where there is no such folder."""
    try:
        return any(template.numbers(entry.name) for entry in itertools.islice(_entries(folder), _ENTRIES_LOOKED_AT))
    except ForeignError:
        return False


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise ForeignError(f"cannot list {folder}: {error.strerror}") from error
