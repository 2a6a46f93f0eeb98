"""What papers claim of seeds and widths, beside what the study's tables say."""

from collections.abc import Mapping, Sequence

from monoseme.studies._base import Comparison, Finding, Row
from monoseme.studies._dictionaries.pairs import COSINE

_SEEDS = (
    "SAEs that differ in their seed alone share only a part of their latents, the smaller the wider they are (Paulo and Belrose "
    "2025, arXiv:2501.16615: about 30 % of 131,072 latents on Llama 3 8B, matched one to one)"
)
_NEW = "A wider SAE has latents that no narrower one has (Leask et al. 2025, arXiv:2502.04878)"
_SPLIT = 'Latents split as the dictionary grows (Bricken et al. 2023, "Towards monosemanticity")'
_NO_SEEDS = "It takes two SAEs or more that differ in their seed alone."
_NO_WIDTHS = "It takes SAEs of one architecture at two widths or more."
_MOST = 0.5
"""Share of shared latents up to which they count as a part only."""


def findings(tables: Mapping[str, Sequence[Row]], *, thresholds: Mapping[str, Sequence[float]]) -> list[Finding]:
    """Each claim with the comparisons that the tables hold."""
    steps = tables.get("splits_by_width", ())
    return [
        Finding(_SEEDS, *_of(_seeds(tables, thresholds[COSINE][0]), _NO_SEEDS)),
        Finding(_NEW, *_of([_new(row) for row in steps], _NO_WIDTHS)),
        Finding(_SPLIT, *_of([_split(row) for row in steps], _NO_WIDTHS)),
    ]


def _of(comparisons: Sequence[Comparison], why: str) -> tuple[tuple[Comparison, ...], str]:
    return tuple(comparisons), "" if comparisons else why


def _seeds(tables: Mapping[str, Sequence[Row]], threshold: float) -> list[Comparison]:
    curve = tables.get("universality_curve", ())
    rows = [row for row in curve if row["criterion"] == COSINE and abs(row["threshold"] - threshold) < 1e-9]
    made: list[Comparison] = []
    for family in dict.fromkeys(row["family"] for row in rows):
        by_name = {row["matched_in"]: row for row in rows if row["family"] == family}
        one, chance = by_name["one other"], by_name["by chance"]
        held = chance["share"] < one["share"] <= _MOST
        numbers = f"{family}: {_share(one)} of the latents have a partner at cosine {threshold:g} or more in one other SAE, "
        made.append(Comparison(held, f"{numbers}{chance['share']:.1%} by chance (held: above chance and at most {_MOST:.0%})"))
    return made


def _new(row: Row) -> Comparison:
    low = row["new_low"]
    told = _share({"share": row["new_share"], "low": low, "high": row["new_high"]})
    return Comparison(
        low is not None and low > 0, f"{row['parents']} → {row['children']}: {told} of {row['n_children']:,} are new"
    )


def _split(row: Row) -> Comparison:
    fires, anyway = row["parent_fires_with_child"], row["parent_fires_anyway"]
    held = row["parents_split"] > 0 and fires is not None and fires > anyway
    told = "" if fires is None else f"; the parent fires on {fires:.0%} of a child's tokens, on {anyway:.1%} anyway"
    return Comparison(held, f"{row['parents']} → {row['children']}: {row['parents_split']:,} of {row['n_parents']:,} split{told}")


def _share(row: Row) -> str:
    if row["low"] is None:
        return f"{row['share']:.1%}"
    return f"{row['share']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
