"""What two parts of a code explain alone and together: sums over tokens, and the metrics as formulas over them.

x̂ = b + p + n, where b is what the SAE gives back for a code of zeros and p, n are what its two parts add to it. With c = x − b:
‖c − p − n‖² = ‖c − p‖² + ‖c − n‖² − ‖c‖² + 2⟨p, n⟩, so what the parts leave unexplained adds up with the cross term.

Letters: T tokens, D width.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from monoseme.evaluation._bootstrap import WeightedSums, ratio
from monoseme.evaluation._formula import Formula, formula
from monoseme.evaluation._metric import Better
from monoseme.evaluation._reconstruction import variance
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
    has_cosine = (pp > 0) & (nn > 0)
    return {
        "n": torch.ones_like(pp),
        "xx": _dot(parts.x, parts.x),
        "yy": _dot(parts.x - shift, parts.x - shift),
        "y": parts.x - shift,
        "without": _dot(c, c),
        "without_novel": _dot(c - p, c - p),
        "without_predicted": _dot(c - n, c - n),
        "ee": _dot(c - p - n, c - p - n),
        "pp": pp,
        "nn": nn,
        "pn": pn,
        "has_cosine": has_cosine.double(),
        "cosine": torch.where(has_cosine, pn / (pp.sqrt() * nn.sqrt()), 0.0),
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


def effective_rank(signals: Float[Tensor, "A T"], *, share: float) -> int:
    """Fewest singular directions of the codes of T tokens that hold that share of their squared norm; 0 for codes of zeros.

    From the T x T products in float64; not centred.
    """
    energies = torch.linalg.eigvalsh(signals.T @ signals).flip(0).clamp(min=0)
    if not len(energies) or float(energies[0]) == 0:
        return 0
    return int((energies.cumsum(0) / energies.sum() < share).sum()) + 1


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


def slowness_formulas(*, share: float) -> tuple[Formula, ...]:
    """Metrics of each part's codes over time."""
    return tuple(made for part in ("predicted", "novel") for made in _slowness(part, share))


def _slowness(part: str, share: float) -> tuple[Formula, Formula]:
    return (
        _part(
            f"tv_relative_{part}",
            f"Total variation of the {part} code as a share of its activation: smoothness_tv_relative of that part.",
            lambda s: ratio(s[f"tv_{part}"], s[f"level_{part}"]),
            unit="ratio",
            counted="transitions",
            why="the part is zero wherever two unmasked tokens of a document follow one another",
            better="lower",
        ),
        _part(
            f"effective_rank_{part}",
            f"Mean over stretches of a document in a context of the fewest singular directions of its {part} codes [tokens, "
            f"latents] that hold {share:.1%} of their squared norm (not centred). It grows with the length of the contexts.",
            _mean(f"rank_{part}", "has_rank"),
            unit="directions",
            counted="has_rank",
            why="no stretch is long enough",
        ),
    )
