"""How well x_hat rebuilds x: the metrics, as formulas over the sums of `_token_sums`.

Letters: x activations, x_hat reconstruction, e = x - x_hat, N tokens, D width; means are over tokens unless said otherwise.
Sources of the peers' forms: SAEBench `evals/core/main.py`; MLSAE `metrics`; TFA's training log; dictionary_learning and
T-SAE `evaluation.py` (error centred); Rajamanoharan et al. 2024, "Gated SAEs", equation 10 (relative reconstruction bias).
"""

from collections.abc import Callable

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import formula
from monoseme.evaluation._token_sums import SHIFTED_ROUNDING, positive_variance
from monoseme.tensors.shapes import Tensor

_CONSTANT = "x has no variance on these tokens"


def variance(s: WeightedSums) -> Tensor:
    """Sum over tokens of the squared distance from the mean row: [W]."""
    squares = s["yy"] - ratio(s["y"].square().sum(-1), s["n"])
    return positive_variance(squares, s["xx"], rounding=SHIFTED_ROUNDING)


def _fvu(s: WeightedSums) -> Tensor:
    return ratio(s["ee"], variance(s))


def _centered_error(s: WeightedSums) -> Tensor:
    return ratio((s["ee"] - ratio(s["e"].square().sum(-1), s["n"])).clamp(min=0), variance(s))


def _ev_as_saebench(s: WeightedSums) -> Tensor:
    power = ratio(s["batch_xx"], s["has_batch_xx"])
    # No guard against a negative denominator: SAEBench has none, and its number above 1 is what this one is for.
    return 1 - ratio(s["batch_ee"], s["has_batch_ee"]) / (power - (power / s["y"].shape[-1]).square())


def _mean(name: str, count: str = "n") -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[name], s[count])


RECONSTRUCTION = (
    formula(
        "fvu",
        "Fraction of variance unexplained: sum ‖x − x̂‖² / sum ‖x − mean x‖², both sums over all tokens. 0 is perfect; 1 is no "
        "better than always answering the mean.",
        _fvu,
        unit="fraction",
        better="lower",
        why_missing=_CONSTANT,
    ),
    formula(
        "explained_variance",
        "1 − FVU. Negative when the reconstruction is worse than the mean.",
        lambda s: 1 - _fvu(s),
        unit="fraction",
        better="higher",
        why_missing=_CONSTANT,
    ),
    formula(
        "mse",
        "Mean squared error per entry: mean ‖x − x̂‖² / D.",
        lambda s: ratio(s["ee"], s["n"]) / s["y"].shape[-1],
        unit="activation²",
        better="lower",
    ),
    formula("squared_error", "Mean over tokens of ‖x − x̂‖².", _mean("ee"), unit="activation²", better="lower"),
    formula("l2_error", "Mean over tokens of ‖x − x̂‖.", _mean("error_norm"), unit="activation", better="lower"),
    formula("l2_norm_in", "Mean over tokens of ‖x‖.", _mean("in_norm"), unit="activation", better="neither"),
    formula("l2_norm_out", "Mean over tokens of ‖x̂‖.", _mean("out_norm"), unit="activation", better="neither"),
    formula(
        "l2_ratio",
        "Mean over tokens of ‖x̂‖ / ‖x‖; below 1 means shrinkage. Tokens with x = 0 are left out.",
        _mean("ratio", "has_ratio"),
        unit="ratio",
        better="neither",
        counted="has_ratio",
        why_missing="every x is zero",
    ),
    formula(
        "cosine",
        "Mean over tokens of the cosine of x and x̂. Tokens where either is zero have no direction and are left out.",
        _mean("cosine", "has_cosine"),
        unit="cosine",
        better="higher",
        counted="has_cosine",
        why_missing="x or x̂ is zero at every token",
    ),
    formula(
        "relative_reconstruction_bias",
        "mean ‖x̂‖² / mean ⟨x, x̂⟩ (Gated SAEs, equation 10). 1 is unbiased, below 1 is shrinkage.",
        lambda s: s["hh"] / s["xh"],
        unit="ratio",
        better="neither",
        why_missing="mean ⟨x, x̂⟩ is zero",
    ),
    formula(
        "ev_centered_error",
        "1 − sum over columns of var(x − x̂) / sum over columns of var(x): the mean error is forgiven, so it is never below "
        "explained_variance. As dictionary_learning and T-SAE define it, here over all tokens at once.",
        lambda s: 1 - _centered_error(s),
        unit="fraction",
        better="higher",
        why_missing=_CONSTANT,
    ),
)
"""Metrics of all tokens together; these also exist per domain."""

AS_PEERS = (
    formula(
        "ev_as_saebench",
        "SAEBench's `explained_variance`: 1 − R / (P − (P/D)²), R and P the means over batches of mean ‖x − x̂‖² and mean ‖x‖². "
        "It squares a second moment where the mean was meant, so it is no explained variance; for comparison with its tables.",
        _ev_as_saebench,
        unit="fraction",
        better="higher",
    ),
    formula(
        "ev_as_saebench_legacy",
        "SAEBench's `explained_variance_legacy`: mean over tokens of 1 − ‖x − x̂‖² / ‖x − mean x of the batch‖². "
        "A mean of ratios, dominated by tokens close to the mean.",
        _mean("legacy", "has_legacy"),
        unit="fraction",
        better="higher",
        counted="has_legacy",
        why_missing="no token differs from the mean of its batch",
    ),
    formula(
        "mse_as_saebench",
        "SAEBench 0.6's `mse`: mean over tokens of ‖x − x̂‖² divided once more by the number of tokens of the batch, "
        "so it depends on the batch size.",
        _mean("saebench_mse"),
        unit="activation²",
        better="lower",
    ),
    formula(
        "relative_reconstruction_bias_as_saebench",
        "mean ‖x̂‖² / mean ⟨x, x̂⟩ of each batch, then the mean over batches.",
        _mean("batch_bias", "has_batch_bias"),
        unit="ratio",
        better="neither",
        why_missing="mean ⟨x, x̂⟩ is zero in every batch",
    ),
    formula(
        "fvu_as_mlsae",
        "MLSAE's FVU: mean over batches of the mean squared entry of x − x̂ / the unbiased variance of all entries of x about "
        "one scalar mean. Differences between columns count as variance, so it is lower than FVU. MLSAE also counts the zeros "
        "it puts at special tokens; masked tokens are left out here.",
        _mean("batch_mlsae", "has_batch_mlsae"),
        unit="fraction",
        better="lower",
        why_missing=_CONSTANT,
    ),
    formula(
        "ev_as_tfa",
        "TFA's `variance_explained`: mean over batches of 1 − var(x − x̂) / var(x), each variance over all entries about one "
        "scalar mean.",
        lambda s: 1 - ratio(s["batch_tfa"], s["has_batch_tfa"]),
        unit="fraction",
        better="higher",
        why_missing=_CONSTANT,
    ),
)
"""Metrics as peers compute them; those that depend on batches take `batch_contexts` contexts as a batch."""
