"""Sums of documents, kept per domain; the whole is their sum."""

from collections.abc import Callable, Mapping

from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums
from monoseme.evaluation._chunks import DocumentRows
from monoseme.tensors.shapes import Float, Tensor

ALL = "all"
"""The domain of every document where domains are not known."""


class Ledger:
    """Weighted sums per domain, and which documents they come from. Memory: domains x weightings x columns, and document ids."""

    def __init__(self, weights: DocumentWeights, domain_of: Callable[[int], str] | None) -> None:
        self.weights = weights
        self.documents: dict[str, set[int]] = {}
        self.domains: dict[str, WeightedSums] = {}
        self._domain_of = domain_of if domain_of is not None else _same_domain

    def __repr__(self) -> str:
        return f"Ledger({', '.join(sorted(self.domains))}; {self.n_documents} documents)"

    @property
    def n_documents(self) -> int:
        """Distinct documents seen."""
        return sum(len(documents) for documents in self.documents.values())

    def add(self, values: Mapping[str, Tensor], rows: DocumentRows) -> Float[Tensor, "M W"]:
        """Adds sums per document (name -> [M, ...]); returns the weights of these documents."""
        weights = self.weights.of(rows.ids)
        members: dict[str, list[int]] = {}
        for i, document in enumerate(rows.ids):
            members.setdefault(self._domain_of(document), []).append(i)
        for domain, chosen in members.items():
            sums = self.domains.setdefault(domain, WeightedSums())
            sums.add_documents({name: value[chosen] for name, value in values.items()}, weights[chosen])
            self.documents.setdefault(domain, set()).update(rows.ids[i] for i in chosen)
        return weights

    def whole(self) -> WeightedSums:
        """Sums over all domains."""
        made = WeightedSums()
        for domain in sorted(self.domains):
            made.merge(self.domains[domain])
        return made


def _same_domain(document: int) -> str:
    del document
    return ALL
