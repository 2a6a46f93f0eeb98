"""What two parts of a code explain alone and together: sums over tokens, and the metrics as formulas over them.

x̂ = b + p + n, where b is what the SAE gives back for a code of zeros and p, n are what its two parts add to it. Two identities
hold exactly, each with a cross term of the two parts:

    ‖p + n‖² = ‖p‖² + ‖n‖² + 2⟨p, n⟩                                        shares of what is given back, energy or variance
    ‖c − p − n‖² = ‖c − p‖² + ‖c − n‖² − ‖c‖² + 2⟨p, n⟩,  c = x − b         what each part leaves unexplained

Source of the entropy-based effective rank: Roy and Vetterli 2007, "The effective rank: a measure of effective dimensionality".
Letters: T tokens, D width, A latents that fire in a stretch of text.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import Formula, formula
from monoseme.evaluation._metric import Better
from monoseme.evaluation._reconstruction import variance
from monoseme.evaluation._token_sums import positive_variance
from monoseme.tensors.shapes import Float, Tensor


class Parts(NamedTuple):
    """T tokens and what each part adds, float64."""

    x: Float[Tensor, "T D"]
    bias: Float[Tensor, "T D"]
    predicted: Float[Tensor, "T D"]
    novel: Float[Tensor, "T D"]


def share_sums(parts: Parts, shift: Float[Tensor, " D"]) -> dict[str, Float[Tensor, "T *rest"]]:
    """What is summed per token; `shift` is taken from x before its variance, which changes nothing but keeps the digits."""
    c, p, n = parts.x - parts.bias, parts.predicted, parts.novel
    pp, nn, pn = _dot(p, p), _dot(n, n), _dot(p, n)
    left_p, left_n = _dot(c - p, c - p), _dot(c - n, c - n)
    has_cosine, has_error_cosine = (pp > 0) & (nn > 0), (left_p > 0) & (left_n > 0)
    return {
        "n": torch.ones_like(pp),
        "xx": _dot(parts.x, parts.x),
        "yy": _dot(parts.x - shift, parts.x - shift),
        "y": parts.x - shift,
        "without": _dot(c, c),
        "without_novel": left_p,
        "without_predicted": left_n,
        "ee": _dot(c - p - n, c - p - n),
        "pp": pp,
        "nn": nn,
        "pn": pn,
        "has_cosine": has_cosine.double(),
        "cosine": torch.where(has_cosine, pn / (pp.sqrt() * nn.sqrt()), 0.0),
        "has_error_cosine": has_error_cosine.double(),
        "error_cosine": torch.where(has_error_cosine, _dot(c - p, c - n) / (left_p.sqrt() * left_n.sqrt()), 0.0),
        "p": p,
        "q": n,
    }


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, " T"]:
    return (a * b).sum(-1)


def code_cosines(predicted: Float[Tensor, "T F"], novel: Float[Tensor, "T F"]) -> dict[str, Float[Tensor, " T"]]:
    """The cosine of the two codes of each token that has both, float64."""
    predicted, novel = predicted.double(), novel.double()
    norms = predicted.norm(dim=-1) * novel.norm(dim=-1)
    return {
        "has_code_cosine": (norms > 0).double(),
        "code_cosine": ratio(_dot(predicted, novel), norms).nan_to_num(nan=0.0),
    }


class Rank(NamedTuple):
    """How many directions the codes of a stretch of text take; 0 for codes of zeros."""

    by_share: int
    """Fewest singular directions that hold a share of the squared norm."""
    by_entropy: float
    """exp of the entropy of the singular values, divided by their sum."""


def effective_rank(signals: Float[Tensor, "A T"], *, share: float) -> Rank:
    """Both effective ranks of the codes of T tokens, from the T x T products in float64; not centred."""
    energies = torch.linalg.eigvalsh(signals.T @ signals).flip(0).clamp(min=0)
    if not len(energies) or float(energies[0]) == 0:
        return Rank(0, 0.0)
    # What is below the rounding of the products is no direction: its root would still count in the entropy.
    energies = torch.where(energies > len(energies) * torch.finfo(energies.dtype).eps * energies[0], energies, 0.0)
    values = energies.sqrt() / energies.sqrt().sum()
    by_share = int((energies.cumsum(0) / energies.sum() < share).sum()) + 1
    return Rank(by_share, float(torch.special.entr(values).sum().exp()))


def _over(name: str) -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[name], variance(s))


def _mean(name: str, count: str = "n") -> Callable[[WeightedSums], Tensor]:
    return lambda s: ratio(s[name], s[count])


_CONSTANT = "x has no variance on these tokens"


def _fvu(name: str, of: str, text: str) -> Formula:
    text = f"Σ ‖{text}‖² / Σ ‖x − mean x‖²: what is left unexplained by {of}."
    return formula(f"fvu_{name}", text, _over(_LEFT[name]), unit="fraction", better="lower", why_missing=_CONSTANT)


def _explained(name: str, of: str) -> Formula:
    def compute(s: WeightedSums) -> Tensor:
        return 1 - _over(_LEFT[name])(s)

    text = f"1 − fvu_{name}: the share of the variance of x that {of} explains."
    return formula(f"explained_{name}", text, compute, unit="fraction", better="higher", why_missing=_CONSTANT)


def _part(name: str, text: str, compute: Callable[[WeightedSums], Tensor], *, unit: str, counted: str, why: str,
          better: Better = "neither") -> Formula:  # fmt: skip
    return formula(name, text, compute, unit=unit, better=better, counted=counted, why_missing=why)


def _given_back(name: str, of: Callable[[WeightedSums], Tensor], *, kind: str, text: str) -> Formula:
    """A share of what both parts together give back."""
    whole = "‖p + n‖²" if kind == "energy" else "‖p + n − mean(p + n)‖²"
    total = _energy_whole if kind == "energy" else _variance_whole
    return _part(
        f"{kind}_share_{name}",
        f"Σ {text} / Σ {whole}. {kind}_share_predicted, _novel and _cross add up to 1.",
        lambda s: ratio(of(s), total(s)),
        unit="fraction",
        counted="n",
        why="the parts together give back nothing" if kind == "energy" else "what the parts give back does not vary",
    )


def _covariance(product: str, a: str, b: str) -> Callable[[WeightedSums], Tensor]:
    """Sum over tokens of the product of two parts, each about its mean."""
    return lambda s: s[product] - ratio((s[a] * s[b]).sum(-1), s["n"])


def _energy_whole(s: WeightedSums) -> Tensor:
    return s["pp"] + s["nn"] + 2 * s["pn"]


def _variance_whole(s: WeightedSums) -> Tensor:
    return positive_variance(_VAR_P(s) + _VAR_N(s) + 2 * _COV(s), _energy_whole(s))


_VAR_P, _VAR_N, _COV = _covariance("pp", "p", "p"), _covariance("nn", "q", "q"), _covariance("pn", "p", "q")
_LEFT = {"predicted": "without_novel", "novel": "without_predicted", "both": "ee", "bias": "without"}

SHARES = (
    _explained("predicted", "the predicted part with the bias"),
    _explained("novel", "the novel part with the bias"),
    _explained("both", "the whole reconstruction"),
    _fvu("predicted", "the predicted part with the bias", "x − b − p"),
    _fvu("novel", "the novel part with the bias", "x − b − n"),
    _fvu("both", "the whole reconstruction", "x − b − p − n"),
    _fvu("bias", "the bias b alone, which is what the SAE gives back for a code of zeros", "x − b"),
    formula(
        "cross_term",
        "2 Σ ⟨p, n⟩ / Σ ‖x − mean x‖². fvu_both = fvu_predicted + fvu_novel − fvu_bias + cross_term: 0 when the parts add up.",
        lambda s: 2 * _over("pn")(s),
        unit="fraction",
        better="neither",
        why_missing=_CONSTANT,
    ),
    _part(
        "energy_predicted",
        "Σ ‖p‖² / Σ (‖p‖² + ‖n‖²): the predicted part's share of the energies of both (TFA's `rel_energy`).",
        lambda s: ratio(s["pp"], s["pp"] + s["nn"]),
        unit="fraction",
        counted="n",
        why="both parts are zero at every token",
    ),
    _given_back("predicted", lambda s: s["pp"], kind="energy", text="‖p‖²"),
    _given_back("novel", lambda s: s["nn"], kind="energy", text="‖n‖²"),
    _given_back("cross", lambda s: 2 * s["pn"], kind="energy", text="2⟨p, n⟩"),
    _given_back("predicted", _VAR_P, kind="variance", text="‖p − mean p‖²"),
    _given_back("novel", _VAR_N, kind="variance", text="‖n − mean n‖²"),
    _given_back("cross", lambda s: 2 * _COV(s), kind="variance", text="2⟨p − mean p, n − mean n⟩"),
    _part(
        "cosine_reconstructions",
        "Mean over tokens of the cosine of p and n, where both are there (TFA's `pn_recons_similarity`).",
        _mean("cosine", "has_cosine"),
        unit="cosine",
        counted="has_cosine",
        why="no token has both parts",
    ),
    _part(
        "cosine_codes",
        "Mean over tokens of the cosine of the predicted and the novel code, where both are there (TFA's `pn_code_similarity`).",
        _mean("code_cosine", "has_code_cosine"),
        unit="cosine",
        counted="has_code_cosine",
        why="no token has both parts",
    ),
    _part(
        "cosine_errors",
        "Mean over tokens of the cosine of x − b − p and x − b − n, what each part alone leaves over (TFA's `error_similarity`).",
        _mean("error_cosine", "has_error_cosine"),
        unit="cosine",
        counted="has_error_cosine",
        why="one part alone leaves nothing over at any token",
    ),
    *(
        formula(
            f"nmse_{name}_as_tfa",
            f"TFA's `nmse_{short}`: Σ ‖x − b − {letter}‖² / Σ ‖x − b‖².",
            _mean(_LEFT[name], "without"),
            unit="fraction",
            better="lower",
            why_missing="x is the bias at every token",
        )
        for name, short, letter in (("predicted", "pred", "p"), ("novel", "novel", "n"))
    ),
)
"""Metrics of what the parts explain."""


def slowness_formulas(part: str, *, share: float) -> tuple[Formula, ...]:
    """Metrics of the codes of one part over time; "all" is the whole code, which every SAE has."""
    code = "whole code" if part == "all" else f"{part} code"
    stretches = "Mean over stretches of a document in a context"
    too_short = "no stretch is long enough"
    return (
        _part(
            f"tv_relative_{part}",
            f"Total variation of the {code} as a share of its activation: smoothness_tv_relative of that part.",
            lambda s: ratio(s[f"tv_{part}"], s[f"level_{part}"]),
            unit="ratio",
            counted="transitions",
            why="the part is zero wherever two unmasked tokens of a document follow one another",
            better="lower",
        ),
        _part(
            f"effective_rank_{part}",
            f"{stretches} of the fewest singular directions of its {code}s [tokens, latents] that hold {share:.1%} of their "
            "squared norm (not centred). It grows with the length of the contexts.",
            _mean(f"rank_{part}", "has_rank"),
            unit="directions",
            counted="has_rank",
            why=too_short,
        ),
        _part(
            f"entropy_rank_{part}",
            f"{stretches} of exp(−Σ σ log σ), σ the singular values of its {code}s [tokens, latents], divided by their sum (not "
            "centred). No threshold: a direction counts by its size.",
            _mean(f"entropy_rank_{part}", "has_rank"),
            unit="directions",
            counted="has_rank",
            why=too_short,
        ),
    )
