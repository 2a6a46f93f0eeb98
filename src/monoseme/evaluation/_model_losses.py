"""Running the model on chunks, as it is and with reconstructions, zeros and means in place of the activations.

Letters: C contexts, S positions, D width, V vocabulary, P predictions that count.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from monoseme.evaluation._base import EvalSubject
from monoseme.evaluation._bootstrap import DocumentWeights
from monoseme.evaluation._chunks import TokenChunk, document_rows
from monoseme.evaluation._formula import evaluate, missing
from monoseme.evaluation._ledger import Ledger
from monoseme.evaluation._losses import LOSSES
from monoseme.evaluation._metric import Metric
from monoseme.evaluation._next_token import compare, log_probabilities, losses, predictions, targets
from monoseme.splice import mean_ablation, splice, zero_ablation
from monoseme.tensors.shapes import Bool, Float, Tensor

if TYPE_CHECKING:
    from monoseme.models import Edit, LanguageModel, Site

_MAX_LOGITS = 1 << 27
"""C x S x V of one forward: 512 MB in float32."""


class LossMeter:
    """Runs the model on chunks and gathers the losses of several subjects that share it."""

    def __init__(
        self,
        model: "LanguageModel",
        subjects: Sequence[EvalSubject],
        means: "Mapping[Site, Float[Tensor, ' D']]",
        weights: DocumentWeights,
    ) -> None:
        """`means`: mean activation per site of `subjects`, for mean ablation."""
        self._model = model
        self._subjects = subjects
        self._means = means
        self.ledgers = {subject.name: Ledger(weights, subject.domain_of) for subject in subjects}

    def __repr__(self) -> str:
        return f"LossMeter({', '.join(self.ledgers)})"

    def update(self, text: TokenChunk) -> None:
        """Adds the predictions of a chunk, a few contexts at a time where the vocabulary is large."""
        per_context = text.tokens.shape[1] * self._model.spec.vocab_size
        step = max(1, _MAX_LOGITS // per_context)
        for start in range(0, len(text.tokens), step):
            self._add(TokenChunk(*(column[start : start + step] for column in text)))

    @torch.no_grad()
    def _add(self, text: TokenChunk) -> None:
        counts = predictions(text)
        if not bool(counts.any()):
            return
        target = targets(text, counts)
        run = self._model.run(text.tokens, mask=text.mask, real=text.real, capture=tuple(self._means))
        original = log_probabilities(run.logits[counts.to(run.logits.device)])
        shared = _shared_values(counts) | {"ce_original": losses(original, target)}
        ablated = {site: self._ablations(x, site, text, counts) for site, x in run.captured.items()}
        rows = document_rows(text.documents[counts].cpu())
        for subject in self._subjects:
            edit = splice(subject.sae, subject.site, part=subject.part)
            found = compare(original, self._logits(run.captured[subject.site], edit, text, counts), target)
            values = shared | ablated[subject.site]
            values |= {"ce_spliced": found.ce, "kl": found.kl, "kl_reversed": found.kl_reversed}
            self.ledgers[subject.name].add({name: rows.sums(value.cpu()) for name, value in values.items()}, rows)

    def _ablations(
        self, x: Float[Tensor, "C S D"], site: "Site", text: TokenChunk, counts: Bool[Tensor, "C S"]
    ) -> dict[str, Float[Tensor, " P"]]:
        target = targets(text, counts)
        edits = {"ce_zero": zero_ablation(site), "ce_mean": mean_ablation(site, self._means[site])}
        return {name: losses(self._logits(x, edit, text, counts), target) for name, edit in edits.items()}

    def _logits(
        self, x: Float[Tensor, "C S D"], edit: "Edit", text: TokenChunk, counts: Bool[Tensor, "C S"]
    ) -> Float[Tensor, "P V"]:
        """Logits with the edit, from its site on: for residual sites the blocks before need not run again."""
        logits = self._model.run_from(edit.site, x, tokens=text.tokens, edits=(edit,), mask=text.mask, real=text.real)
        return logits[counts.to(logits.device)]

    def metrics(self, name: str) -> list[Metric]:
        """The losses of that subject."""
        ledger = self.ledgers[name]
        if not ledger.domains:
            return missing(LOSSES, "no prediction counts: no unmasked token is followed by another of its document")
        return evaluate(LOSSES, ledger.whole(), n_documents=ledger.n_documents)

    def domain_metrics(self, name: str) -> dict[str, Sequence[Metric]]:
        """The losses of that subject per domain."""
        ledger = self.ledgers[name]
        return {
            domain: evaluate(LOSSES, sums, n_documents=len(ledger.documents[domain])) for domain, sums in ledger.domains.items()
        }


def _shared_values(counts: Bool[Tensor, "C S"]) -> dict[str, Float[Tensor, " P"]]:
    """`predictions`, and `contexts`: each prediction's share of its context, so that a context counts once."""
    per_context = counts.sum(1, keepdim=True).double()
    share = (1 / per_context).expand(counts.shape)[counts]
    return {"predictions": torch.ones_like(share), "contexts": share}
