"""The labelled data sets of SAEBench, read row by row from the hub; of each class as many texts as are asked for, drawn evenly.

Raises what the hub raises, as CorpusError: without a network, give a file of the same columns with --corpus and --label.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from monoseme.core.errors import CorpusError
from monoseme.core.seeds import derive_seed
from monoseme.studies._labelled.bundled_sets import Labelled
from monoseme.studies._labelled.groups import LabelGroup
from monoseme.text import CorpusConfig, read_documents
from monoseme.text.hub import read_hub
from monoseme.text.rows import Row

_SKIPPED_CHARS, _CODE_CHARS = 150, 384
"""Of a file of code, the beginning (50 tokens of 3 characters) is mostly a licence and is skipped; what is left must fill a
context of 128 tokens. As SAEBench, after Gurnee et al. 2023."""
_CODE_FILES = "hf://datasets/{hub_id}/data/*.parquet"


def hub_set(group: LabelGroup, *, n_train: int, n_test: int, seed: int) -> Iterator[Labelled]:
    """Texts of a group: of each class at most `n_train` and `n_test`, balanced over the second label where there is one.

    Of data sets with columns these are drawn from all rows; of the two huge ones, as in SAEBench, from the first rows.
    """
    if group.layout == "splits":
        for split, n in (("train", n_train), ("test", n_test)):
            found = _split(group, split)
            yield from drawn(found, n, n_strata=max(1, len(group.second_classes)), seed=derive_seed(seed, group.name, split))
        return
    rows = _languages(group, n_train + n_test) if group.layout == "languages" else _code(group, n_train + n_test)
    yield from rows


def drawn(texts: Iterable[Labelled], n: int, *, n_strata: int, seed: int) -> Iterator[Labelled]:
    """At most `n` texts of each class in their order, evenly over its `n_strata` second labels, each text as likely as any."""
    rng = np.random.default_rng(derive_seed(seed, "drawn"))
    held: dict[tuple[str, str | None], list[tuple[float, int, Labelled]]] = defaultdict(list)
    for number, text in enumerate(texts):
        heap, key = held[text.label, text.second], -float(rng.random())
        if len(heap) < n // n_strata:
            heapq.heappush(heap, (key, number, text))
        elif heap and key > heap[0][0]:
            heapq.heapreplace(heap, (key, number, text))
    for _, _, text in sorted(itertools.chain.from_iterable(held.values()), key=lambda each: each[1]):
        yield text


def _split(group: LabelGroup, split: str) -> Iterator[Labelled]:
    columns = (group.label,) if group.second is None else (group.label, group.second)
    config = CorpusConfig(source=group.hub_id, field=group.text, split=split, label_fields=columns)
    for document in read_documents(config):
        label = group.classes.get(document.labels.get(group.label, ""))
        second = None if group.second is None else group.second_classes.get(document.labels.get(group.second, ""))
        if label is not None and (group.second is None or second is not None):
            yield Labelled(document.text, label, f"{split}:{document.source}", second, is_test=split == "test")


def _languages(group: LabelGroup, n: int) -> Iterator[Labelled]:
    for language, subset in group.subsets.items():
        config = CorpusConfig(source=group.hub_id, field=group.text, subset=subset)
        texts = (row.fields[group.text][language] for row in read_hub(config) if isinstance(row, Row))
        for number, text in enumerate(itertools.islice((text for text in texts if text.strip()), n)):
            yield Labelled(text, group.classes[language], f"{language}:{number}")


def _code(group: LabelGroup, n: int) -> Iterator[Labelled]:
    """Its own loader is a script, which `datasets` no longer runs; the files have the same columns, but no language."""
    of_ending = {ending: name for name, endings in group.endings.items() for ending in endings}
    n_held = dict.fromkeys(group.classes, 0)
    for fields in _parquet_rows(_CODE_FILES.format(hub_id=group.hub_id)):
        text = str(fields.get("code") or fields.get("content") or "")
        name = of_ending.get(PurePosixPath(str(fields.get("path", ""))).suffix.lower())
        if name is None or len(text) <= _SKIPPED_CHARS + _CODE_CHARS or n_held[name] == n:
            continue
        n_held[name] += 1
        yield Labelled(text[_SKIPPED_CHARS:], group.classes[name], str(fields.get("repo_name", fields["path"])))
        if min(n_held.values()) == n:
            return


def _parquet_rows(files: str) -> Iterator[dict[str, Any]]:
    import datasets
    from datasets.exceptions import DatasetsError

    try:
        yield from datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        raise CorpusError(f"{files} cannot be read: {error}") from error
