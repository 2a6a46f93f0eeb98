"""How much of x a part of the codes gives back by itself: smoothness that explains nothing is cheap.

Letters: T unmasked tokens of a chunk, D width, W weightings.
Source: T-SAE's `evaluation.py`, `frac_variance_explained_high` and `_low`, there with the error centred.
"""

import torch

from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums, ratio
from monoseme.evaluation._chunks import Chunk, document_rows
from monoseme.evaluation._formula import formula
from monoseme.evaluation._ledger import Ledger
from monoseme.evaluation._reconstruction import variance
from monoseme.evaluation._token_sums import per_document
from monoseme.saes import Codes
from monoseme.splice import Placed
from monoseme.tensors.running import float64_device
from monoseme.tensors.shapes import Float, Tensor

ALONE = (
    formula(
        "fvu_alone",
        "Fraction of variance unexplained by what this part of the codes gives back by itself, biases included: "
        "sum ‖x − x̂‖² / sum ‖x − mean x‖². Of the whole code it is fvu; of a part it may be above 1. A mean over output sites.",
        lambda s: s["fvu"],
        unit="fraction",
        better="lower",
        why_missing="x has no variance on these tokens",
    ),
)


class Alone:
    """Gathers the errors of one part at every output site."""

    def __init__(self, placed: Placed, weights: DocumentWeights) -> None:
        self._placed = placed
        self._ledgers = [Ledger(weights, None) for _ in placed.outputs]
        self._shifts: list[Tensor] = []

    def __repr__(self) -> str:
        return f"Alone({', '.join(str(site) for site in self._placed.outputs)})"

    def update(self, chunk: Chunk, codes: Codes, part: str | None) -> None:
        """Adds the unmasked tokens of a chunk, whose codes are given."""
        mask = chunk.text.mask
        decoded = self._placed.sae.decode(codes if part is None else codes.with_all(codes.part(part)))
        x_hats = decoded.unbind(-2) if self._placed.sae.reads == "layers" else (decoded,)
        targets = [chunk.activations[site] for site in self._placed.outputs]
        xs = [_double(x[mask.to(x.device)]).to(_double(x_hat).device) for x, x_hat in zip(targets, x_hats, strict=True)]
        self._shifts = self._shifts or [x.mean(0) for x in xs]
        rows = document_rows(chunk.text.documents[mask].cpu())
        for ledger, shift, x, x_hat in zip(self._ledgers, self._shifts, xs, x_hats, strict=True):
            ledger.add(per_document(_errors(x, _double(x_hat), shift), rows), rows)

    def sums(self) -> WeightedSums:
        """`n`, and `fvu` under every weighting."""
        made, each = WeightedSums(), [ledger.whole() for ledger in self._ledgers]
        made.add("n", each[0]["n"])
        made.add("fvu", torch.stack([ratio(s["ee"], variance(s)) for s in each]).mean(0))
        return made


def _errors(x: Float[Tensor, "T D"], x_hat: Float[Tensor, "T D"], shift: Float[Tensor, " D"]) -> dict[str, Tensor]:
    """What FVU needs of each token, on the CPU."""
    y = x - shift
    squares = {"ee": x - x_hat, "xx": x, "yy": y}
    made = {name: value.square().sum(-1) for name, value in squares.items()} | {"n": torch.ones_like(x[:, 0]), "y": y}
    return {name: value.cpu() for name, value in made.items()}


def _double(x: Tensor) -> Tensor:
    return x.detach().to(float64_device(x.device)).to(torch.float64)
