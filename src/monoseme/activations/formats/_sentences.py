"""The token ids of sentences of a dataset, by their place in it after the datasets library has shuffled it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.activations.formats._tokenizer import load_tokenizer
from monoseme.core.errors import ConfigError, ForeignError
from monoseme.tensors.shapes import Int, Tensor

_COLUMN = "text"


class Sentences:
    """A dataset of sentences and the tokenizer that they were encoded with."""

    def __init__(self, source: str, tokenizer: str, *, shuffle_seed: int | None, bos: bool, max_tokens: int) -> None:
        """Opens both. Raises ConfigError for what cannot be had, and for a BOS that the tokenizer does not have."""
        self._tokenizer = load_tokenizer(tokenizer)
        if bos and self._tokenizer.bos_id is None:
            raise ConfigError(f"--bos is given, but the tokenizer {tokenizer} has no BOS token")
        self._rows = _open(source)
        # What Dataset.shuffle(seed=...) does, without its table of indices on disk.
        n_rows = len(self._rows)
        self._order = None if shuffle_seed is None else np.random.default_rng(shuffle_seed).permutation(n_rows)
        self._prefix = [self._tokenizer.bos_id] if bos and self._tokenizer.bos_id is not None else []
        self._max_tokens = max_tokens
        self._source = source
        self.spec = {
            "sentences": source,
            "n_rows": n_rows,
            "tokenizer": self._tokenizer.content_hash(),
            "shuffle_seed": shuffle_seed,
            "bos": bos,
        }
        """What a manifest says of it."""

    def tokens(self, numbers: NDArray[np.int64], lengths: Sequence[int]) -> Int[Tensor, " R"]:
        """The ids of the sentences of these numbers, one after the other; each must have its length.

        Raises ForeignError for the first sentence that has not, and for a number that the dataset does not reach.
        """
        beyond = numbers >= len(self._rows)
        if beyond.any():
            raise ForeignError(
                f"there is no sentence {int(numbers[beyond][0]):,}: {self._source} has {len(self._rows):,}.\n"
                "  Give the whole dataset that was captured from, not a part of it: its order depends on its size."
            )
        places = numbers if self._order is None else self._order[numbers]
        texts = [str(text) for text in self._rows[places.tolist()][_COLUMN]]
        found = [(self._prefix + ids)[: self._max_tokens] for ids in self._tokenizer.encode_batch(texts)]
        for number, place, ids, length in zip(numbers.tolist(), places.tolist(), found, lengths, strict=True):
            if len(ids) != length:
                raise ForeignError(
                    f"sentence {number} (row {place} of {self._source}) has {len(ids)} tokens, but its file has {length} rows: "
                    "these are not the sentences, the order or the tokenizer that were captured with.\n"
                    "  Look at --shuffle_seed, --bos, --context_len and --tokenizer, or leave out --sentences and have no text."
                )
        return torch.tensor([token for ids in found for token in ids], dtype=torch.long)


def _open(source: str) -> Any:
    """The rows, in the dataset's order; they stay on disk. Raises ConfigError."""
    import datasets
    from datasets.exceptions import DatasetsError

    path = Path(source)
    try:
        if (path / "state.json").is_file():
            found: Any = datasets.load_from_disk(source)
        elif path.exists():
            files = sorted(path.glob("**/*.parquet")) if path.is_dir() else [path]
            if not files:
                raise ConfigError(f"{source} holds no Parquet file and is no saved dataset")
            found = datasets.Dataset.from_parquet([str(file) for file in files])
        else:
            found = datasets.load_dataset(source, split="train")
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise ConfigError(f"the sentences {source} cannot be opened: {str(error).splitlines()[0]}") from error
    if _COLUMN not in found.column_names:
        raise ConfigError(f'{source} has no column "{_COLUMN}", but {", ".join(found.column_names)}')
    return found
