"""Findings of the papers, decided by the rows of the study of architectures, and said with their numbers.

A finding is decided where its rows exist; thresholds stand beside each.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from monoseme.studies._base import Comparison, Finding, Row
from monoseme.studies._measurements import Numbers, number

_SMOOTH = "smoothness_tv_relative"
_FIRST_PARTS = ("high", "group_0", "predicted")
"""The part of a grouped or predicting code that is followed by itself."""
_MARKEDLY = 0.8
"""Times as much variation, or less, is markedly smoother."""
_FVU_APART = 0.02
_AT_ONE_TOKEN = 0.1
"""Share of a latent's spread over layers that is there at a single token, or less, is far less: an order of magnitude."""


def row_of(name: str, trained_as: Mapping[str, Any], measured: Mapping[str, Numbers]) -> Row:
    """The row of one SAE: what it is, and every number the study compares; None where there is none."""
    parts = measured["smoothness"].parts if "smoothness" in measured else {}
    part = next((p for p in _FIRST_PARTS if p in parts), None)
    row: Row = {
        "sae": _label(trained_as),
        "architecture": trained_as["architecture"],
        "target_l0": trained_as.get("target_l0"),
        "n_latents": trained_as["n_latents"],
        "run_name": name,
        **{metric: number(measured, "fidelity", metric) for metric in ("l0", "fvu", "ce_recovered", "dead_fraction")},
        "l0_whole": number(measured, "fidelity", "l0"),
        "smoothness": number(measured, "smoothness", _SMOOTH),
        "part": part,
        "smoothness_of_part": None if part is None else number(measured, "smoothness", _SMOOTH, part=part),
    }
    if part == "predicted":  # dense; what is aimed at, and kept, is the novel part's k
        row["l0"] = None if row["l0"] is None else float(trained_as["k"])
    for evaluation in ("layer_spread", "predicted_share"):
        row |= measured[evaluation].metrics if evaluation in measured else {}
    return row


def _label(trained_as: Mapping[str, Any]) -> str:
    target = trained_as.get("target_l0")
    return trained_as["architecture"] if target is None else f"{trained_as['architecture']} {target:g}"


def findings_of(rows: Sequence[Row]) -> list[Finding]:
    """Every finding that this study can decide, measured or not."""
    by_name = {name: [row for row in rows if row["architecture"] == name] for name in {row["architecture"] for row in rows}}
    return [
        _temporal(by_name.get("tsae", []), by_name.get("matryoshka", [])),
        _batchtopk(by_name.get("batchtopk", []), by_name.get("topk", [])),
        _predicted(by_name.get("tfa", [])),
        _layers(by_name.get("mlsae", [])),
        _layers_where_it_fires(by_name.get("mlsae", [])),
    ]


def _temporal(tsae: Sequence[Row], matryoshka: Sequence[Row]) -> Finding:
    claim = (
        "T-SAE's high group is markedly smoother over time than Matryoshka's first group of the same size, at an FVU within "
        f"{_FVU_APART:g} (T-SAE, arXiv:2511.05541). Markedly: at most {_MARKEDLY:g} times its relative total variation."
    )
    pairs = [(a, b) for a in tsae for b in matryoshka if a["target_l0"] == b["target_l0"]]
    found = [_smoother(a, b) for a, b in pairs if _has((a, b), "smoothness_of_part", "fvu")]
    return Finding(claim, tuple(found), "" if found else "T-SAE and Matryoshka were not both measured.")


def _smoother(tsae: Row, matryoshka: Row) -> Comparison:
    held = (
        tsae["smoothness_of_part"] <= _MARKEDLY * matryoshka["smoothness_of_part"]
        and abs(tsae["fvu"] - matryoshka["fvu"]) <= _FVU_APART
    )
    return Comparison(
        held,
        f"at L0 {tsae['target_l0']:g}: variation {tsae['smoothness_of_part']:.3f} against "
        f"{matryoshka['smoothness_of_part']:.3f}, FVU {tsae['fvu']:.4f} against {matryoshka['fvu']:.4f}",
    )


