"""What `scr` found, as rows, typed metrics, points of a figure and findings.

Letters: N numbers of latents, W weightings, T = 2 directions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from monoseme.evaluation import Definition, Metric
from monoseme.evaluation._latent_effects import Floats
from monoseme.studies._base import Finding, Row
from monoseme.studies._perturbation.figures import Point
from monoseme.studies._perturbation.rows import above_control, latent_rows, metric_of, probe_rows, with_interval
from monoseme.studies._scr.measure import OfPair, Removed

RANDOM_LATENTS = "random latents of the SAEs"
NO_HARM = "the spurious cue cost the biased probe less than 0.001 of accuracy: there is nothing to win back"


class Overall(NamedTuple):
    """One subject with n latents ablated, mean over the pairs that have a score."""

    subject: str
    is_control: bool
    n: int
    site: str | None
    """Where the subject reads; None for latents of several."""
    scr: Floats
    """[W]; NaN where no pair has one."""
    as_saebench: float | None
    n_pairs: int

    @property
    def row(self) -> Row:
        """Of the table `scr`."""
        row: Row = {"subject": self.subject, "is_control": self.is_control, "n_latents": self.n}
        row |= with_interval("scr", self.scr) | {"scr_as_saebench": self.as_saebench, "n_pairs": self.n_pairs}
        return row | {"why_missing": None if np.isfinite(self.scr[0]) else NO_HARM}


def overall(found: Sequence[OfPair]) -> list[Overall]:
    """Every subject at every number of latents that it was measured with, then random latents of the SAEs."""
    each = [one for pair in found for one in pair.found]
    site_of = {one.subject: pair.site for pair in found for one in pair.found}
    made: list[Overall] = []
    for name in dict.fromkeys(one.subject for one in each):
        mine = [one for one in each if one.subject == name]
        for n in sorted({n for one in mine for n in one.counts}):
            there = [one for one in mine if n in one.counts]
            theirs = [float(one.as_saebench[one.counts.index(n)]) for one in there if one.as_saebench is not None]
            scores = _mean([one.scr[one.counts.index(n)] for one in there])
            saebench = float(np.mean(theirs)) if theirs else None
            made.append(Overall(name, there[0].is_control, n, site_of[name], scores, saebench, len(there)))
    saes = [one for one in each if not one.is_control]
    for n in sorted({n for one in saes for n in one.counts}):
        there = [one for one in saes if n in one.counts]
        scores = _mean([one.random[one.counts.index(n)] for one in there])
        made.append(Overall(RANDOM_LATENTS, True, n, None, scores, None, len({pair.pair.name for pair in found})))
    return made


def _mean(scores: Sequence[Floats]) -> Floats:
    """[W] over the scores [W] that have a value in the estimate."""
    there = [score for score in scores if np.isfinite(score[0])]
    return np.mean(there, axis=0) if there else np.full_like(scores[0], np.nan)


def pair_rows(found: Sequence[OfPair]) -> list[Row]:
    """A row for each pair, subject and number of latents, with both directions."""
    return [
        {"dataset": pair.pair.dataset, "pair": pair.pair.name, "subject": one.subject, "n_latents": n}
        | with_interval("scr", one.scr[i])
        | {f"scr_{label}": _number(one.directions["ours"][t, i, 0]) for t, label in enumerate(("first", "second"))}
        | {"asked": _asked(pair), "n_ablated": min(n, *(len(a.latents) for a in one.ablated))}
        | {"scr_as_saebench": None if one.as_saebench is None else float(one.as_saebench[i])}
        | {f"scr_{label}_as_saebench": _saebench(one, t, i) for t, label in enumerate(("first", "second"))}
        for pair in found
        for one in pair.found
        for i, n in enumerate(one.counts)
    ]


def _saebench(one: Removed, t: int, i: int) -> float:
    return float(np.nan_to_num(one.directions["saebench"][t, i, 0], nan=0.0))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _asked(pair: OfPair) -> str:
    """What the biased probe is asked for in the headline."""
    first, second = pair.original["ours"][:, 0]
    return "both: a tie" if first == second else "/".join(pair.pair.first if first < second else pair.pair.second)


def all_probe_rows(found: Sequence[OfPair]) -> list[Row]:
    """Of each pair: the two labels' probes, and what the biased probe makes of either label."""
    rows: list[Row] = []
    for pair in found:
        for t, row in enumerate(probe_rows(f"{pair.pair.dataset}: {pair.pair.name}", pair.site, pair.trial, pair.clean)):
            row |= with_interval("accuracy_biased", pair.original["ours"][t])
            rows.append(row | {"scr_of_direction": _number(pair.of_direction[0]), "asked": _asked(pair)})
    return rows


