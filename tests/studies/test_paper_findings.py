"""Findings follow from the rows: hand-worked cases on both sides of each threshold."""

import math
from typing import Any

import pytest

from monoseme.studies._measurements import Numbers
from monoseme.studies._paper_findings import at_l0, findings_of, row_of


def _row(architecture: str, *, target_l0: float = 8.0, **numbers: float) -> dict[str, Any]:
    return {"architecture": architecture, "target_l0": target_l0, "l0": target_l0, "smoothness_of_part": None} | numbers


def _verdicts(*rows: dict[str, Any]) -> list[bool | None]:
    """Of each finding's only comparison; None without one."""
    return [finding.comparisons[0].held if finding.comparisons else None for finding in findings_of(rows)]


def test_without_rows_nothing_is_measured() -> None:
    assert _verdicts() == [None] * 5
    assert {finding.verdict for finding in findings_of([])} == {"not measured"}


def test_a_finding_that_holds_at_one_l0_only_says_so() -> None:
    matryoshka = [_row("matryoshka", target_l0=l0, smoothness_of_part=1.0, fvu=0.1) for l0 in (8.0, 16.0)]
    tsae = [_row("tsae", target_l0=l0, smoothness_of_part=0.5, fvu=fvu) for l0, fvu in ((8.0, 0.13), (16.0, 0.11))]
    found = findings_of([*matryoshka, *tsae])[0]
    assert found.verdict == "reproduced in 1 of 2 comparisons"
    assert [comparison.held for comparison in found.comparisons] == [False, True]


@pytest.mark.parametrize(
    ("smooth", "fvu", "verdict"), [(0.79, 0.12, True), (0.81, 0.12, False), (0.5, 0.1201, False), (0.5, 0.081, True)]
)
def test_the_high_group_must_be_smoother_by_a_fifth_at_an_fvu_within_two_hundredths(
    smooth: float, fvu: float, verdict: bool
) -> None:
    matryoshka = _row("matryoshka", smoothness_of_part=1.0, fvu=0.1)
    assert _verdicts(_row("tsae", smoothness_of_part=smooth, fvu=fvu), matryoshka)[0] is verdict


def test_batchtopk_is_compared_at_its_own_l0() -> None:
    topk = [_row("topk", target_l0=8, fvu=0.3), _row("topk", target_l0=32, fvu=0.1)]
    better = _row("batchtopk", target_l0=16, fvu=0.19)
    assert _verdicts(*topk, better)[1] is True
    assert _verdicts(*topk, better | {"l0": 20.0})[1] is False  # TopK is at 0.168 there


def test_fvu_between_two_points_is_linear_in_log_l0() -> None:
    curve = [(8.0, 0.3), (32.0, 0.1), (64.0, 0.05)]
    assert at_l0(curve, 16.0) == pytest.approx(0.2)
    assert at_l0(curve, 32.0) == pytest.approx(0.1)
    assert at_l0(curve, 32.0 * math.sqrt(2)) == pytest.approx(0.075)
    assert at_l0(curve, 4.0) == pytest.approx(0.4)
    assert at_l0(curve[:1], 5.0) == 0.3


def test_the_predicted_part_must_be_slow_and_of_low_rank() -> None:
    slow = _row("tfa", tv_relative_predicted=0.5, tv_relative_novel=1.0, effective_rank_predicted=3.0, effective_rank_novel=9.0)
    assert _verdicts(slow)[2] is True
    assert _verdicts(slow | {"tv_relative_predicted": 0.9})[2] is False
    assert _verdicts(slow | {"effective_rank_predicted": 9.5})[2] is False


def test_mlsae_needs_at_most_a_tenth_of_its_spread_at_one_token() -> None:
    far = _row("mlsae", rel_var_t_as_mlsae=0.09, rel_var_f_as_mlsae=0.9, rel_var_t=0.6, rel_var_f=0.8)
    assert _verdicts(far)[3:] == [True, False]
    assert _verdicts(far | {"rel_var_t_as_mlsae": 0.11, "rel_var_t": 0.05})[3:] == [False, True]


def test_a_row_takes_the_part_that_comes_first_and_leaves_out_what_was_not_measured() -> None:
    parts = {"all": {"smoothness_tv_relative": 1.0}, "low": {}, "high": {"smoothness_tv_relative": 0.5}}
    measured = {"smoothness": Numbers({"smoothness_tv_relative": 1.0}, parts)}
    row = row_of("tsae.k8", {"architecture": "tsae", "target_l0": 8.0, "n_latents": 37}, measured)
    assert (row["sae"], row["part"], row["smoothness_of_part"]) == ("tsae 8", "high", 0.5)
    assert row["fvu"] is None
