"""Tables, metrics and findings of steering."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from monoseme.evaluation import Metric
from monoseme.studies._base import Comparison, Finding, Row
from monoseme.studies._intervals import of_share
from monoseme.studies._steering.arms import BASELINES, RANDOM
from monoseme.studies._steering.kept import Steered
from monoseme.studies._steering.outcome import Best, Outcome, SuccessRule, best_of, outcome_of
from monoseme.studies._steering.subjects import SteeredLatent
from monoseme.studies._steering.texts import N_GRAMS

_AT_LEAST, _AT_MOST = 0.5, 0.1
"""Share of latents for which steering should work, and for which random directions may."""


class Found(NamedTuple):
    """What steering one latent of one SAE gave."""

    subject: str
    latent: SteeredLatent
    steered: Steered | None
    """None: no token stands for its concept, so that nothing can be counted; that is no success."""

    def best(self, arm: str, rule: SuccessRule) -> Best | None:
        """The strength of one arm; None where it could not be tried."""
        if self.steered is None or arm not in self.steered.arms:
            return None
        return best_of(self.steered.arms[arm], self.steered.unsteered, shares=self.steered.shares, rule=rule)

    def outcomes(self, arm: str, rule: SuccessRule) -> list[tuple[float, Outcome]]:
        """Every strength of one arm on all prompts."""
        if self.steered is None:
            return []
        made = [
            (strength, outcome_of(texts, self.steered.unsteered, shares=self.steered.shares, rule=rule))
            for strength, texts in self.steered.arms.get(arm, ())
        ]
        return [(strength, outcome) for strength, outcome in made if outcome is not None]


def arm_names(found: Sequence[Found]) -> list[str]:
    """All that was tried: methods first, then baselines."""
    names = list(dict.fromkeys(name for each in found if each.steered is not None for name in each.steered.arms))
    return sorted(names, key=lambda name: (name in BASELINES, BASELINES.index(name) if name in BASELINES else 0))


def summary_rows(found: Sequence[Found], rule: SuccessRule) -> list[Row]:
    """A row for each SAE and arm."""
    return [_summary(subject, arm, [f for f in found if f.subject == subject], rule) for subject, arm in _pairs(found)]


def _pairs(found: Sequence[Found]) -> list[tuple[str, str]]:
    return [(subject, arm) for subject in dict.fromkeys(f.subject for f in found) for arm in arm_names(found)]


def _summary(subject: str, arm: str, mine: Sequence[Found], rule: SuccessRule) -> Row:
    bests = [each.best(arm, rule) for each in mine]
    tried = [best for best in bests if best is not None]
    n = len(tried) + sum(each.steered is None for each in mine)  # a latent without a concept counts as one that failed
    exists = of_share(sum(best.exists is not None for best in tried), n)
    reported = [best.reported for best in tried if best.reported is not None]
    holds = of_share(sum(outcome.succeeds(rule) for outcome in reported), n)
    return {
        "subject": subject,
        "way": arm,
        "n_latents": n,
        "strength_exists": exists.value if n else None,
        "strength_exists_low": exists.low,
        "strength_exists_high": exists.high,
        "holds": holds.value if n else None,
        "holds_low": holds.low,
        "holds_high": holds.high,
        "median_strength": _median([best.strength for best in tried]),
        "times": _median([outcome.times for outcome in reported]),
        "perplexity_times": _median([outcome.perplexity_times for outcome in reported]),
        "divergence": _median([outcome.divergence for outcome in reported]),
        "independent_times": _median([outcome.independent_times for outcome in reported]),
        **{f"distinct_{n}": _median([outcome.distinct[i] for outcome in reported]) for i, n in enumerate(N_GRAMS)},
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def latent_rows(found: Sequence[Found], words: Mapping[int, str], rule: SuccessRule) -> list[Row]:
    """A row for each latent and arm; `words`: what token ids are shown as."""
    rows: list[Row] = []
    for each in found:
        about = {
            "subject": each.subject,
            "latent": each.latent.latent,
            "explanation": each.latent.explanation,
            "auroc": each.latent.auroc,
            "density": each.latent.density,
            "maximum": each.latent.maximum,
            "concept": " ".join(repr(words.get(token, str(token))) for token in each.latent.concept.tokens),
            "share": each.latent.concept.share,
        }
        for arm in arm_names(found):
            best = each.best(arm, rule)
            why = each.latent.concept.why_missing if each.steered is None else each.steered.left_out.get(arm)
            rows.append(about | {"way": arm} | _best_row(best, rule) | {"why_missing": why})
    return rows


def _best_row(best: Best | None, rule: SuccessRule) -> Row:
    reported = None if best is None else best.reported
    return {
        "weakest_that_succeeds": None if best is None else best.exists,
        "strength": None if best is None else best.strength,
        "holds": None if best is None else reported is not None and reported.succeeds(rule),
        **(_outcome_row(reported)),
    }


def _outcome_row(outcome: Outcome | None) -> Row:
    names = ("times", "rate", "independent_times", "perplexity", "perplexity_times", "divergence")
    row: Row = {name: None if outcome is None else getattr(outcome, name) for name in names}
    return row | {f"distinct_{n}": None if outcome is None else outcome.distinct[i] for i, n in enumerate(N_GRAMS)}


def curve_rows(found: Sequence[Found], rule: SuccessRule) -> list[Row]:
    """A row for each latent, arm and strength, on all prompts."""
    return [
        {"subject": each.subject, "latent": each.latent.latent, "way": arm, "strength": strength}
        | _outcome_row(outcome)
        | {"n_tokens": outcome.n_tokens, "succeeds": outcome.succeeds(rule)}
        for each in found
        for arm in arm_names(found)
        for strength, outcome in each.outcomes(arm, rule)
    ]


def findings_of(rows: Sequence[Row], rule: SuccessRule) -> list[Finding]:
    """From the rows of `summary_rows`: latents steer, and random directions do not."""
    works = (
        f"the concept's tokens become {rule.least_times:g} times likelier while perplexity under the unsteered model stays below "
        f"{rule.most_perplexity:g} times that of unsteered texts"
    )
    methods = [row for row in rows if row["way"] not in BASELINES and row["n_latents"]]
    chance = [row for row in rows if row["way"] == RANDOM and row["n_latents"]]
    return [
        Finding(
            f"For at least half of the latents there is a strength at which {works}.",
            tuple(Comparison(row["strength_exists"] >= _AT_LEAST, _numbers(row, "strength_exists")) for row in methods),
            "" if methods else "Nothing was steered.",
        ),
        Finding(
            "The same with the strength chosen on one half of the prompts and reported on the other.",
            tuple(Comparison(row["holds"] >= _AT_LEAST, _numbers(row, "holds")) for row in methods),
            "" if methods else "Nothing was steered.",
        ),
        Finding(
            "Of random directions of the same length no more than one in ten does that.",
            tuple(Comparison(row["strength_exists"] <= _AT_MOST, _numbers(row, "strength_exists")) for row in chance),
            "" if chance else "Random directions were not tried.",
        ),
    ]


def _numbers(row: Row, name: str) -> str:
    interval = f"[{row[name + '_low']:.0%}, {row[name + '_high']:.0%}]"
    return f"{row['subject']}, {row['way']}: {row[name]:.0%} of {row['n_latents']} {interval}"


def metrics_of(rows: Sequence[Row], *, n_prompts: int, rule: SuccessRule) -> dict[str, list[Metric]]:
    """SAE -> share of latents that can be steered, for each arm."""
    made: dict[str, list[Metric]] = {}
    for row in rows:
        for name, how in (
            ("strength_exists", "at one strength at least, on all prompts"),
            ("holds", "at the strength that is best on the even prompts, on the odd ones"),
        ):
            made.setdefault(row["subject"], []).append(
                Metric(
                    name=f"{row['way']}_{name}",
                    value=row[name],
                    why_missing="it could not be tried" if row[name] is None else None,
                    unit="fraction",
                    better="neither" if row["way"] == RANDOM else "higher",
                    n=row["n_latents"],
                    n_documents=n_prompts,
                    definition=f"Share of latents whose concept's tokens become {rule.least_times:g} times likelier while "
                    f"perplexity under the unsteered model stays below {rule.most_perplexity:g} times that of unsteered "
                    f"texts, {how}.",
                )
            )
    return made
