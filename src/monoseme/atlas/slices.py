"""Long work over latents in slices: what is finished stays in a folder of its own, and a killed run goes on with the next slice.

A slice is a Parquet file, or several, named after its first latent. Slices of another plan (other settings, other inputs) are
removed. Nothing here looks into the tables.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from monoseme.core.files import read_json, write_json

_PLAN = "plan.json"


class Slices:
    """The finished slices of one piece of work, beside the artifact that they become."""

    def __init__(self, path: Path, plan: Mapping[str, Any]) -> None:
        """`path`: where the artifact will lie; `plan`: all that the slices depend on."""
        self.folder = path.with_name(f".{path.name}.slices")
        if self.folder.exists() and not self._is_of(plan):
            shutil.rmtree(self.folder)
        write_json(self.folder / _PLAN, dict(plan))

    def has(self, first: int) -> bool:
        """Whether the slice that begins at this latent is finished."""
        return self._folder(first).is_dir()

    def put(self, first: int, tables: Mapping[str, pa.Table]) -> None:
        """Put down the tables of a slice, by file name, whole or not at all."""
        draft = self.folder / f"{first:09d}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for name, table in tables.items():
            pq.write_table(table, draft / name)
        draft.replace(self._folder(first))

    def tables(self, name: str) -> list[Path]:
        """The files of that name of all slices, in the order of their latents."""
        return sorted(self.folder.glob(f"*/{name}"))

    def remove(self) -> None:
        """Once the artifact is there."""
        shutil.rmtree(self.folder)

    def _folder(self, first: int) -> Path:
        return self.folder / f"{first:09d}"

    def _is_of(self, plan: Mapping[str, Any]) -> bool:
        return (self.folder / _PLAN).is_file() and read_json(self.folder / _PLAN) == dict(plan)
