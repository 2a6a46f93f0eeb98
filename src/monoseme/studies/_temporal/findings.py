"""What the papers of T-SAE and TFA claim of codes over time, and whether it shows here.

A claim holds for a measure where the whole 95 % interval of the difference is on the claimed side.
"""

from collections.abc import Callable, Iterable, Sequence

from monoseme.studies._base import Comparison, Finding
from monoseme.studies._intervals import of_sample
from monoseme.studies._temporal.measure import OverTime

_MEASURES = {
    "smoothness_tv_relative": ("relative total variation", -1),
    "smoothness_tv_to_shuffled": ("variation to that in random order", -1),
    "smoothness_autocorrelation_1": ("autocorrelation over 1 token", 1),
    "smoothness_autocorrelation_32": ("autocorrelation over 32 tokens", 1),
}
"""Metric -> what it is called, and the sign of a difference that means slower."""
_TSAE, _TFA = "T-SAE, arXiv:2511.05541", "Priors in Time, arXiv:2511.01836"

Pick = Callable[[OverTime], bool]


def findings_of(found: Sequence[OverTime]) -> list[Finding]:
    """Every claim, measured or not."""
    high, low = _is_part("high", "high"), _is_part("high", "low")
    coarse = _is_part("group_0", "high", "0")
    return [
        _slower(
            f"T-SAE's high group is smoother over time than its low group ({_TSAE}).",
            _pairs(found, high, low, same_sae=True),
            "No SAE has high and low groups, as tsae has, or --part leaves one out.",
        ),
        _slower(
            f"T-SAE's high group is smoother over time than the first group of a Matryoshka SAE of the same run ({_TSAE}).",
            _pairs(found, high, coarse, same_sae=False),
            "There are not both a T-SAE and a Matryoshka SAE of one run, or --part leaves out their high groups.",
        ),
        _explains(
            f"T-SAE's high group is smooth and still explains variance by itself ({_TSAE}).",
            _pairs(found, high, low, same_sae=True),
        ),
        _slower(
            f"TFA's predicted codes are slower than its novel codes ({_TFA}).",
            _pairs(found, _is_part("predicted", "predicted"), _is_part("predicted", "novel"), same_sae=True),
            "No SAE has predicted and novel codes, as tfa has, or --part leaves one out.",
        ),
    ]


def _is_part(own: str, *words: str) -> Pick:
    """Whether a subject is one of these parts of an SAE that has a part called `own`: what its architecture is told by."""
    return lambda each: own in each.subject.sae.parts and each.subject.word in words


def _pairs(found: Sequence[OverTime], slow: Pick, fast: Pick, *, same_sae: bool) -> list[tuple[OverTime, OverTime]]:
    """Pairs of one SAE, or of two SAEs of one run."""
    return [
        (a, b)
        for a in found
        for b in found
        if slow(a) and fast(b) and (a.subject.sae_name == b.subject.sae_name if same_sae else _run(a) == _run(b))
    ]


def _run(each: OverTime) -> str:
    """What stands before the SAE's own name where SAEs of several runs take part."""
    return each.subject.sae_name.rpartition(".")[0]


def _slower(claim: str, pairs: Sequence[tuple[OverTime, OverTime]], why: str) -> Finding:
    comparisons = [c for metric in _MEASURES for c in _of_metric(metric, pairs)]
    return Finding(claim, tuple(comparisons), "" if comparisons else why)


def _of_metric(metric: str, pairs: Sequence[tuple[OverTime, OverTime]]) -> Iterable[Comparison]:
    """Each pair, and the mean of several: runs of other seeds tell more than other documents do."""
    told, sign = _MEASURES[metric]
    gaps: list[float] = []
    for a, b in pairs:
        gap = a.gap(metric, b)
        if gap is not None:
            gaps.append(gap.value)
            numbers = f"{told}: {a.subject.name} {a.interval(metric)}, {b.subject.name} {b.interval(metric)}, difference {gap}"
            yield Comparison(bool(gap.excludes_zero) and sign * gap.value > 0, numbers)
    if len(gaps) > 1:
        mean = of_sample(gaps)
        yield Comparison(bool(mean.excludes_zero) and sign * mean.value > 0, f"{told}, {len(gaps)} pairs: mean difference {mean}")


def _explains(claim: str, pairs: Sequence[tuple[OverTime, OverTime]]) -> Finding:
    comparisons: list[Comparison] = []
    for high, low in pairs:
        gap, alone = high.gap("fvu_alone", low), high.interval("fvu_alone")
        if gap is not None and alone is not None:
            held = alone.high is not None and alone.high < 1
            numbers = f"FVU alone: {high.subject.name} {alone}, {low.subject.name} {low.interval('fvu_alone')}, difference {gap}"
            comparisons.append(Comparison(held, numbers))
    return Finding(claim, tuple(comparisons), "" if comparisons else "No SAE has high and low groups, both measured.")
