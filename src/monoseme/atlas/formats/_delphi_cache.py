"""delphi's latent cache: the non-zero codes of whole contexts, in one safetensors file per range of latents.

`START_END.safetensors` (END is the last latent) holds `locations` uint16 or uint32 [E, 3] = (sequence, position, latent - START),
by place in the text; `activations` [E]; `tokens` int64 [n, S], in every file the same.

Written from kept codes. Activations are float16 as delphi has them, or float32 where that would lose some of them.
Letters: n contexts, S positions, M kept tokens, F latents, E non-zero codes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.text_store import TextStore
from monoseme.core.errors import ForeignError
from monoseme.core.files import open_to_readers, write_atomic
from monoseme.core.foreign import numbered

_SPLIT = r"(\d+)_\d+\.safetensors"
_WINDOW = 32
"""delphi cuts contexts into windows of this many tokens, so a context is padded to a multiple of it."""


class CacheGrid(NamedTuple):
    """Kept contexts as delphi has them: rows of one length."""

    tokens: NDArray[np.int64]
    """[n, S]; the padding of shorter contexts is at their end."""
    sequence: NDArray[np.int64]
    """[M] context of each kept token."""
    position: NDArray[np.int64]
    """[M] place of each kept token in its context."""
    n_padded: int
    """Tokens that are padding (count)."""


class CacheSplit(NamedTuple):
    """One file of a cache."""

    locations: NDArray[np.int64]
    """[E, 3] sequence, position, latent."""
    activations: NDArray[np.float32]
    """[E]"""
    tokens: NDArray[np.int64] | None
    """[n, S]; None where the cache was written without."""


def cache_grid(kept: KeptCodes, text: TextStore, *, pad: int) -> CacheGrid:
    """The kept contexts whole, with the tokens that were kept from the SAE.

    Of a text stored before contexts were, from their first to their last token that reached the SAE.
    """
    at = text.offsets_of(np.asarray(kept.document), np.asarray(kept.position))
    first_rows, last_rows = np.asarray(kept.contexts[:-1]), np.asarray(kept.contexts[1:]) - 1
    begins, ends = at[first_rows], at[last_rows] + 1
    if text.context_starts is not None:
        number = np.searchsorted(text.context_starts, begins, side="right") - 1
        edges = np.append(text.context_starts, text.n_tokens)
        begins, ends = edges[number], edges[number + 1]
    lengths = ends - begins
    width = int(-(-lengths.max() // _WINDOW) * _WINDOW)
    places = begins[:, None] + np.arange(width)
    inside = places < ends[:, None]
    tokens = np.where(inside, text.tokens[np.minimum(places, text.n_tokens - 1)].astype(np.int64), pad)
    sequence = np.repeat(np.arange(len(begins)), np.diff(kept.contexts))
    return CacheGrid(tokens, sequence, at - begins[sequence], int((~inside).sum()))


def write_cache(folder: Path, part: ExportPart, kept: KeptCodes, grid: CacheGrid, *, n_splits: int) -> None:
    """Write the codes of the part's latents, one file in memory at a time."""
    chosen = np.zeros(kept.n_latents, dtype=bool)
    chosen[list(part.numbers)] = True
    edges = np.linspace(0, kept.n_latents, n_splits + 1).astype(np.int64)
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        offsets = np.asarray(kept.latent_offsets[begin : end + 1])
        entries = slice(int(offsets[0]), int(offsets[-1]))
        latents = np.repeat(np.arange(begin, end), np.diff(offsets))
        wanted = chosen[latents]
        rows, values = np.asarray(kept.latent_rows[entries])[wanted], np.asarray(kept.latent_values[entries])[wanted]
        order = np.lexsort((latents[wanted], rows))
        rows, numbers = rows[order], latents[wanted][order] - begin
        locations = np.stack([grid.sequence[rows], grid.position[rows], numbers], axis=1)
        held = {
            "locations": locations.astype(np.uint16 if locations.max(initial=0) < 2**16 else np.uint32),
            "activations": _halved(values[order]),
            "tokens": grid.tokens,
        }
        path = folder / f"{begin}_{end - 1}.safetensors"
        save_file(held, path)
        open_to_readers(path)


def write_config(folder: Path, part: ExportPart, grid: CacheGrid, *, model_name: str, n_splits: int) -> None:
    """What delphi's loader asks of a cache; names of the text are those of its corpus, as far as they are known."""
    config: dict[str, Any] = {
        "dataset_repo": part.scanned_text().corpus or "",
        "dataset_split": "",
        "dataset_name": "",
        "dataset_column": "text",
        "batch_size": 1,
        "cache_ctx_len": grid.tokens.shape[1],
        "ctx_len": grid.tokens.shape[1],
        "n_tokens": grid.tokens.size,
        "n_splits": n_splits,
        "model_name": model_name,
    }
    write_atomic(folder / "config.json", json.dumps(config, indent=2))


def read_cache(folder: Path) -> Iterator[CacheSplit]:
    """The files of a cache (`latents/HOOKPOINT`) in the order of their latents. Raises ForeignError."""
    files = numbered(folder, _SPLIT)
    if not files:
        raise ForeignError(f"{folder} has no START_END.safetensors")
    for file in files:
        yield _read_split(file)


def _read_split(file: Path) -> CacheSplit:
    try:
        held = load_file(file)
    except (OSError, SafetensorError, ValueError, KeyError) as error:  # a type that NumPy does not have is a KeyError
        raise ForeignError(f"{file} cannot be read as safetensors ({error})") from error
    begin, _, end = file.stem.partition("_")
    locations, values, tokens = held.get("locations"), held.get("activations"), held.get("tokens")
    if locations is None or values is None or locations.ndim != 2 or locations.shape != (len(values), 3) or values.ndim != 1:
        raise ForeignError(f"{file} should hold locations [n, 3] and activations [n]")
    found = locations.astype(np.int64)
    found[:, 2] += int(begin)
    if len(found) and not (found.min() >= 0 and found[:, 2].max() <= int(end)):
        raise ForeignError(f"{file} holds a latent that is not between {begin} and {end}")
    if tokens is not None and (tokens.ndim != 2 or (len(found) and (found[:, :2].max(axis=0) >= tokens.shape).any())):
        raise ForeignError(f"{file} has codes of tokens that it does not have")
    return CacheSplit(found, values.astype(np.float32), None if tokens is None else tokens.astype(np.int64))


def _halved(values: NDArray[np.float32]) -> NDArray[np.float16] | NDArray[np.float32]:
    """In float16, unless one of them would become infinite or 0."""
    with np.errstate(over="ignore", under="ignore"):
        halved = values.astype(np.float16)
    return halved if np.isfinite(halved).all() and (halved != 0).all() else values
