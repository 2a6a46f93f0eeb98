"""The measures of a card by name, in the order of its rows. Each composes an evaluation or a study that stands by itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from monoseme.studies._card.bench import CardBench
from monoseme.studies._card.core import FIDELITY, SMOOTHNESS, fidelity, smoothness
from monoseme.studies._card.decoder import DECODER, meta_structure
from monoseme.studies._card.labelled import PERTURBATION, PROBING, sparse_probing, tpp
from monoseme.studies._card.letters import LETTERS, letters
from monoseme.studies._card.lines import Filled, Pick


class Measure(NamedTuple):
    """What measures, and what the card shows of it."""

    fill: Callable[[CardBench], Filled]
    picks: Sequence[Pick]


MEASURES: Mapping[str, Measure] = {
    "fidelity": Measure(fidelity, FIDELITY),
    "smoothness": Measure(smoothness, SMOOTHNESS),
    "meta_structure": Measure(meta_structure, DECODER),
    "sparse_probing": Measure(sparse_probing, PROBING),
    "tpp": Measure(tpp, PERTURBATION),
    "letters": Measure(letters, LETTERS),
}
