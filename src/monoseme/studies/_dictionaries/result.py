"""From compared dictionaries to the study's tables, metrics, text and figures."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch

from monoseme.evaluation import (
    Definition,
    EvalResult,
    LatentCounts,
    Metric,
    Nearest,
    Spread,
    density_table,
    largest_cosines,
    largest_cosines_as_mlsae,
    mmcs,
    spread,
)
from monoseme.reports.figures import Figure, density_histogram
from monoseme.studies._base import Row
from monoseme.studies._dictionaries.curves import children_bars, growth_dots, mmcs_dots, pair_curves, seed_curves
from monoseme.studies._dictionaries.families import Family, seed_families, width_families
from monoseme.studies._dictionaries.figures import best_cosines, criteria_map, density_map
from monoseme.studies._dictionaries.intervals import Resampling
from monoseme.studies._dictionaries.members import Dictionary
from monoseme.studies._dictionaries.pairs import COSINE, Pair, match_rows, pair_row, share_rows
from monoseme.studies._dictionaries.splits import Step, count_rows, new_rows, step_row, steps_of, strongest_rows
from monoseme.studies._dictionaries.two import example_rows, side_by_side, unmatched_rows
from monoseme.studies._dictionaries.universality import Pairs, curve_rows, pair_curve_rows, universality_rows
from monoseme.studies._dictionaries.words import Words

_MLSAE_FROM = 16_384
"""Latents from which MLSAE's code works in chunks."""
_MOST_PANELS = 4
"""Pairs that figures show, and pairs whose latents tables name; the tables of numbers have all."""
_TEXT = """\
{n} dictionaries on {n_tokens:,} tokens of text. Two latents are alike by the *cosine* of their decoder rows, which needs no text,
or by the *correlation* of their codes over the tokens, which needs no common space. Each latent has a *nearest* partner in
another dictionary, which others may share; one to one, *assigned* partners make the sum of similarities largest (Hungarian).
Matched is who has a partner at a threshold (cosines: {cosines}). Latents that do not fire on this text count in MMCS only.

- *mmcs*: mean over latents of the largest cosine, with another latent of the same dictionary or with those of another one.
- *random*, *shuffled*: cosines with as many random directions, and with the partner's own after each coordinate was shuffled over
  its latents. *moved*: correlations with the partner's codes moved by half of the text.
- *same_nearest*: how often both criteria name the same nearest latent. *same_number*: how often the nearest by cosine has the
  same number. SAEs of one seed and width start from the same rows, so latents that stayed near their start match for that alone.
- A latent of a wider SAE is the *child* of the nearest one of a narrower from a cosine of {parent:g} on; below, it is *new*.

Intervals of shares and means are 95 % over resampled latents: they say how far a number would move with other latents of this
kind, not with other seeds. Those over seeds are over pairs of SAEs or over SAEs, and are named so.
"""
_MMCS = Definition(
    name="mmcs",
    definition="Mean over the n latents of the largest cosine of their decoder row with another one of the same dictionary.",
    unit="cosine",
    better="lower",
)
_MMCS_AS_MLSAE = Definition(
    name="mmcs_as_mlsae",
    definition="The same as MLSAE's code has it, which compares each latent only with some of the others and counts none as 0.",
    unit="cosine",
    better="lower",
)
_IN_CHUNKS = f"from {_MLSAE_FROM:,} latents its code works in chunks, and the number depends on their size"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Everything that the report is made from."""

    members: Sequence[Dictionary]
    pairs: Pairs
    fidelity: Mapping[str, EvalResult]
    left_out: Sequence[Row]
    words: Words
    resampling: Resampling
    thresholds: Mapping[str, Sequence[float]]
    parent_cosine: float
    n_shown: int

    @functools.cached_property
    def within(self) -> dict[str, Nearest]:
        """Each dictionary against itself."""
        return {d.name: largest_cosines(d.directions) for d in self.members}

    @functools.cached_property
    def seeds(self) -> list[Family]:
        """Families of seeds of which all pairs were compared."""
        return [family for family in seed_families(self.members) if self._has_all(family)]

    @functools.cached_property
    def steps(self) -> list[Step]:
        """From each width to the next."""
        families = [family for family in width_families(self.members) if self._has_all(family)]
        return [s for family in families for s in steps_of(family, self.pairs, parent_cosine=self.parent_cosine)]

    @property
    def shown(self) -> list[Pair]:
        """The pairs of figures and examples: both directions of two SAEs, else the first ones in one direction."""
        every = list(self.pairs.values())
        return every if len(every) == 2 else every[::2][:_MOST_PANELS]

    @property
    def is_one_against_another(self) -> bool:
        """Whether two SAEs were given."""
        return len(self.members) == 2 and len(self.pairs) == 2

    def _has_all(self, family: Family) -> bool:
        names = [d.name for d in family.members]
        return all((a, b) in self.pairs for a in names for b in names if a != b)


def title_of(compared: Compared) -> str:
    """One against another where two were given."""
    names = [d.name for d in compared.members]
    return f"{names[0]} against {names[1]}" if compared.is_one_against_another else "What dictionaries share"


def tables_of(compared: Compared) -> dict[str, list[Row]]:
    """Name -> rows; empty ones are left out."""
    pairs, words, n = compared.pairs, compared.words, compared.n_shown
    below = {criterion: limits[0] for criterion, limits in compared.thresholds.items()}
    names = [d.name for d in compared.members]
    alone = compared.is_one_against_another
    tables: dict[str, list[Row]] = {
        "side_by_side": side_by_side(names, compared.fidelity, metrics_of(compared)) if alone else [],
        "dictionaries": [_dictionary_row(compared, d) for d in compared.members],
        "pairs": [pair_row(pair, compared.resampling) for pair in pairs.values()],
        "examples": [row for pair in compared.shown[: 1 if alone else None] for row in example_rows(pair, words, n=n)],
        "unmatched": [row for pair in compared.shown for row in unmatched_rows(pair, words, below=below, n=n)],
        "universality": [r for family in compared.seeds for r in universality_rows(family, pairs, compared.thresholds)],
        "splits_by_width": [step_row(step, compared.resampling) for step in compared.steps],
        "splits": [row for step in compared.steps for row in strongest_rows(step, words, n=n)],
        "new_latents": [row for step in compared.steps for row in new_rows(step, words, n=n)],
        "left_out": list(compared.left_out),
        "matched": [row for pair in pairs.values() for row in share_rows(pair, compared.thresholds, compared.resampling)],
        "universality_curve": [row for family in compared.seeds for row in curve_rows(family, pairs)],
        "children_per_parent": [row for step in compared.steps for row in count_rows(step)],
        "latents": [row for pair in pairs.values() for row in match_rows(pair)],
    }
    return {name: rows for name, rows in tables.items() if rows}


def _dictionary_row(compared: Compared, d: Dictionary) -> Row:
    own, theirs = mmcs(compared.within[d.name]), _as_mlsae(d)
    fidelity = compared.fidelity[d.name]
    return {
        "sae": d.name,
        "kind": d.kind,
        "sites": ", ".join(map(str, d.subject.sites)),
        "n_latents": len(d.numbers),
        "n_firing": len(d.firing().numbers),
        "n_tokens": d.codes.n_tokens,
        "fvu": fidelity["fvu"].value,
        "l0": fidelity["l0"].value,
        "mmcs": own.mean,
        "mmcs_var": own.var,
        "mmcs_std": own.std,
        "mmcs_sem": own.sem,
        "mmcs_as_mlsae": theirs.mean,
    }


def metrics_of(compared: Compared) -> dict[str, list[Metric]]:
    """MMCS of each dictionary, and what each ordered pair has in common."""
    own = {
        d.name: [_metric(_MMCS, mmcs(compared.within[d.name])), _metric(_MMCS_AS_MLSAE, _as_mlsae(d), _IN_CHUNKS)]
        for d in compared.members
    }
    return own | {pair.name: _pair_metrics(compared, pair) for pair in compared.pairs.values()}


def _pair_metrics(compared: Compared, pair: Pair) -> list[Metric]:
    between = Definition(
        name="mmcs_between",
        definition=f"Mean over the n latents of {pair.a.name} of the largest cosine with a latent of {pair.b.name}.",
        unit="cosine",
        better="neither",
    )
    made = [_metric(between, mmcs(pair.mmcs))]
    for row in share_rows(pair, compared.thresholds, compared.resampling):
        what = "nearest latent" if row["partner"] == "nearest" else "latent assigned one to one"
        definition = Definition(
            name=f"matched_{row['criterion']}_{row['threshold']:g}_{row['partner']}",
            definition=f"Share of the n latents of {pair.a.name} that fire whose {what} in {pair.b.name} (or by chance: "
            f"{row['partner']}) has a {row['criterion']} of {row['threshold']:g} or more.",
            unit="fraction",
            better="neither",
        )
        p, n = row["share"], row["n"]
        made.append(_metric(definition, Spread(n, p, None, None, (p * (1 - p) / n) ** 0.5 if n else None)))
    return made


def _metric(definition: Definition, found: Spread, why: str = "no latent has another one to be compared with") -> Metric:
    return Metric(
        name=definition.name,
        value=found.mean,
        why_missing=None if found.mean is not None else why,
        unit=definition.unit,
        better=definition.better,
        n=found.n,
        n_documents=0,
        standard_error=found.sem,
        definition=definition.definition,
    )


def _as_mlsae(d: Dictionary) -> Spread:
    if len(d.numbers) >= _MLSAE_FROM:
        return Spread(0, None, None, None, None)
    return spread(largest_cosines_as_mlsae(d.directions).numpy())


def figures_of(compared: Compared, tables: Mapping[str, Sequence[Row]]) -> list[Figure]:
    """Every figure for which there is something to show."""
    shown, own = compared.shown, {name: mmcs(nearest) for name, nearest in compared.within.items()}
    figures = [mmcs_dots(own, tables.get("pairs", ())), density_histogram({d.name: _density(d) for d in compared.members})]
    if shown:
        densities = density_map(shown, least_cosine=compared.thresholds[COSINE][0])
        figures += [best_cosines(shown, compared.within), criteria_map(shown), *([] if densities is None else [densities])]
    if compared.seeds:
        figures.append(seed_curves(tables["universality_curve"]))
    elif shown:
        figures.append(pair_curves([row for pair in shown for row in pair_curve_rows(pair)]))
    if compared.steps:
        figures += [children_bars(tables["children_per_parent"]), growth_dots(tables["splits_by_width"])]
    return figures


def _density(d: Dictionary) -> pa.Table:
    counts = LatentCounts(len(d.numbers), n_replicates=0)
    counts.counts, counts.n_tokens = torch.from_numpy(d.codes.n_fired), d.codes.n_tokens
    return density_table(counts)


def text_of(compared: Compared) -> str:
    """What was compared, on what, and what the words mean."""
    n_tokens = compared.members[0].codes.n_tokens
    cosines = ", ".join(f"{limit:g}" for limit in compared.thresholds[COSINE])
    return _TEXT.format(n=len(compared.members), n_tokens=n_tokens, cosines=cosines, parent=compared.parent_cosine)