def _batchtopk(batchtopk: Sequence[Row], topk: Sequence[Row]) -> Finding:
    claim = (
        "BatchTopK reconstructs better than TopK at equal L0 (Bussmann et al. 2024, arXiv:2412.06410). TopK's FVU is "
        "interpolated in log L0 where the two L0 differ on held-out text."
    )
    curve = [(row["l0"], row["fvu"]) for row in topk if _has((row,), "l0", "fvu")]
    found = [row for row in batchtopk if _has((row,), "l0", "fvu")]
    if not curve or not found:
        return Finding(claim, (), "BatchTopK and TopK were not both measured.")
    pairs = [(row, at_l0(curve, row["l0"])) for row in found]
    return Finding(
        claim,
        tuple(
            Comparison(row["fvu"] < other, f"at L0 {row['l0']:.1f}: FVU {row['fvu']:.4f} against {other:.4f}")
            for row, other in pairs
        ),
    )


def at_l0(curve: Sequence[tuple[float, float]], l0: float) -> float:
    """FVU at an L0: linear in log L0 between the two points nearest to it, also beyond them; of one point, its own FVU."""
    points = sorted(curve)
    if len(points) == 1:
        return points[0][1]
    i = next((i for i in range(1, len(points) - 1) if l0 <= points[i][0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[i - 1], points[i]
    share = (math.log(l0) - math.log(x0)) / (math.log(x1) - math.log(x0))
    return y0 + share * (y1 - y0)


def _predicted(tfa: Sequence[Row]) -> Finding:
    claim = (
        "TFA's predicted part carries slow, context-wide information, its novel part the rest (arXiv:2511.01836). Slow: at most "
        f"{_MARKEDLY:g} times the novel part's relative total variation; context-wide: codes of a lower effective rank."
    )
    found = [row for row in tfa if _has((row,), "tv_relative_predicted", "tv_relative_novel")]
    comparisons = tuple(Comparison(_is_slow(row), _slowness(row)) for row in found)
    return Finding(claim, comparisons, "" if found else "TFA was not measured.")


def _is_slow(row: Row) -> bool:
    if not _has((row,), "effective_rank_predicted", "effective_rank_novel"):
        return False
    slow = row["tv_relative_predicted"] <= _MARKEDLY * row["tv_relative_novel"]
    return slow and row["effective_rank_predicted"] < row["effective_rank_novel"]


def _slowness(row: Row) -> str:
    """The numbers of both parts of one SAE."""
    told = [f"variation {row['tv_relative_predicted']:.3f} and {row['tv_relative_novel']:.3f}"]
    if _has((row,), "effective_rank_predicted", "effective_rank_novel"):
        told.append(f"rank {row['effective_rank_predicted']:.1f} and {row['effective_rank_novel']:.1f}")
    if _has((row,), "explained_predicted", "explained_novel"):
        told.append(f"explained alone {row['explained_predicted']:.3f} and {row['explained_novel']:.3f}")
    return f"at L0 {row['target_l0']:g}, predicted and novel: {', '.join(told)}"


def _layers(mlsae: Sequence[Row]) -> Finding:
    claim = (
        "MLSAE's latents are far more spread over layers aggregated over tokens than for a single token (Lawson et al. 2024, "
        f"arXiv:2409.04185). Far more: at most {_AT_ONE_TOKEN:g} of the variance over layers is there at one token, in the "
        "paper's own measure (rel_var_t_as_mlsae), in which a token without a firing counts as one without spread."
    )
    return _spread(claim, mlsae, "rel_var_t_as_mlsae", "rel_var_f_as_mlsae")


def _layers_where_it_fires(mlsae: Sequence[Row]) -> Finding:
    claim = (
        f"The same with only those tokens counted at which the latent fires (rel_var_t at most {_AT_ONE_TOKEN:g}): does a firing "
        "stay in one layer? Neighbouring layers of a small model are alike, so that one token fires a latent in several."
    )
    return _spread(claim, mlsae, "rel_var_t", "rel_var_f")


def _spread(claim: str, mlsae: Sequence[Row], at_token: str, of_all: str) -> Finding:
    found = [row for row in mlsae if _has((row,), at_token, of_all)]
    return Finding(
        claim,
        tuple(Comparison(row[at_token] <= _AT_ONE_TOKEN, _spread_numbers(row, at_token, of_all)) for row in found),
        "" if found else "MLSAE was not measured.",
    )


def _spread_numbers(row: Row, at_token: str, of_all: str) -> str:
    told = f"at L0 {row['target_l0']:g}: {row[at_token]:.3f} of it at one token; {row[of_all]:.3f} of all variance within latents"
    if not _has((row,), "layers_per_firing", "layers_per_latent"):
        return told
    return f"{told}; layers per latent {row['layers_per_latent']:.2f} over all tokens, {row['layers_per_firing']:.2f} at one"


def _has(rows: Sequence[Row], *names: str) -> bool:
    return all(row.get(name) is not None for row in rows for name in names)
