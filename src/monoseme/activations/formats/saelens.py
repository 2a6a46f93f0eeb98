"""SAELens cached activations: a saved dataset with a column for each hook, and token ids.

    CACHE/dataset_info.json, state.json, data-00000-of-00009.arrow
    column blocks.12.hook_resid_post   Array2D(shape=(context_size, d_in)), float32 by default
    column token_ids                   Sequence(int32, length=context_size); not there in caches of older versions

Source: `sae_lens/cache_activations_runner.py`. Known: a row is a context; `seqpos_slice` has been applied to it, which is not
written down; nothing is padding. The runner makes a folder `.tmp_shards` first: one that is still there is a run that was killed.
What is not known is where documents begin: contexts are filled from texts one after the other. So a context counts as a document
here, and contexts that lie together are held out together.
Assumed: names are those of TransformerLens, see `_sites.py`; `hook_z` holds the heads side by side, as SAELens reshapes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.formats._base import ActivationFormat
from monoseme.activations.formats._foreign import ForeignFacts, ForeignStore, ForeignText
from monoseme.activations.formats._memmap import read_table
from monoseme.activations.formats._rows import stored_dtype
from monoseme.activations.formats._sites import map_sites
from monoseme.core.errors import ForeignError
from monoseme.core.files import hash_json
from monoseme.models.hook_names import hook_site
from monoseme.models.site import Site
from monoseme.tensors.shapes import Tensor

_IDS = "token_ids"
_HELD_OUT_TOGETHER = 32
"""Contexts in a row that go to one side: a document reaches over the end of its context, hardly over so many."""
_NUMPY = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}


class SaeLens(ActivationFormat):
    """A context is a row of the dataset."""

    looks_for = "a saved dataset (state.json) with columns such as blocks.12.hook_resid_post"

    @dataclass(frozen=True, kw_only=True)
    class Config(ActivationFormat.Config):
        """Of cached activations."""

    def recognises(self, folder: Path) -> bool:
        """By the columns that dataset_info.json names."""
        try:
            return (folder / "state.json").is_file() and bool(_matrices(read_table(folder / "dataset_info.json")))
        except ForeignError:
            return False

    def find(self, folder: Path, options: Config) -> ForeignStore:
        """The store in a folder."""
        return _Cached(folder, options)


class _Cached(ForeignStore):
    def __init__(self, folder: Path, options: SaeLens.Config) -> None:
        shapes = _matrices(read_table(folder / "dataset_info.json"))
        if not shapes:
            raise ForeignError(f"{folder} has no column of activations [context, d_in]")
        names = map_sites(list(shapes), options.site, hook_site)
        self._columns = {site: name for name, site in names.items()}
        lengths = {shapes[name][0] for name in names}
        kinds = {shapes[name][2] for name in names}
        if len(lengths) != 1 or len(kinds) != 1:
            raise ForeignError(f"the columns of {folder} do not fit together: {len(lengths)} lengths, {len(kinds)} types")
        self._folder, self._context_len = folder, lengths.pop()
        self._dataset = _open(folder)
        has_ids = _IDS in self._dataset.column_names
        n_contexts = len(self._dataset)
        if not n_contexts:
            raise ForeignError(f"{folder} has no rows")
        self._has_ids = has_ids
        self.facts = ForeignFacts(
            widths={site: shapes[name][1] for site, name in self._columns.items()},
            dtype=stored_dtype(torch.empty(0, dtype=_NUMPY[kinds.pop()]), str(folder)),
            context_len=self._context_len,
            units=np.arange(n_contexts) // _HELD_OUT_TOGETHER,
            n_rows=n_contexts * self._context_len,
            has_text=has_ids,
            fingerprint=hash_json([[path.name, path.stat().st_size] for path in sorted(folder.glob("*.arrow"))]),
            details={"columns": {name: str(site) for site, name in self._columns.items()}, "document": "a context"},
            lost=() if has_ids else (f"token ids: there is no column {_IDS}",),
        )

    def text(self, contexts: NDArray[np.int64]) -> ForeignText:
        """The ids; each context is a document."""
        return ForeignText(
            lengths=torch.full((len(contexts),), self._context_len),
            tokens=self._ids(contexts).flatten() if self._has_ids else None,
            documents=torch.from_numpy(contexts),
            starts=torch.zeros(len(contexts), dtype=torch.long),
        )

    def rows(self, contexts: NDArray[np.int64]) -> Mapping[Site, Tensor]:
        """Copied out of the Arrow files."""
        found = self._read(list(self._columns.values()), contexts)
        return {site: self._matrix(found[name], site, contexts) for site, name in self._columns.items()}

    def where(self, context: int) -> str:
        """The row of the dataset."""
        return f"{self._folder}, row {context:,}"

    def _read(self, columns: list[str], contexts: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Rows of columns as arrays. Raises ForeignError for data that is not as the dataset says."""
        try:
            return cast(dict[str, Any], self._dataset.select_columns(columns).with_format("numpy")[contexts.tolist()])
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ForeignError(f"{self.where(int(contexts[0]))} cannot be read: {str(error).splitlines()[0]}") from error

    def _ids(self, contexts: NDArray[np.int64]) -> Tensor:
        ids = torch.as_tensor(np.asarray(self._read([_IDS], contexts)[_IDS])).long()
        if tuple(ids.shape) != (len(contexts), self._context_len) or bool((ids < 0).any()):
            raise ForeignError(f"from {self.where(int(contexts[0]))} on, {_IDS} are not {self._context_len} ids a row")
        return ids

    def _matrix(self, values: NDArray[Any], site: Site, contexts: NDArray[np.int64]) -> Tensor:
        expected = (len(contexts), self._context_len, self.facts.widths[site])
        if values.dtype == object or values.shape != expected:
            raise ForeignError(
                f"from {self.where(int(contexts[0]))} on, {self._columns[site]} is not {expected[1:]} numbers a row"
            )
        rows = torch.from_numpy(np.ascontiguousarray(values)).flatten(0, 1)
        return rows.float() if rows.dtype is torch.float64 else rows


def _matrices(info: Mapping[str, Any]) -> dict[str, tuple[int, int, str]]:
    """Columns of matrices: name -> (context, width, type), in the order of the dataset."""
    features = info.get("features")
    found: dict[str, tuple[int, int, str]] = {}
    for name, feature in cast(dict[str, Any], features if isinstance(features, dict) else {}).items():
        if not isinstance(feature, dict) or cast(dict[str, Any], feature).get("_type") != "Array2D":
            continue
        shape, dtype = cast(dict[str, Any], feature).get("shape"), cast(dict[str, Any], feature).get("dtype")
        if dtype in _NUMPY and isinstance(shape, list) and [type(n) for n in cast(list[Any], shape)] == [int, int]:
            found[name] = (int(shape[0]), int(shape[1]), str(dtype))
    return found


def _open(folder: Path) -> Any:
    import datasets

    if (folder / ".tmp_shards").is_dir():
        raise ForeignError(f"{folder} holds .tmp_shards: the run that made it did not come to its end")
    try:
        found = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ForeignError(f"the dataset in {folder} cannot be opened: {str(error).splitlines()[0]}") from error
    if not isinstance(found, datasets.Dataset):
        raise ForeignError(f"{folder} holds several splits.\n  Give the folder of one: {', '.join(map(str, found))}")
    return found
