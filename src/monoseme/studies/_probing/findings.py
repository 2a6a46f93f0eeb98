"""What T-SAE's paper says of probes, decided by paired differences and said with their numbers.

Source: arXiv:2511.05541: the high-level latents hold semantics and context better than those of Matryoshka and TopK SAEs, and
syntax worse; the low-level latents the reverse.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from monoseme.pipeline import FoundSae, run_of
from monoseme.studies._architecture import architecture_of
from monoseme.studies._base import Comparison, Finding, Row
from monoseme.studies._intervals import of_sample
from monoseme.studies._probing.scores import Scored, compared
from monoseme.studies._workbench import Subject

_PAPER = "T-SAE (arXiv:2511.05541)"


class Side(NamedTuple):
    """A part of the SAEs of an architecture."""

    architecture: str
    word: str


class _Claim(NamedTuple):
    text: str
    task: str
    better: Side
    """What is said to be more accurate."""
    worse: tuple[Side, ...]


_HIGH, _LOW = Side("tsae", "high"), Side("tsae", "low")
_OTHERS = (Side("matryoshka", "high"), Side("topk", "all"))
_CLAIMS = (
    _Claim(f"{_PAPER}: its high group tells the class of a document better than Matryoshka's high group and TopK do.",
           "semantics", _HIGH, _OTHERS),
    _Claim(f"{_PAPER}: its high group tells which document a token is from better than these do.", "context", _HIGH, _OTHERS),
    _Claim(f"{_PAPER}: its high group tells the class of a document better than its low groups do.",
           "semantics", _HIGH, (_LOW,)),
    _Claim(f"{_PAPER}: its high group tells the document better than its low groups do.", "context", _HIGH, (_LOW,)),
    _Claim(f"{_PAPER}: its low groups tell the part of speech better than its high group does.", "syntax", _LOW, (_HIGH,)),
)  # fmt: skip
_WORSE_SYNTAX = f"{_PAPER}: its high group tells the part of speech worse than Matryoshka's high group and TopK do."


class Found(NamedTuple):
    """All comparisons that bear on the claims."""

    findings: list[Finding]
    differences: list[Row]


def findings_of(
    scored: Sequence[Scored], subjects: Sequence[Subject], saes: Sequence[FoundSae], *, missing: Mapping[str, str]
) -> Found:
    """Every claim, decided where its subjects and its task are there. `scored` has each subject of a task once; `missing` says
    why a task was not set.

    A claim holds in a comparison where the difference is on its side with the whole 95 % interval; in several runs, there is one
    comparison for each and one for their mean.
    """
    kinds = {found.named.name: architecture_of(found) for found in saes}
    by_name = {(each.task, each.rival): each for each in scored}
    runs = {found.named.name: str(run_of(found.path).path) for found in saes}
    claims = [*_CLAIMS, *(_Claim(_WORSE_SYNTAX, "syntax", other, (_HIGH,)) for other in _OTHERS)]
    findings: dict[str, Finding] = {}
    rows: list[Row] = []
    for claim in claims:
        made: list[Comparison] = []
        for worse in claim.worse:
            found = [
                compared(by_name[claim.task, a.name], by_name[claim.task, b.name])
                for a, b in _pairs(subjects, runs, kinds, (claim.better, worse))
                if {(claim.task, a.name), (claim.task, b.name)} <= set(by_name)
            ]
            rows += found
            made += [_comparison(row) for row in found] + _over_runs(found)
        before = findings[claim.text].comparisons if claim.text in findings else ()
        findings[claim.text] = Finding(claim.text, (*before, *made), _why(claim, (*before, *made), missing))
    return Found(list(findings.values()), rows)


def _pairs(
    subjects: Sequence[Subject], runs: Mapping[str, str], kinds: Mapping[str, str], sides: tuple[Side, Side]
) -> list[tuple[Subject, Subject]]:
    """Subjects of the two sides at the same sites of the same run; of other runs too where none share one."""
    firsts, seconds = ([s for s in subjects if (kinds[s.sae_name], s.word) == side] for side in sides)
    pairs = [(x, y) for x in firsts for y in seconds if x.sites == y.sites]
    if sides[0].architecture == sides[1].architecture:
        return [(x, y) for x, y in pairs if x.sae_name == y.sae_name]
    return [(x, y) for x, y in pairs if runs[x.sae_name] == runs[y.sae_name]] or pairs


def _comparison(row: Row) -> Comparison:
    bounds = f" [{row['low']:+.3f}, {row['high']:+.3f}]" if row["low"] is not None else " (no interval)"
    numbers = f"{row['subject']} - {row['against']}: {row['difference']:+.3f}{bounds} accuracy"
    return Comparison(row["low"] is not None and row["low"] > 0, numbers)


def _over_runs(rows: Sequence[Row]) -> list[Comparison]:
    """The mean over two runs or more with Student's interval: how sure it is for other SAEs of the kind."""
    if len(rows) < 2:
        return []
    found = of_sample(np.array([row["difference"] for row in rows]))
    low, high = found.low or 0.0, found.high or 0.0
    return [Comparison(low > 0, f"mean over {len(rows)} runs: {found.value:+.3f} [{low:+.3f}, {high:+.3f}] accuracy")]


def _why(claim: _Claim, made: Sequence[Comparison], missing: Mapping[str, str]) -> str:
    if made:
        return ""
    if claim.task in missing:
        return f"No {claim.task}: {missing[claim.task]}."
    return "It needs T-SAE and what it is held against at one site: --sae RUN --part high,low,all."
