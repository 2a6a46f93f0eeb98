"""What every study of letters says first: whether the model can answer, how good the probes are, and what each SAE is."""

from collections.abc import Sequence

import numpy as np

from monoseme.core.seeds import derive_seed
from monoseme.probes import ProbeScores, reliability
from monoseme.probes.scores import N_BINS
from monoseme.studies._base import Row
from monoseme.studies._dictionaries.families import kind_of
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._intervals import Interval, of_replicates
from monoseme.studies._workbench import Subject

_LEAST_LETTERS, _N_REPLICATES = 3, 1000
_CANNOT = 0.5
"""Share of right answers below which a model is said not to be able to."""


def sae_facts(bench: FirstLetterBench, subject: Subject) -> Row:
    """The columns that tell an SAE: its name, what it is, where, how wide, and its L0 on the words."""
    codes, site = bench.codes(subject), subject.sites[0]
    n_active = int((codes.data != 0).sum())
    return {
        "sae": subject.name,
        "architecture": kind_of(next(found for found in bench.bench.found if found.named.name == subject.sae_name)),
        "site": str(site),
        "layer": site.layer,
        "sae_width": subject.sae.n_latents,
        "sae_l0": n_active / len(bench.words),
    }


def file_name(subject: Subject) -> str:
    """The subject's name as a file may have it."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in subject.name)


def counted(bench: FirstLetterBench, subject: Subject) -> list[str]:
    """Letters that the probe on the activations can tell."""
    least = bench.config.least_probe_f1
    return [s.name for s in bench.probe_scores(subject.sites[0]) if s.f1 is not None and s.f1 > least]


def over_letters(values: Sequence[float | None]) -> Interval | None:
    """Mean with a 95 % interval from a bootstrap over letters; None where no letter has a value."""
    found = np.asarray([value for value in values if value is not None], dtype=np.float64)
    if not len(found):
        return None
    if len(found) < _LEAST_LETTERS:
        return Interval(float(found.mean()), None, None, f"only {len(found)} letters have a value")
    drawn = np.random.default_rng(derive_seed(0, "letters")).integers(len(found), size=(_N_REPLICATES, len(found)))
    return of_replicates(np.concatenate([[found.mean()], found[drawn].mean(1)]))


def interval_columns(name: str, found: Interval | None) -> Row:
    """A value and the ends of its interval, as columns of a table."""
    if found is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def probe_rows(bench: FirstLetterBench) -> list[Row]:
    """The probe of each site, letter by letter, on the test side."""
    return [
        {"site": str(site)} | _as_row(scores) | {"counts": scores.f1 is not None and scores.f1 > bench.config.least_probe_f1}
        for site in bench.sites
        for scores in bench.probe_scores(site)
    ]


def _as_row(scores: ProbeScores) -> Row:
    held = scores._asdict()
    return {"letter": held.pop("name")} | held


def reliability_rows(bench: FirstLetterBench) -> list[Row]:
    """The reliability table of each site's probe, all letters together."""
    test = bench.split.test
    found: list[Row] = []
    for site in bench.sites:
        probe = bench.probe(site)
        columns = [bench.classes.index(name) for name in probe.classes]
        given = probe.probabilities(bench.activations(site)[test]).double().numpy()
        table = reliability(given.ravel(), bench.truth[test][:, columns].ravel())
        found += [{"site": str(site)} | each._asdict() for each in table]
    return found


def preface(bench: FirstLetterBench) -> str:
    """Markdown: what was asked, how well the model answers, how good the probes are, who is left out and why."""
    n_test = int(bench.is_test.sum())
    example = bench.task.question(bench.words[0]).strip()
    lines = [
        f"{len(bench.words):,} words were put to {bench.model.config.model} as *{example}*, each after "
        f"{bench.config.n_examples} other words with their answers; {n_test:,} of them are for the test, the same share of each "
        f"letter, and numbers are from these. Activations and codes are read at the last token of the word. The model answers "
        f"{bench.accuracy:.1%} of the questions rightly.",
    ]
    if bench.accuracy < _CANNOT:
        lines.append(
            "**This model does not answer the question.** What follows says where letters can be read in its activations, "
            "not that it uses them."
        )
    lines += [_probe_line(bench, site) for site in map(str, bench.sites)]
    if bench.chosen.left_out:
        lines.append("Left out: " + "; ".join(f"{name} ({why})" for name, why in bench.chosen.left_out.items()) + ".")
    if bench.left_out:
        lines.append("SAEs left out: " + "; ".join(f"{name} ({why})" for name, why in bench.left_out.items()) + ".")
    return "\n\n".join(lines)


def _probe_line(bench: FirstLetterBench, site: str) -> str:
    rows = [row for row in probe_rows(bench) if row["site"] == site]
    f1 = over_letters([row["f1"] for row in rows])
    n = sum(row["counts"] for row in rows)
    least, told = bench.config.least_probe_f1, "no value" if f1 is None else f"{f1}"
    line = (
        f"Probe on the activations of {site}: F1 {told}, mean over {len(rows)} letters with its 95 % interval; expected "
        f"calibration error in {N_BINS} bins {sum(row['ece'] for row in rows) / len(rows):.3f}. {n} letters have an F1 above "
        f"{least:g} and count in the means."
    )
    return line if n else line + " **No letter can be read there well enough, so nothing can be said of latents.**"
