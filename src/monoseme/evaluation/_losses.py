"""The metrics that need the language model, as formulas over the sums of `_model_losses`.

All changes act at the same positions, those the mask leaves to an SAE; special tokens, padding and filtered sinks keep their
activation in every run. (SAEBench's zero ablation acts at special tokens too, which makes its score more generous.)
Which predictions count: `splice.next_token.predictions`.
"""

from collections.abc import Callable

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import Formula, formula
from monoseme.evaluation._metric import Better
from monoseme.tensors.shapes import Tensor


def _mean(name: str, count: str = "predictions") -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[name], s[count])


def _recovered(baseline: str) -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[baseline] - s["ce_spliced"], s[baseline] - s["ce_original"])


def _loss(name: str, text: str, *, better: Better = "neither", why_missing: str = "no prediction counts") -> Formula:
    return formula(name, text, _mean(name), unit="nats", better=better, counted="predictions", why_missing=why_missing)


LOSSES = (
    _loss("ce_original", "Mean next-token cross-entropy of the model as it is."),
    _loss("ce_spliced", "Mean next-token cross-entropy with x̂ in place of x at every unmasked position.", better="lower"),
    _loss("ce_zero", "Mean next-token cross-entropy with zeros in place of x at the same positions."),
    _loss("ce_mean", "Mean next-token cross-entropy with the mean of x over these tokens in place of x."),
    formula(
        "ce_increase",
        "ce_spliced − ce_original.",
        lambda s: ratio(s["ce_spliced"] - s["ce_original"], s["predictions"]),
        unit="nats",
        better="lower",
        counted="predictions",
        why_missing="no prediction counts",
    ),
    formula(
        "ce_recovered",
        "(ce_zero − ce_spliced) / (ce_zero − ce_original): 1 when the splice costs nothing, 0 when it is as bad as zeros.",
        _recovered("ce_zero"),
        unit="fraction",
        better="higher",
        counted="predictions",
        why_missing="zero ablation does not raise the cross-entropy here",
    ),
    formula(
        "ce_recovered_mean",
        "(ce_mean − ce_spliced) / (ce_mean − ce_original): as ce_recovered, against the harder baseline of the mean activation.",
        _recovered("ce_mean"),
        unit="fraction",
        better="higher",
        counted="predictions",
        why_missing="mean ablation does not raise the cross-entropy here",
    ),
    _loss("kl", "Mean over predictions of KL(original ‖ spliced), summed over the vocabulary.", better="lower"),
    _loss("kl_reversed", "Mean over predictions of KL(spliced ‖ original).", better="lower"),
    formula(
        "logit_mse",
        "Mean over predictions and the vocabulary of (logit spliced − logit)², as MLSAE's `logit/mse`.",
        _mean("logit_mse"),
        unit="logit²",
        better="lower",
        counted="predictions",
        why_missing="no prediction counts",
    ),
    formula(
        "kl_as_mlsae",
        "MLSAE's `kldiv`: KL(spliced ‖ original) summed over the positions of a context, mean over contexts; it grows with the "
        "context length.",
        _mean("kl_reversed", "contexts"),
        unit="nats per context",
        better="lower",
        counted="predictions",
        why_missing="no prediction counts",
    ),
)
"""Metrics that need the language model; these also exist per domain."""