def all_latent_rows(found: Sequence[OfPair]) -> list[Row]:
    """The strongest latents of both labels."""
    return [
        row
        for pair in found
        for one in pair.found
        if not one.is_control
        for row in latent_rows(pair.pair.dataset, one.subject, pair.trial.train_contrasts.names[:2], one.ablated)
    ]


def metrics_of(made: Sequence[Overall], found: Sequence[OfPair]) -> dict[str, list[Metric]]:
    """Of each SAE and control: SCR at each number of latents."""
    n = sum(len(pair.trial.test) for pair in found)
    n_units = sum(pair.trial.n_units for pair in found)
    return {
        name: [
            metric_of(_definition(one.n), one.scr, n=n, n_units=n_units, why_missing=NO_HARM)
            for one in made
            if one.subject == name
        ]
        for name in dict.fromkeys(one.subject for one in made)
    }


def _definition(n: int) -> Definition:
    return Definition(
        name=f"scr_{n}",
        definition=f"(accuracy with the {n} strongest latents of the spurious attribute ablated - accuracy before) / (accuracy "
        "of an unbiased probe - accuracy before), of a probe trained where both attributes go together, asked for one of them.",
        unit="fraction",
        better="higher",
    )


def points_of(made: Sequence[Overall]) -> list[Point]:
    """Of the figure."""
    points: list[Point] = []
    for one in made:
        row = one.row
        points.append(Point(one.subject, one.n, "SCR (1: all won back)", row["scr"], row["scr_low"], row["scr_high"]))
    return points


def saebench_metrics(made: Sequence[Overall], found: Sequence[OfPair]) -> dict[str, dict[str, float | None]]:
    """Subject -> metric -> value by SAEBench's rule, under its names; mean over pairs."""
    metrics: dict[str, dict[str, float | None]] = {}
    for one in made:
        if one.subject == RANDOM_LATENTS:
            continue
        mine = [each for pair in found for each in pair.found if each.subject == one.subject and one.n in each.counts]
        ours = metrics.setdefault(one.subject, {})
        for t in range(2):
            scores = [_saebench(each, t, each.counts.index(one.n)) for each in mine]
            ours[f"scr_dir{t + 1}_threshold_{one.n}"] = float(np.mean(scores))
        ours[f"scr_metric_threshold_{one.n}"] = one.as_saebench
    return metrics


def finding_of(made: Sequence[Overall]) -> Finding:
    """Whether trained SAEs win more of the accuracy back than random directions do."""
    control = {(one.site, one.n): one for one in made if one.is_control and one.subject != RANDOM_LATENTS}
    comparisons = [
        above_control(f"{one.subject}, {one.n} latents", one.scr, control[one.site, one.n].scr)
        for one in made
        if not one.is_control and (one.site, one.n) in control and np.isfinite(one.scr[0])
    ]
    claim = (
        "Ablating a few latents of a trained SAE takes a spurious cue out of a biased probe, more than random directions do "
        "(SHIFT, arXiv:2403.19647; SAEBench, arXiv:2503.09532). Held: the whole 95 % interval of the difference is above 0."
    )
    return Finding(claim, tuple(comparisons), "" if comparisons else NO_HARM[0].upper() + NO_HARM[1:] + ".")
