"""What the paper of TFA and its demonstration claim, and whether it shows here.

A claim holds for an SAE where the whole interval is on the claimed side.
"""

from collections.abc import Mapping, Sequence

from monoseme.studies._base import Comparison, Finding
from monoseme.studies._intervals import Interval, difference
from monoseme.studies._predictability.garden import Effect
from monoseme.studies._predictability.shares import Share
from monoseme.studies._predictability.summary import Mean

_PAPER = "Priors in Time, arXiv:2511.01836"
_DEMO = "TFA's demonstration, Gemma-2-2B, layer 12"
_NO_PARTS = "No SAE has predicted and novel codes."


def findings(
    shares: Sequence[Share], means: Mapping[tuple[str, str], Mean], effects: Sequence[Effect], baseline: str | None
) -> list[Finding]:
    """All claims; `baseline` is the code of an SAE without parts to compare events with."""
    parted = [share for share in shares if share.has_parts]
    codes = [f"{share.sae} (predicted)" for share in parted if (f"{share.sae} (predicted)", "auroc") in means]
    return [_fast_and_slow(parted), _alone(parted), _events(codes, means), _against(codes, means, baseline), _garden(effects)]


def _fast_and_slow(parted: Sequence[Share]) -> Finding:
    claim = f"The predicted part carries slow, abstract information and the novel part fast information ({_PAPER}, abstract)."
    comparisons: list[Comparison] = []
    for share in parted:
        for measure, told in (
            ("tv_relative", "relative total variation"),
            ("effective_rank", "effective rank (99.9 %)"),
            ("entropy_rank", "effective rank (entropy)"),
        ):
            gap = share.gap(f"{measure}_novel", f"{measure}_predicted")
            predicted, novel = share.interval(f"{measure}_predicted"), share.interval(f"{measure}_novel")
            if gap is not None:
                numbers = f"{share.sae}, {told}: predicted {predicted}, novel {novel}, difference {gap}"
                comparisons.append(Comparison(_above(gap), numbers))
    return _finding(claim, comparisons, _NO_PARTS)


def _alone(parted: Sequence[Share]) -> Finding:
    claim = (
        f"Alone, the novel part explains more of the variance than the predicted one, which still explains some: 0.579 and 0.145 "
        f"of 0.766 ({_DEMO})."
    )
    comparisons = [
        Comparison(
            _above(gap) and _above(predicted),
            f"{share.sae}: novel alone {share.interval('explained_novel')}, predicted alone {predicted}, both "
            f"{share.interval('explained_both')}; cross term of the variance given back {share.interval('variance_share_cross')}",
        )
        for share in parted
        if (gap := share.gap("explained_novel", "explained_predicted")) is not None
        and (predicted := share.interval("explained_predicted")) is not None
    ]
    return _finding(claim, comparisons, _NO_PARTS)


def _events(codes: Sequence[str], means: Mapping[tuple[str, str], Mean]) -> Finding:
    claim = f"Predicted codes identify event boundaries ({_PAPER}, abstract)."
    comparisons: list[Comparison] = []
    for code in codes:
        for measure, told, chance in (
            ("auroc", "AUROC against all other gaps", 0.5),
            ("auroc_ends", "AUROC against other sentence ends", 0.5),
            ("event_gap", "similarity within less across events at the same distance", 0.0),
        ):
            interval = means[code, measure].interval
            comparisons.append(Comparison(_above(interval, chance), f"{code}, {told}: {interval}"))
    return _finding(claim, comparisons, "No predicted codes were read: --part leaves them out, or there are no texts of events.")


def _against(codes: Sequence[str], means: Mapping[tuple[str, str], Mean], baseline: str | None) -> Finding:
    claim = f"Predicted codes show events better than novel codes and the codes of other SAEs do ({_PAPER}, abstract)."
    comparisons: list[Comparison] = []
    for code in codes:
        others = [code.replace("(predicted)", "(novel)"), *([baseline] if baseline else [])]
        for other in others:
            for measure, told in (
                ("auroc_ends", "AUROC against other sentence ends"),
                ("event_gap", "similarity within less across"),
            ):
                if (other, measure) in means:
                    gap = difference(means[code, measure].replicates, means[other, measure].replicates)
                    comparisons.append(Comparison(_above(gap), f"{code} less {other}, {told}: {gap}"))
    return _finding(claim, comparisons, "No predicted codes were read, or nothing to compare them with.")


def _garden(effects: Sequence[Effect]) -> Finding:
    claim = f"The novel part answers to the word that shows a garden path to be one ({_PAPER}: TFA parses garden-path sentences)."
    at = {(e.sae, e.where, e.measure): e.difference for e in effects if e.kind == "all"}
    surprisal = at.get((None, "word", "surprisal"))
    comparisons = [
        Comparison(
            _above(interval),
            f"{sae}, novel share at the word, garden path less control: {interval}; at the token before it: "
            f"{at.get((sae, 'before', measure))}; surprisal of the model at the word: {surprisal} nats",
        )
        for (sae, where, measure), interval in at.items()
        if where == "word" and measure == "novel_share"
    ]
    return _finding(claim, comparisons, "No SAE with predicted and novel codes, or no pairs of sentences.")


def _above(interval: Interval, line: float = 0.0) -> bool:
    return interval.low is not None and interval.low > line


def _finding(claim: str, comparisons: Sequence[Comparison], why: str) -> Finding:
    return Finding(claim, tuple(comparisons), "" if comparisons else why)
