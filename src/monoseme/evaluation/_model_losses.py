"""Running the model on chunks, as it is and with reconstructions, zeros and means in place of the activations.

An SAE reads the activations of the clean run; what it gives back is put in place one site at a time, so SAEs of tokens, of
contexts and of several sites are measured alike.

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
from monoseme.splice import Read, mean_ablation, zero_ablation
from monoseme.splice.next_token import compare, log_probabilities, logit_error, losses, predictions, targets
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
        """`means`: mean activation of each output site of `subjects`, for mean ablation."""
        self._model = model
        self._subjects = [(subject, subject.placed) for subject in subjects]
        self._means = means
        self.ledgers = {(s.name, site): Ledger(weights, s.domain_of) for s, placed in self._subjects for site in placed.outputs}

    def __repr__(self) -> str:
        return f"LossMeter({', '.join(subject.name for subject, _ in self._subjects)})"

    def update(self, text: TokenChunk) -> None:
        """Adds the predictions of a chunk, a few contexts at a time where the vocabulary is large."""
        per_context = text.tokens.shape[1] * self._model.spec.vocab_size
        step = max(1, _MAX_LOGITS // per_context)
        for start in range(0, len(text.tokens), step):
            self._add(TokenChunk(*(column[start : start + step] for column in text)))

    @torch.no_grad()
    def _add(self, text: TokenChunk) -> None:
        counts = predictions(text.mask, real=text.real, documents=text.documents)
        if not bool(counts.any()):
            return
        target = targets(text.tokens, counts)
        sites = sorted({*self._means, *(site for _, placed in self._subjects for site in placed.inputs)})
        run = self._model.run(text.tokens, mask=text.mask, real=text.real, capture=sites)
        logits = run.logits[counts.to(run.logits.device)]
        original = log_probabilities(logits)
        normaliser = logits.to(original.dtype).logsumexp(-1)
        shared = _shared_values(counts) | {"ce_original": losses(original, target)}
        ablated = {site: self._ablations(run.captured[site], site, text, counts) for site in self._means}
        rows = document_rows(text.documents[counts].cpu())
        for subject, placed in self._subjects:
            for read in placed.read(run.captured, text.mask, part=subject.part):
                changed = self._logits(read.site, _put(read, run.captured, text), text, counts)
                found = compare(original, changed, target)
                values = shared | ablated[read.site] | {"logit_mse": logit_error(original, normaliser, changed)}
                values |= {"ce_spliced": found.ce, "kl": found.kl, "kl_reversed": found.kl_reversed}
                sums = {name: rows.sums(value.cpu()) for name, value in values.items()}
                self.ledgers[subject.name, read.site].add(sums, rows)

    def _ablations(
        self, x: Float[Tensor, "C S D"], site: "Site", text: TokenChunk, counts: Bool[Tensor, "C S"]
    ) -> dict[str, Float[Tensor, " P"]]:
        target = targets(text.tokens, counts)
        edits = {"ce_zero": zero_ablation(site), "ce_mean": mean_ablation(site, self._means[site])}
        return {name: losses(self._logits(site, x, text, counts, edit), target) for name, edit in edits.items()}

    def _logits(
        self, site: "Site", x: Float[Tensor, "C S D"], text: TokenChunk, counts: Bool[Tensor, "C S"], *edits: "Edit"
    ) -> Float[Tensor, "P V"]:
        """Logits with x at the site, edited, from there on: for residual sites the blocks before need not run again."""
        logits = self._model.run_from(site, x, tokens=text.tokens, edits=edits, mask=text.mask, real=text.real)
        return logits[counts.to(logits.device)]

    def metrics(self, name: str, site: "Site") -> list[Metric]:
        """The losses of that subject at that output site."""
        ledger = self.ledgers[name, site]
        if not ledger.domains:
            return missing(LOSSES, "no prediction counts: no unmasked token is followed by another of its document")
        return evaluate(LOSSES, ledger.whole(), n_documents=ledger.n_documents)

    def domain_metrics(self, name: str, site: "Site") -> dict[str, list[Metric]]:
        """The losses of that subject at that output site, per domain."""
        ledger = self.ledgers[name, site]
        return {
            domain: evaluate(LOSSES, sums, n_documents=len(ledger.documents[domain])) for domain, sums in ledger.domains.items()
        }


def _put(read: Read, captured: "Mapping[Site, Tensor]", text: TokenChunk) -> Float[Tensor, "C S D"]:
    """The activations of the site with the reconstruction at the unmasked positions."""
    x = captured[read.site]
    return x.index_put((text.mask.to(x.device),), read.x_hat.to(x))


def _shared_values(counts: Bool[Tensor, "C S"]) -> dict[str, Float[Tensor, " P"]]:
    """`predictions`, and `contexts`: each prediction's share of its context, so that a context counts once."""
    per_context = counts.sum(1, keepdim=True).double()
    share = (1 / per_context).expand(counts.shape)[counts]
    return {"predictions": torch.ones_like(share), "contexts": share}
