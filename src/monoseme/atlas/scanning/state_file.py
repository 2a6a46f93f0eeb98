"""A scan's state on disk: plain arrays in one .npz, written between chunks of a pass, read to go on or to merge."""

import os
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.scanning.background import BackgroundRows
from monoseme.atlas.scanning.reservoir import Entries, Reservoir
from monoseme.atlas.scanning.state import COUNTERS, RESERVOIRS, LatentState, StateConfig
from monoseme.core.errors import ArtifactDamagedError
from monoseme.core.files import guard_disk


def save_state(state: LatentState, path: Path) -> None:
    """Write a state atomically as an .npz of plain arrays, from which `load_state` goes on."""
    arrays: dict[str, NDArray] = {name: getattr(state, name) for name in (*COUNTERS, "maximum", "mean", "squares")}
    arrays |= {"n_fired": state.n_fired, "n_rows": np.array(state.n_rows), "n_latents": np.array(state.n_latents)}
    arrays |= {f"config.{name}": np.array(value) for name, value in asdict(state.config).items()}
    for name in RESERVOIRS:
        kept = getattr(state, name).entries()
        arrays |= {f"{name}.{column}": getattr(kept, column) for column in ("group", "key", "document", "position")}
        arrays |= {f"{name}.payload.{column}": values for column, values in kept.payload.items()}
    arrays |= {f"background.{name}": column for name, column in state.background.kept()._asdict().items()}
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    with guard_disk(path), draft.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    draft.replace(path)


def load_state(path: Path) -> LatentState:
    """Read what `save_state` wrote. Raises ArtifactDamagedError if an array is missing or the file is cut short."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _from_arrays({name: arrays[name] for name in arrays.files})
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactDamagedError(f"{path} is not a whole scan state: {error}. Scan again.") from error


def _from_arrays(arrays: dict[str, NDArray]) -> LatentState:
    names = StateConfig.__dataclass_fields__
    config = StateConfig(**{name: int(arrays[f"config.{name}"]) for name in names})
    state = LatentState(int(arrays["n_latents"]), config)
    state.n_rows = int(arrays["n_rows"])
    for name in (*COUNTERS, "maximum", "mean", "squares", "n_fired"):
        setattr(state, name, arrays[name])
    for name in RESERVOIRS:
        reservoir: Reservoir = getattr(state, name)
        payload = {column: arrays[f"{name}.payload.{column}"] for column in reservoir.payload_specs}
        columns = [arrays[f"{name}.{column}"] for column in ("group", "key", "document", "position")]
        reservoir.offer(Entries(columns[0], columns[1], columns[2], columns[3], payload))
    state.background.take(BackgroundRows(**{name: arrays[f"background.{name}"] for name in BackgroundRows._fields}))
    return state
