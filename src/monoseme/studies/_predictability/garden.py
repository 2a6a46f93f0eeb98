"""What an SAE makes of the word that ends a garden path, against the same word in a sentence that does not mislead.

Both sentences of a pair have as many words, and the same ones from the marked one on, so that the difference is not one of the
word or its place. What is left is the misreading, and whatever else the one exchanged word does: so the token before the marked
word is compared too, where both sentences still read the same (`before`). Whether the model misreads is told by its surprisal.

Letters: T tokens of a sentence, D width.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from monoseme.studies._base import Row
from monoseme.studies._intervals import Interval, of_sample
from monoseme.studies._predictability.reads import Reading, TwoParts
from monoseme.studies._predictability.texts import GardenPair, Marked

MEASURES = {
    "novel_share": "Σ ‖n‖² / Σ (‖p‖² + ‖n‖²): the novel part's share of the energies of both.",
    "novel_energy": "Σ ‖n‖² / Σ ‖x − b‖²: the energy of the novel part.",
    "left_by_predicted": "Σ ‖x − b − p‖² / Σ ‖x − b‖²: what the predicted part alone leaves unexplained.",
    "error": "Σ ‖x − b − p − n‖² / Σ ‖x − b‖²: what both leave unexplained.",
    "surprisal": "−log p of the word given what comes before it (nats).",
}
"""Measure -> what it is, summed over the tokens of the word."""
WHERE = ("word", "before")


class PairRead(NamedTuple):
    """Both sentences of a pair, read."""

    pair: GardenPair
    garden_path: Reading
    control: Reading


def pair_rows(found: PairRead) -> list[Row]:
    """One row per SAE with both parts, place and measure: the values of both sentences; the model's surprisal has no SAE."""
    rows: list[Row] = []
    for where in WHERE:
        sides = [
            _at(reading, marked, where)
            for reading, marked in ((found.garden_path, found.pair.garden_path), (found.control, found.pair.control))
        ]
        if all(sides):
            rows += _compared(found, where, sides)
    return rows


def _compared(found: PairRead, where: str, sides: Sequence[list[int]]) -> list[Row]:
    readings = (found.garden_path, found.control)
    told: Row = {"pair": found.pair.name, "kind": found.pair.kind, "where": where}
    surprisals = [float(reading.surprisal[tokens].sum()) for reading, tokens in zip(readings, sides, strict=True)]
    rows = [told | {"sae": None, "measure": "surprisal"} | _difference(*surprisals)]
    for sae in found.garden_path.parts:
        values = [shares_at(reading.parts[sae], tokens) for reading, tokens in zip(readings, sides, strict=True)]
        rows += [told | {"sae": sae, "measure": name} | _difference(*(each[name] for each in values)) for name in values[0]]
    return rows


def _at(reading: Reading, marked: Marked, where: str) -> list[int]:
    """The tokens of the marked word, or the one before it; none where the attention-sink filter left them out."""
    tokens = reading.rows_of(marked.word)
    return tokens if where == "word" else [tokens[0] - 1] if tokens and tokens[0] else []


def shares_at(parts: TwoParts, tokens: Sequence[int]) -> Mapping[str, float]:
    """The measures of some tokens that are about an SAE."""
    c, p, n = (part[list(tokens)] for part in parts)
    cc, pp, nn = (float((part**2).sum()) for part in (c, p, n))
    return {
        "novel_share": nn / (pp + nn) if pp + nn else np.nan,
        "novel_energy": nn / cc if cc else np.nan,
        "left_by_predicted": float(((c - p) ** 2).sum()) / cc if cc else np.nan,
        "error": float(((c - p - n) ** 2).sum()) / cc if cc else np.nan,
    }


def _difference(garden_path: float, control: float) -> Row:
    return {"garden_path": garden_path, "control": control, "difference": garden_path - control}


class Effect(NamedTuple):
    """The paired difference of a measure, garden path less control."""

    sae: str | None
    where: str
    measure: str
    kind: str
    """"all", or the kind of garden path."""
    difference: Interval
    standard_error: float | None
    """Of the difference; None for one pair."""
    garden_path: float
    """Mean over pairs."""
    control: float
    share_higher: float
    """Of the pairs, those in which the garden path has more."""
    n_pairs: int


def effects(rows: Sequence[Row]) -> list[Effect]:
    """Means over pairs with Student's t interval, of all and of each kind; pairs without a number are left out."""
    made: list[Effect] = []
    for sae, where, measure in dict.fromkeys((row["sae"], row["where"], row["measure"]) for row in rows):
        held = [row for row in rows if (row["sae"], row["where"], row["measure"]) == (sae, where, measure)]
        held = [row for row in held if np.isfinite(row["difference"])]
        kinds = dict.fromkeys(row["kind"] for row in held)
        for kind in ("all", *(kinds if len(kinds) > 1 else ())):
            if of_kind := [row for row in held if kind in ("all", row["kind"])]:
                made.append(_effect(sae, where, measure, kind, of_kind))
    return made


def _effect(sae: str | None, where: str, measure: str, kind: str, rows: Sequence[Row]) -> Effect:
    differences, garden, control = (np.array([row[name] for row in rows]) for name in ("difference", "garden_path", "control"))
    return Effect(
        sae=sae,
        where=where,
        measure=measure,
        kind=kind,
        difference=of_sample(differences),
        standard_error=float(differences.std(ddof=1)) / len(rows) ** 0.5 if len(rows) > 1 else None,
        garden_path=float(garden.mean()),
        control=float(control.mean()),
        share_higher=float((differences > 0).mean()),
        n_pairs=len(rows),
    )
