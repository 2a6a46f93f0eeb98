"""How alike the vectors of one token at several layers are, and how long: two passes, float64, in memory of one chunk.

The first pass finds each layer's mean vector and mean norm, the second the cosines of vectors less that mean. Variances are of
gaps from the first pass's means, so that nothing cancels.

Letters: T tokens, L layers, D width, M documents, W weightings of the documents.
Source: MLSAE's `figures/resid_cos_sim.py`: cosine of centred vectors at layers l and l + 1, and norms.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums, ratio
from monoseme.evaluation._chunks import DocumentRows
from monoseme.evaluation._ledger import Ledger
from monoseme.tensors.shapes import Float, Tensor

_MOST_NUMBERS = 1 << 22
"""T x L x D at a time: 32 MB in float64."""


class LayerCentres(NamedTuple):
    """What the first pass finds, float64."""

    mean: Float[Tensor, "L D"]
    norm: Float[Tensor, " L"]
    """Mean norm."""


class CentreSums:
    """The first pass."""

    def __init__(self, n_layers: int, width: int) -> None:
        self._n = 0
        self._vectors = torch.zeros(n_layers, width, dtype=torch.float64)
        self._norms = torch.zeros(n_layers, dtype=torch.float64)

    def update(self, x: Float[Tensor, "T L D"]) -> None:
        """Adds tokens."""
        for part in _parts(x):
            self._n += len(part)
            self._vectors += part.sum(0)
            self._norms += part.norm(dim=2).sum(0)

    def centres(self) -> LayerCentres:
        """The means over all tokens; NaN before the first."""
        n = self._n if self._n else torch.nan
        return LayerCentres(self._vectors / n, self._norms / n)


class LayerVectors:
    """The second pass: cosines between all layers, and norms, summed under each weighting of the documents.

    The centres stay those of all tokens in every replicate: their own error is small, 1 / sqrt(tokens) of a vector's size.
    """

    def __init__(self, centres: LayerCentres, weights: DocumentWeights) -> None:
        self._centres = centres
        self._ledger = Ledger(weights, None)

    @property
    def n_documents(self) -> int:
        """Distinct documents seen."""
        return self._ledger.n_documents

    def update(self, x: Float[Tensor, "T L D"], rows: DocumentRows) -> None:
        """Adds tokens whose documents are `rows`."""
        sums: dict[str, Tensor] = {}
        start = 0
        for part in _parts(x):
            of_part = DocumentRows(rows.ids, rows.row[start : start + len(part)])
            start += len(part)
            for name, values in self._of_tokens(part).items():
                found = of_part.sums(values.flatten(1))
                sums[name] = sums[name] + found if name in sums else found
        if sums:
            self._ledger.add(sums, rows)

    def sums(self) -> WeightedSums:
        """`n` [W, 1]; `norm` and `norm_gap` (squared distance from the mean norm) [W, L]; for `raw` and `centred` vectors the
        cosines, their squares and how many there are: `raw`, `raw_square`, `has_raw` [W, L L]."""
        return self._ledger.whole()

    def _of_tokens(self, x: Float[Tensor, "T L D"]) -> dict[str, Tensor]:
        norm = x.norm(dim=2)
        made = {"n": torch.ones(len(x), 1), "norm": norm, "norm_gap": (norm - self._centres.norm).square()}
        for name, vectors in (("raw", x), ("centred", x - self._centres.mean)):
            length = vectors.norm(dim=2, keepdim=True)
            unit = vectors / length.where(length > 0, 1.0)
            cosine, has = unit @ unit.transpose(1, 2), (length > 0).double()
            made |= {name: cosine, f"{name}_square": cosine.square(), f"has_{name}": has @ has.transpose(1, 2)}
        return made


class Cosines(NamedTuple):
    """Between all layers, over tokens at which neither vector is zero."""

    mean: Float[Tensor, "W L L"]
    var: Float[Tensor, "L L"]
    n: Float[Tensor, "L L"]


def cosines(sums: WeightedSums, kind: str) -> Cosines:
    """Of `raw` or `centred` vectors."""
    n_layers = sums["norm"].shape[1]
    of, squares, n = (sums[name].reshape(-1, n_layers, n_layers) for name in (kind, f"{kind}_square", f"has_{kind}"))
    mean = ratio(of, n)
    return Cosines(mean, (ratio(squares, n)[0] - mean[0].square()).clamp(min=0), n[0])


def _parts(x: Float[Tensor, "T L D"]) -> Iterator[Float[Tensor, "_ L D"]]:
    """Some tokens at a time, float64 on the CPU."""
    step = max(1, _MOST_NUMBERS // (x.shape[1] * x.shape[2]))
    return (part.detach().cpu().double() for part in x.split(step) if len(part))
