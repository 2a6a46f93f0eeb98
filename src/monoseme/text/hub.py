"""Rows of Hugging Face datasets: from the hub (streamed or downloaded), or saved to disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError, CorpusError
from monoseme.text.config import CorpusConfig
from monoseme.text.rows import BadRow, Row, wanted_columns


def is_saved_dataset(folder: Path) -> bool:
    """Whether `datasets` wrote the folder with `save_to_disk`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def read_saved(folder: Path, config: CorpusConfig) -> Iterator[Row | BadRow]:
    """The rows of a dataset saved to disk. Raises ConfigError for a split it does not have, CorpusError if it is damaged."""
    import datasets

    try:
        found = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, KeyError) as error:
        raise CorpusError(f"the dataset saved in {folder} cannot be opened: {error}") from error
    if isinstance(found, datasets.DatasetDict):
        splits = [str(name) for name in found]
        if config.split not in splits:
            hint = suggest(config.split, splits)
            raise ConfigError(f'{folder} has no split "{config.split}".{hint}\n  Allowed: {", ".join(splits)}')
        found = found[config.split]
    yield from _rows(found, config, name=folder.name)


def read_hub(config: CorpusConfig) -> Iterator[Row | BadRow]:
    """The rows of a hub dataset, in its order. Raises CorpusError if it cannot be had."""
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        found: Any = datasets.load_dataset(
            config.source, config.subset, split=config.split, streaming=config.streaming, revision=config.revision
        )
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise CorpusError(
            f'"{config.source}" is neither a file or folder here nor a dataset that the hub gives: {error}\n'
            '  Give a path, a hub id such as "roneneldan/TinyStories", or "bundled"; a gated dataset needs HF_TOKEN.'
        ) from error
    yield from _rows(found, config, name=config.source)


def _rows(dataset: Any, config: CorpusConfig, *, name: str) -> Iterator[Row | BadRow]:
    # A streamed dataset may not know its columns before the first row; rows without the field are then told one by one.
    if dataset.column_names is not None:
        dataset = dataset.select_columns(wanted_columns(config, list(dataset.column_names), where=name))
    for number, fields in enumerate(dataset, start=1):
        yield Row(name, number, fields)
