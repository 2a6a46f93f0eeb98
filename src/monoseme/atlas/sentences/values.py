"""From the codes of tokens to one number for each latent of a sentence.

A sentence is a run of tokens of one document in one context: with a corpus of sentences (`CorpusConfig.sentences`) each is alone
in its context and whole. Tokens that are kept from the SAE do not count.

Letters: R rows (tokens), E entries (non-zero codes), U sentences, P pairs of a latent and a sentence in which it fires.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.scanning.firings import Firings, Rows

AGGREGATIONS = ("mean", "max", "last")
"""Over the tokens of a sentence: the mean, the largest, that of the last token. A token without a code counts as zero."""


class SentenceRows(NamedTuple):
    """The sentences of a chunk, arrays [U] but the first."""

    of_row: NDArray[np.int64]
    """[R] the sentence of each row."""
    document: NDArray[np.int64]
    position: NDArray[np.int64]
    """Of its first token in the document."""
    last: NDArray[np.int64]
    """Row of its last token."""
    length: NDArray[np.int64]
    """Tokens that reached the SAE (count)."""


class SentenceValues(NamedTuple):
    """Latents in sentences, arrays [P], by (latent, sentence)."""

    latent: NDArray[np.int64]
    sentence: NDArray[np.int64]
    by: dict[str, NDArray[np.float32]]
    """Each of AGGREGATIONS."""


def sentence_rows(rows: Rows) -> SentenceRows:
    """Where the sentences of a chunk lie. Rows of a sentence are together."""
    new = np.ones(len(rows.document), dtype=bool)
    new[1:] = (rows.document[1:] != rows.document[:-1]) | (rows.context[1:] != rows.context[:-1])
    first = np.nonzero(new)[0]
    last = np.append(first[1:], len(new)) - 1
    return SentenceRows(np.cumsum(new) - 1, rows.document[first], rows.position[first], last, last - first + 1)


def sentence_values(sentences: SentenceRows, firings: Firings) -> SentenceValues:
    """Every aggregation for every latent in every sentence with a code of it; sums in float64. Negative codes count too."""
    if not len(firings.latent):
        none = np.empty(0, np.int64)
        return SentenceValues(none, none, {name: np.empty(0, np.float32) for name in AGGREGATIONS})
    sentence = sentences.of_row[firings.row]
    new = np.ones(len(sentence), dtype=bool)
    new[1:] = (firings.latent[1:] != firings.latent[:-1]) | (sentence[1:] != sentence[:-1])
    first = np.nonzero(new)[0]  # entries come by (latent, row), so a pair's entries are together and in order
    end = np.append(first[1:], len(new)) - 1
    latent, sentence = firings.latent[first], sentence[first]
    length = sentences.length[sentence]
    largest = np.maximum.reduceat(firings.value, first)
    # where some token has no code, no negative one is the largest
    largest = np.where(end - first + 1 < length, np.maximum(largest, 0), largest)
    total = np.add.reduceat(firings.value.astype(np.float64), first)
    is_last = firings.row[end] == sentences.last[sentence]
    by = {"mean": total / length, "max": largest, "last": np.where(is_last, firings.value[end], 0)}
    return SentenceValues(latent, sentence, {name: values.astype(np.float32) for name, values in by.items()})


def strongest_latents(found: SentenceValues, name: str, n_sentences: int) -> SentenceValues:
    """One latent for each sentence: that of the largest value by aggregation `name`, of equal ones the lowest.

    A sentence in which no value is positive goes to latent 0 with the value 0, as the first of many zeros.
    Source: llama3_interpretability_sae, capture_top_activating_sentences.py, which takes `argmax` over all latents.
    """
    value = np.zeros(n_sentences, dtype=np.float32)
    np.maximum.at(value, found.sentence, found.by[name])
    latent = np.zeros(n_sentences, dtype=np.int64)
    is_largest = (found.by[name] == value[found.sentence]) & (found.by[name] > 0)
    at = np.nonzero(is_largest)[0][::-1]  # pairs come by latent, so that of equal ones the lowest is written last
    latent[found.sentence[at]] = found.latent[at]
    return SentenceValues(latent, np.arange(n_sentences), {name: value})
