"""The words whose letters are probed, and which of them are for the test."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.models import LanguageModel
from monoseme.probes import Split, stratified_split
from monoseme.spelling import LetterTask, alphabetic_tokens, letters_of
from monoseme.spelling.vocabulary import read_words
from monoseme.studies._first_letter.config import FirstLetterConfig


class Words(NamedTuple):
    """N words with their answers."""

    words: tuple[str, ...]
    """With the space before them."""
    labels: tuple[str, ...]
    """The right answer of each."""
    classes: tuple[str, ...]
    """Answers that are probed."""
    split: Split
    left_out: Mapping[str, str]
    """Answer that is not probed -> why."""


def choose_words(config: FirstLetterConfig, task: LetterTask, model: LanguageModel) -> Words:
    """Words of the file or of the vocabulary, each once whatever its case.

    Raises ConfigError where fewer than two answers have words enough.
    """
    found = _distinct(_from_file(Path(config.words)) if config.words else alphabetic_tokens(model, leading_space=True))
    asked = [word for word in found if len(letters_of(word)) >= config.min_letters and task.label(word) is not None]
    if config.n_words is not None and len(asked) > config.n_words:
        order = np.random.default_rng(derive_seed(config.seed, "words")).permutation(len(asked))
        asked = [asked[int(i)] for i in np.sort(order[: config.n_words])]
    counts = Counter(str(task.label(word)) for word in asked)
    least = config.least_per_class
    few = {
        name: f"{counts[name]} words; the least is {least}" for name in task.classes or () if counts[name] < least
    }  # fmt: skip
    classes = tuple(name for name in task.classes or () if name not in few)
    if len(classes) < 2:
        raise ConfigError(
            f"{len(asked)} words give {len(classes)} answers of {least} words or more; a probe needs two.\n"
            "  Give more words with --words, or a smaller --least_per_class."
        )
    kept = tuple(word for word in asked if task.label(word) in classes)
    labels = tuple(str(task.label(word)) for word in kept)
    return Words(kept, labels, classes, stratified_split(labels, test_fraction=config.test_fraction, seed=config.split_seed), few)


def _from_file(path: Path) -> list[str]:
    if not path.is_file():
        raise ConfigError(f"there is no file of words {path}.\n  Give a text file with a word a line.")
    return [f" {word}" for word in read_words(path)]


def _distinct(words: Iterable[str]) -> list[str]:
    """The first of those that differ in case alone: else one could train a probe and the other test it."""
    first: dict[str, str] = {}
    for word in words:
        first.setdefault(letters_of(word), word)
    return list(first.values())
