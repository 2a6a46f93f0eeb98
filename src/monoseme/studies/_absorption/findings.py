"""What the papers say of absorption, decided by rates and by paired differences between SAEs.

Sources: the abstracts of Chanin et al. 2024, arXiv:2409.14507, and Bussmann et al. 2025 (Matryoshka SAEs), arXiv:2503.17547.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from monoseme.studies._absorption.dictionaries import ALIKE
from monoseme.studies._absorption.rates import Rates
from monoseme.studies._base import Comparison, Finding, Row
from monoseme.studies._intervals import difference

_NAMES = {
    "absorption_rate": "by ablation",
    "full_absorption": "full, by projection",
    "absorption_fraction": "fraction, by projection",
}


LEAST_MAIN_F1 = 0.5
"""Mean F1 of the main latents over letters from which an SAE's rates decide a claim; the choice is ours."""


class Measured(NamedTuple):
    """One dictionary with its rates."""

    row: Row
    """Of the table of SAEs."""
    rates: Rates

    @property
    def kind(self) -> str:
        """Architecture."""
        return self.row["architecture"]


class _Claim(NamedTuple):
    text: str
    is_pair: Callable[[Row, Row], bool]
    """(the one said to absorb more, the other)"""
    why_missing: str


_CLAIMS = (
    _Claim(
        "Bussmann et al. (arXiv:2503.17547): Matryoshka SAEs absorb less than SAEs of one level. Beside TopK and BatchTopK of "
        "the same width and about the same L0.",
        lambda more, less: (
            more["architecture"] in _ONE_LEVEL and less["architecture"] == "matryoshka" and _same_size(more, less)
        ),
        "It needs a Matryoshka SAE and a TopK or BatchTopK SAE at one site, of one width and about one L0.",
    ),
    _Claim(
        "Bussmann et al. (arXiv:2503.17547): in larger dictionaries sparsity has more features absorbed. That is, of two SAEs of "
        "one architecture and about one L0, the wider absorbs more.",
        lambda more, less: _alike(more, less) and more["width"] > less["width"] and _same_l0(more, less),
        "It needs SAEs of one architecture and about one L0, of different widths.",
    ),
    _Claim(
        "Chanin et al. (arXiv:2409.14507): absorption comes of optimising for sparsity. If so, of two SAEs of one architecture "
        "and width the sparser should absorb more; this inference is ours.",
        lambda more, less: (
            _alike(more, less) and more["width"] == less["width"] and more["l0"] * ALIKE < less["l0"]
        ),
        "It needs SAEs of one architecture and one width whose numbers of active latents differ.",
    ),
)  # fmt: skip
_EVERYWHERE = (
    "Chanin et al. (arXiv:2409.14507): varying an SAE's size or sparsity is not enough to be rid of absorption. That is, every "
    "SAE has some, its interval above 0; a weak test, of which controls may show the same."
)
_ONE_LEVEL = ("topk", "batchtopk")


def differences(found: Sequence[Measured]) -> list[Row]:
    """Every other SAE against the TopK SAE of its site and width that is nearest in L0, on the same words."""
    rows: list[Row] = []
    for other in found:
        bases = [base for base in found if base.kind == "topk" and other.kind != "topk" and _same_place(base.row, other.row)]
        if bases and not other.row["is_control"]:
            base = min(bases, key=lambda each: abs(math.log(max(each.row["l0"], 1e-9) / max(other.row["l0"], 1e-9))))
            rows += _compared(other, base)
    return rows


def findings_of(found: Sequence[Measured]) -> list[Finding]:
    """Every claim, decided where there are SAEs for it whose main latents tell the letters.

    A claim holds where the whole 95 % interval is on its side.
    """
    saes = [each for each in found if not each.row["is_control"]]
    telling = [each for each in saes if (each.row["k_sparse_f1"] or 0.0) >= LEAST_MAIN_F1]
    everywhere = tuple(comparison for each in telling for comparison in _above_zero(each))
    made = [Finding(_EVERYWHERE, everywhere, "" if everywhere else _no_rate(saes))]
    for claim in _CLAIMS:
        pairs = [(more, less) for more in saes for less in saes if claim.is_pair(more.row, less.row)]
        told = [(more, less) for more, less in pairs if more in telling and less in telling]
        comparisons = tuple(_comparison(row) for more, less in told for row in _compared(more, less))
        why = "" if comparisons else _no_rate(saes) if pairs else claim.why_missing
        made.append(Finding(claim.text, comparisons, why))
    return made


def _above_zero(found: Measured) -> list[Comparison]:
    made: list[Comparison] = []
    for measure, name in _NAMES.items():
        interval = found.rates.interval(measure) if measure in found.rates.over else None
        if interval is not None:
            numbers = f"{found.row['subject']}, {name}: {interval} (F1 of its main latents {_f1(found.row['k_sparse_f1'])})"
            made.append(Comparison(interval.excludes_zero is True, numbers))
    return made


def _compared(more: Measured, less: Measured) -> list[Row]:
    """A row for each measure that both have."""
    rows: list[Row] = []
    for measure in _NAMES:
        if measure in more.rates.over and None not in (more.rates.over[measure].mean, less.rates.over[measure].mean):
            found = difference(more.rates.replicates[measure], less.rates.replicates[measure])
            rows.append(
                {
                    "subject": more.row["subject"],
                    "against": less.row["subject"],
                    "measure": measure,
                    "difference": found.value,
                    "low": found.low,
                    "high": found.high,
                    "l0": more.row["l0"],
                    "l0_against": less.row["l0"],
                    "k_sparse_f1": more.row["k_sparse_f1"],
                    "k_sparse_f1_against": less.row["k_sparse_f1"],
                }
            )
    return rows


def _comparison(row: Row) -> Comparison:
    bounds = f" [{row['low']:+.3f}, {row['high']:+.3f}]" if row["low"] is not None else " (no interval)"
    return Comparison(
        row["low"] is not None and row["low"] > 0,
        f"{row['subject']} - {row['against']}, {_NAMES[row['measure']]}: {row['difference']:+.3f}{bounds} "
        f"(F1 of main latents {_f1(row['k_sparse_f1'])} and {_f1(row['k_sparse_f1_against'])})",
    )


def _no_rate(found: Sequence[Measured]) -> str:
    whys: Mapping[str, None] = dict.fromkeys(
        over.why_missing for each in found for over in each.rates.over.values() if over.why_missing
    )
    if whys:
        return f"No SAE has a rate: {'; '.join(whys)}."
    best = max((each.row["k_sparse_f1"] or 0.0 for each in found), default=0.0)
    return (
        f"The SAEs that it takes have no main latents that tell the letters: an F1 of {LEAST_MAIN_F1:g} is asked for, the best "
        f"here is {best:.2f}. What no latent stands for, no latent can absorb; rates and differences are in the tables."
    )


def _f1(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _alike(a: Row, b: Row) -> bool:
    return a["architecture"] == b["architecture"] and a["site"] == b["site"] and a["part"] == b["part"]


def _same_l0(a: Row, b: Row) -> bool:
    low, high = sorted((a["l0"], b["l0"]))
    return high <= ALIKE * low


def _same_place(a: Row, b: Row) -> bool:
    return a["site"] == b["site"] and a["width"] == b["width"] and a["part"] == b["part"] == "all"


def _same_size(a: Row, b: Row) -> bool:
    return _same_place(a, b) and _same_l0(a, b)
