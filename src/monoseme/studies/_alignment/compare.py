"""Every latent of one subject compared between groups: which are tested, what is found, how many discoveries there are."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.core.errors import ConfigError
from monoseme.evaluation import Metric
from monoseme.evaluation._csr import Csr
from monoseme.studies._alignment.designs import Contrast, Design, Groups, Outcome, Pairs
from monoseme.studies._alignment.groups import GroupsConfig
from monoseme.studies._alignment.sums import Sums, Value
from monoseme.studies._alignment.texts import LEAST_UNITS, Collected
from monoseme.studies._base import Row
from monoseme.studies._intervals import q_values

_NUMBERS_PER_BLOCK = 1 << 22
"""Of a dense block [U, J]: 32 MB in float64, of which a test holds a handful."""


class Compared(NamedTuple):
    """What was found of one subject."""

    subject: str
    rows: list[Row]
    """A row for each contrast of each latent that fires, in the order of latents."""
    n_latents: int
    n_tested: int
    n_tokens: int
    n_units: int
    effect_name: str

    @property
    def n_rare(self) -> int:
        """Latents that fire, but in too few units to be tested (count)."""
        return len({row["latent"] for row in self.rows if not row["tested"]})

    @property
    def n_silent(self) -> int:
        """Latents that fire in no text (count)."""
        return self.n_latents - self.n_tested - self.n_rare

    def different(self, level: float) -> list[Row]:
        """The rows that are discoveries at this false discovery rate."""
        return [row for row in self.rows if row["q"] is not None and row["q"] < level]


class Usable(NamedTuple):
    """The texts of which tokens reached the SAEs."""

    design: Design
    kept: NDArray[np.int64]
    """Indices of the texts that the design is made of."""


def design_of(config: GroupsConfig, collected: Collected, sums: Sums, value: Value) -> Usable:
    """What is compared with what, without the texts (for pairs: the pairs) of which no token reached the SAEs.

    Raises ConfigError where too few are left.
    """
    empty = {(0 if collected.is_paired else t.group, t.unit) for t, n in zip(collected.texts, sums.length, strict=True) if not n}
    own = [
        i for i, text in enumerate(collected.texts) if sums.length[i] and (not collected.is_paired or (0, text.unit) not in empty)
    ]
    kept = np.array(own, dtype=np.int64)
    texts = [collected.texts[i] for i in kept]
    for g, name in enumerate(collected.names):
        if len({text.unit for text in texts if text.group == g}) < LEAST_UNITS:
            raise ConfigError(f"{name} has fewer than {LEAST_UNITS} texts with tokens that the SAEs see.\n  Give more text.")
    columns = {"length": np.log(sums.length[kept]), "position": sums.position[kept]}
    columns |= {name: np.array([text.numbers[c] for text in texts]) for c, name in enumerate(config.own_confounds)}
    covariates = np.array([columns[name] for name in config.held_fixed]).reshape(-1, len(texts)).T
    if collected.is_paired:
        return Usable(Pairs(texts, collected.names, covariates), kept)
    weights = sums.length[kept]
    return Usable(Groups(texts, collected.names, covariates, weights=weights, is_max=value == "max"), kept)


def compare(subject: str, design: Design, codes: Csr, *, min_units: int, n_tokens: int) -> Compared:
    """Tests each latent of codes [n, F] that fires in at least `min_units` units; q-values are over all tests of the subject."""
    n_active = design.n_active(codes)
    tested = np.flatnonzero(n_active >= min_units)
    size = max(1, _NUMBERS_PER_BLOCK // design.n_units)
    blocks = [tested[first : first + size] for first in range(0, len(tested), size)]
    columns: Csr = codes.tocsc()
    found = [design.outcomes(columns, block) for block in blocks]
    anything = [design.omnibus(columns, block) for block in blocks]
    rows: list[Row] = []
    for c, contrast in enumerate(design.contrasts):
        joined = (
            Outcome(*(np.concatenate(each) for each in zip(*(outcome[c] for outcome in found), strict=True))) if found else None
        )
        rows += _rows(subject, contrast, tested, joined, n_active)
    _add_q(rows, "p", "q")
    _add_q(rows, "p_before", "q_before")
    _add_omnibus(rows, tested, np.concatenate([each.p for each in anything if each is not None] or [np.zeros(0)]))
    rare = np.flatnonzero((n_active > 0) & (n_active < min_units))
    rows += [_untested(subject, contrast, int(j), int(n_active[j])) for contrast in design.contrasts for j in rare]
    rows.sort(key=lambda row: row["latent"])
    return Compared(subject, rows, codes.shape[1], len(tested), n_tokens, design.n_units, design.effect_name)


def _rows(
    subject: str, contrast: Contrast, latents: NDArray[np.int64], found: Outcome | None, n_active: NDArray[np.int64]
) -> list[Row]:
    if found is None:
        return []
    made: list[Row] = []
    for i, latent in enumerate(latents):
        numbers = {name: _number(column[i]) for name, column in zip(Outcome._fields, found, strict=True)}
        more = contrast.group if (numbers["effect"] or 0) > 0 else contrast.other
        made.append(
            _named(subject, contrast, int(latent), int(n_active[latent])) | {"tested": True} | numbers | {"more_in": more}
        )
    return made


def _named(subject: str, contrast: Contrast, latent: int, n_active: int) -> Row:
    return {"subject": subject, "latent": latent, "group": contrast.group, "other": contrast.other, "n_active": n_active}


def _untested(subject: str, contrast: Contrast, latent: int, n_active: int) -> Row:
    nothing = dict.fromkeys([*Outcome._fields, "more_in", "q", "q_before"])
    return _named(subject, contrast, latent, n_active) | {"tested": False} | nothing


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _add_q(rows: Sequence[Row], p: str, q: str) -> None:
    found = q_values([math.nan if row[p] is None else row[p] for row in rows])
    for row, value in zip(rows, found, strict=True):
        row[q] = _number(value)


def _add_omnibus(rows: Sequence[Row], latents: NDArray[np.int64], p: NDArray[np.float64]) -> None:
    """Of more than two groups: `p_any` and `q_any`, whether a latent differs between any of them."""
    if not len(p):
        return
    of_latent = {int(j): (_number(a), _number(b)) for j, a, b in zip(latents, p, q_values(p), strict=True)}
    for row in rows:
        row["p_any"], row["q_any"] = of_latent[row["latent"]]


def strongest(found: Compared, *, level: float, n: int) -> list[Row]:
    """The n largest effects of each direction of each contrast: of the discoveries, or where there is none, by p, of all tests.

    Of more than two groups only what a group has more of: less is more in the others.
    """
    discoveries = found.different(level)
    rows = discoveries or [row for row in found.rows if row["p"] is not None]
    contrasts = list(dict.fromkeys((row["group"], row["other"]) for row in rows))
    sides = contrasts if len(contrasts) > 1 else [side for group, other in contrasts for side in ((group, other), (other, group))]
    made: list[Row] = []
    for more, less in sides:
        own = [row for row in rows if row["more_in"] == more and {more, less} == {row["group"], row["other"]}]
        made += sorted(own, key=lambda row: (-abs(row["effect"]) if discoveries else row["p"], row["latent"]))[:n]
    return made


def metrics_of(found: Compared, *, level: float) -> list[Metric]:
    """The subject's numbers, typed."""
    after = {row["latent"]: row for row in found.different(level)}
    before = {row["latent"] for row in found.rows if row["q_before"] is not None and row["q_before"] < level}
    sizes = sorted(abs(row["effect"]) for row in after.values())
    shares = [row["confound_share"] for row in found.rows if row["confound_share"] is not None]
    said = f"at a false discovery rate of {level:g} (Benjamini-Hochberg)"
    effect = f"|{found.effect_name}|"

    def metric(name: str, value: float | None, unit: str, definition: str, why: str = "no latent was tested") -> Metric:
        return Metric(
            name=name,
            value=None if value is None else float(value),
            why_missing=why if value is None else None,
            unit=unit,
            better="neither",
            n=found.n_tokens,
            n_documents=found.n_units,
            definition=definition,
        )

    tested = found.n_tested
    none = f"no latent differs {said}"
    return [
        metric("n_tested", tested, "latents", "Latents that fire in enough texts to be tested, whatever the group."),
        metric("n_rare", found.n_rare, "latents", "Latents that fire in too few texts to be tested."),
        metric("n_different", len(after), "latents", f"Latents that differ {said}, with the confounds held fixed."),
        metric(
            "different_fraction",
            len(after) / tested if tested else None,
            "fraction",
            f"Share of those tested that differ {said}.",
        ),
        metric("n_different_before", len(before), "latents", f"Latents that differ {said} with nothing held fixed."),
        metric("n_explained_away", len(before - set(after)), "latents", "Latents that differ only while nothing is held fixed."),
        metric("n_revealed", len(set(after) - before), "latents", "Latents that differ only once the confounds are held fixed."),
        metric(
            "median_effect", float(np.median(sizes)) if sizes else None, effect, "Median size of the effects that differ.", none
        ),
        metric("largest_effect", sizes[-1] if sizes else None, effect, "Largest size of the effects that differ.", none),
        metric(
            "median_confound_share",
            float(np.median(shares)) if shares else None,
            "fraction",
            "Median over tested latents of the share of the ranks' squares that the confounds explain.",
            "nothing is held fixed, or no latent was tested",
        ),
    ]
