"""dictionary_learning caches: raw shards of rows (`shard_0.memmap`), with ids and borders beside them.

    CACHE/tokens.pt                 torch.save of the id of each row, int64 [total], where tokens were stored
    CACHE/sequence_ranges.pt        torch.save of the first row of each sequence, then the total, int64 [sequences + 1]
    CACHE/NAME_out/config.json      shard_count, total_size, d_model, context_len, shuffle_shards, store_tokens, ...
    CACHE/NAME_out/shard_0.memmap   raw rows, little endian; bfloat16 as the 16 bits it is
    CACHE/NAME_out/shard_0.meta     JSON: shape [rows, D] and dtype (float32 where it is not said)
    CACHE/NAME_out/mean.pt          torch.save, [D]: mean of all rows before they were rounded to dtype; so are std, count and M2

Source: `cache.py` of science-of-finetuning/crosscoder_learning, a fork of dictionary_learning, and of earlier forks, where
`tokens.pt` lies in the last NAME_out, nothing says where sequences begin, and all is float32. Known: padding is left out, and
with `ignore_first_n_tokens_per_sample` so are the first tokens of each sequence, which is not written down: places are counted
from the first row that is there. `_out` is the output of a module, `_in` its input; the fork's scripts call block 12 `layer_12`.
Assumed: other names that end in `layers.12` or `h.12` are blocks too. The caches of the main repository are others: those of its
training demo are read by `tfa`; the S3 buckets of activault are not read here.

A sequence is a document, cut into contexts. Without borders a context is a stretch of rows, and ids are left out, since it is not
known which document a token is of; `bos_id` says where sequences begin if each begins with that token.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.formats._base import ActivationFormat
from monoseme.activations.formats._foreign import ForeignFacts, ForeignStore, ForeignText
from monoseme.activations.formats._memmap import MemmapRows, read_table
from monoseme.activations.formats._rows import Stretches, stored_dtype
from monoseme.activations.formats._sites import map_sites
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.files import hash_json
from monoseme.models.site import Site
from monoseme.tensors.foreign_file import load_tensor
from monoseme.tensors.shapes import Int, Tensor

_BLOCK = re.compile(r"(?:.*[._/])?(?:layers?|h)[._](\d{1,6})_(out|in)", re.ASCII)
_ROWS_HELD_OUT = 4096
"""Without borders, rows in a row that go to one side together: most documents are shorter."""


class DictionaryLearning(ActivationFormat):
    """A cache, or one NAME_out of it."""

    looks_for = "NAME_out/shard_0.memmap with .meta"

    @dataclass(frozen=True, kw_only=True)
    class Config(ActivationFormat.Config):
        """Of caches."""

        context_len: int = 128
        """Rows of a context; longer sequences go on in the next one."""
        bos_id: int | None = None
        """Token with which each sequence begins, for caches that store ids and no borders. None: ids are then left out."""

        def __post_init__(self) -> None:
            """Raises ConfigError for contexts of less than one row."""
            super().__post_init__()
            if self.context_len < 1:
                raise ConfigError(f"context_len is {self.context_len}; it must be at least 1")

    def recognises(self, folder: Path) -> bool:
        """By the names of a first shard."""
        return bool(_parts(folder))

    def find(self, folder: Path, options: Config) -> ForeignStore:
        """The store in a folder."""
        return _Cache(folder, options)


class _Text(NamedTuple):
    bounds: NDArray[np.int64] | None
    """Sequence s has the rows [bounds[s], bounds[s + 1]); None where that is not known."""
    tokens: Int[Tensor, " R"] | None
    """Ids, only with bounds."""
    lost: tuple[str, ...]


class _Cache(ForeignStore):
    def __init__(self, folder: Path, options: DictionaryLearning.Config) -> None:
        parts = _parts(folder)
        if not parts:
            raise ForeignError(f"{folder} holds no shard_0.memmap with its .meta, nor does a folder in it")
        sites = map_sites([part.name for part in parts], options.site, _site_of)
        kept = {sites[part.name]: part for part in parts if part.name in sites}
        configs = {site: read_table(part / "config.json") for site, part in kept.items()}
        self._rows = {site: MemmapRows(part, _count(configs[site], part)) for site, part in kept.items()}
        n_rows = _same_length(self._rows)
        first = next(iter(self._rows.values()))
        shuffled = any(config.get("shuffle_shards") is True for config in configs.values())
        text = _text(folder, list(kept.values()), n_rows, bos_id=options.bos_id, shuffled=shuffled)
        self._tokens = text.tokens
        bounds = text.bounds if text.bounds is not None else first.bounds
        self._stretches = Stretches(bounds, options.context_len)
        has_text = text.tokens is not None
        self._means = {site: mean for site, part in kept.items() if (mean := _mean(part, self._rows[site].width)) is not None}
        self.facts = ForeignFacts(
            widths={site: rows.width for site, rows in self._rows.items()},
            dtype=stored_dtype(torch.empty(0, dtype=first.dtype), str(folder)),
            context_len=options.context_len,
            units=self._stretches.run if text.bounds is not None else self._stretches.start // _ROWS_HELD_OUT,
            n_rows=n_rows,
            has_text=has_text,
            fingerprint=hash_json({kept[site].name: rows.facts for site, rows in self._rows.items()}),
            details={"names": {part.name: str(site) for site, part in kept.items()}, "shuffled": shuffled},
            lost=text.lost + _left_out(self._rows, kept),
        )

    def text(self, contexts: NDArray[np.int64]) -> ForeignText:
        """Sequences and ids."""
        runs = [(int(self._stretches.start[c]), int(self._stretches.length[c])) for c in contexts]
        tokens = None if self._tokens is None else torch.cat([self._tokens[start : start + n] for start, n in runs])
        return ForeignText(
            lengths=torch.from_numpy(self._stretches.length[contexts]),
            tokens=tokens,
            documents=torch.from_numpy(self._stretches.run[contexts]),
            starts=torch.from_numpy(self._stretches.offset[contexts]),
        )

    def rows(self, contexts: NDArray[np.int64]) -> Mapping[Site, Tensor]:
        """Copied from the mapped files."""
        runs = [(int(self._stretches.start[c]), int(self._stretches.length[c])) for c in contexts]
        return {site: _float(torch.cat([rows.rows(start, start + n) for start, n in runs])) for site, rows in self._rows.items()}

    def where(self, context: int) -> str:
        """The file, and the row in it."""
        return next(iter(self._rows.values())).where(int(self._stretches.start[context]))

    def means(self) -> Mapping[Site, Tensor]:
        """Those in mean.pt."""
        return self._means


def _parts(folder: Path) -> list[Path]:
    """The folders of shards: the one given, or those in it."""
    try:
        below = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
    names = ("shard_0.memmap", "shard_0.meta")
    return [place for place in [folder, *below] if all((place / name).is_file() for name in names)]


def _site_of(name: str) -> Site | None:
    match = _BLOCK.fullmatch(name)
    return Site("resid_post" if match[2] == "out" else "resid_pre", int(match[1])) if match else None


def _count(config: Mapping[str, object], part: Path) -> int:
    count = config.get("shard_count")
    if type(count) is not int or count < 1:
        raise ForeignError(f"{part / 'config.json'} names no shard_count, but {count!r}")
    return count


def _same_length(rows: Mapping[Site, MemmapRows]) -> int:
    lengths = {site: len(of_site) for site, of_site in rows.items()}
    if len(set(lengths.values())) > 1 or len({of_site.dtype for of_site in rows.values()}) > 1:
        told = ", ".join(f"{site}: {len(of_site):,} rows of {of_site.dtype}" for site, of_site in rows.items())
        raise ForeignError(f"the parts of the cache do not fit together: {told}.\n  Leave one out with --site NAME=skip")
    return next(iter(lengths.values()))


def _left_out(rows: Mapping[Site, MemmapRows], parts: Mapping[Site, Path]) -> tuple[str, ...]:
    """Shards that are there but not counted in config.json: early forks forget the last one, and so do their readers."""
    extra = [
        str(parts[site] / f"shard_{n}.memmap")
        for site, of_site in rows.items()
        if (parts[site] / f"shard_{(n := len(of_site.facts))}.memmap").is_file()
    ]
    return (f"shards beyond the shard_count of config.json, from {', '.join(extra)} on",) if extra else ()


def _text(folder: Path, parts: list[Path], n_rows: int, *, bos_id: int | None, shuffled: bool) -> _Text:
    """Ids and borders as far as they are known. Raises ForeignError where they do not fit the rows."""
    places = [folder, folder.resolve().parent, *parts]
    tokens_file = next((place / "tokens.pt" for place in places if (place / "tokens.pt").is_file()), None)
    if tokens_file is None:
        return _Text(None, None, ("token ids, sequences and positions: the cache does not hold them",))
    if shuffled:
        return _Text(None, None, ("token ids: the rows of each shard were shuffled, the ids were not",))
    tokens = load_tensor(tokens_file)
    if tuple(tokens.shape) != (n_rows,) or tokens.is_floating_point() or bool((tokens < 0).any()):
        raise ForeignError(
            f"{tokens_file} holds {tuple(tokens.shape)} numbers of {tokens.dtype}; ids of {n_rows:,} rows are needed"
        )
    borders = tokens_file.with_name("sequence_ranges.pt")
    if borders.is_file():
        return _Text(_load_borders(borders, n_rows), tokens.long(), ())
    if bos_id is None:
        return _Text(None, None, ("token ids: nothing says where sequences begin (--bos_id ID, if each begins with that token)",))
    starts = np.flatnonzero(tokens.numpy() == bos_id)
    if not len(starts) or starts[0] != 0:
        raise ConfigError(
            f"{tokens_file} does not begin with the token {bos_id}, but with {int(tokens[0])}: sequences do not begin so"
        )
    return _Text(np.append(starts, n_rows), tokens.long(), ())


def _load_borders(path: Path, n_rows: int) -> NDArray[np.int64]:
    borders = load_tensor(path)
    if borders.ndim != 1 or borders.is_floating_point() or len(borders) < 2:
        raise ForeignError(f"{path} holds {tuple(borders.shape)} numbers of {borders.dtype}, which are no borders")
    found = borders.long().numpy()
    if found[0] != 0 or found[-1] != n_rows or (np.diff(found) < 0).any():
        raise ForeignError(f"{path} does not go from 0 to {n_rows:,} in order")
    return found


def _mean(part: Path, width: int) -> Tensor | None:
    path = part / "mean.pt"
    if not path.is_file():
        return None
    mean = load_tensor(path)
    if tuple(mean.shape) != (width,) or not mean.is_floating_point():
        raise ForeignError(f"{path} holds {tuple(mean.shape)} numbers of {mean.dtype}; a mean of {width} is needed")
    return mean.double()


def _float(rows: Tensor) -> Tensor:
    return rows.float() if rows.dtype is torch.float64 else rows
