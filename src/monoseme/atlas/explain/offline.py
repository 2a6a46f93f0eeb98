"""Offline: the tokens, words and contexts that most predict a latent's firing, found by counting; no language model.

Source: our own; related to the single-token and n-gram explanations of Foote et al. 2023 (arXiv:2305.19911).
Letters: P firings of one latent, M background tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.evidence import Evidence, Places
from monoseme.atlas.explain._base import Explainer
from monoseme.atlas.explain._features import COLUMNS, FAMILIES, NONE, SignReader
from monoseme.atlas.explain._rules import BackgroundIndex, Sign, choose_signs
from monoseme.atlas.explain._sentence import sentence
from monoseme.atlas.said import Condition, Explanation, Rule
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk

_HABIT_FAMILIES = ("previous", "source", "shape", "place")
_HABIT_SHARE = 0.6
_HABIT_LIFT = 3.0
_FOLLOWS_FROM = {"shape": ("token", "word", "pair", "triple"), "previous": ("pair", "triple", "place")}
"""Families of signs from which a habit can follow, whatever the text."""
_HABIT_NEWS = 0.1
"""Share of a habit's firings below which what does not follow from other signs is not worth a word."""


class Offline(Explainer):
    """Explains from counts over the atlas's own samples."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Explainer.Config):
        """How many signs, and from how little."""

        most_rules: int = 12
        """Signs named per latent at most (count)."""
        fewest_firings: int = 4
        """Latents with fewer sampled firings in the explaining documents stay unexplained (count)."""

        def __post_init__(self) -> None:
            if self.most_rules < 1 or self.fewest_firings < 2:
                raise ConfigError("most_rules must be at least 1 and fewest_firings at least 2.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    def explain(self, evidence: Evidence, latents: Sequence[int]) -> Iterator[Explanation]:
        """Explanations in the order asked for, from the documents that are not held out."""
        reader = SignReader(evidence.text)
        index = BackgroundIndex(reader.codes(evidence.background(heldout=False)))
        reasons = evidence.latents.column("why_missing")
        for latent in latents:
            evidence.latents.check_latent(latent)
            places = evidence.firings(latent, heldout=False)
            n_firings = len(places.document)
            if n_firings < self.config.fewest_firings:
                why = reasons[latent] or f"too few sampled firings to explain it from: {n_firings}"
                yield Explanation(latent=latent, text=None, why_missing=why, n_firings=n_firings)
                continue
            yield self._explain(evidence, latent, places=places, reader=reader, index=index)

    def _explain(
        self, evidence: Evidence, latent: int, *, places: Places, reader: SignReader, index: BackgroundIndex
    ) -> Explanation:
        codes = reader.codes(places)
        fires = evidence.fires_in_background(latent, heldout=False)
        n_others = index.n_rows - len(fires)
        density = float(evidence.densities[latent])
        signs = choose_signs(codes, index, fires, most=self.config.most_rules)
        habits = _new_habits(codes, index, signs) if signs else []
        rules = tuple(_rule(sign, reader, density=density, n_others=n_others) for sign in signs)
        told = tuple(_rule(sign, reader, density=density, n_others=n_others) for sign in habits)
        text = sentence(rules, told, begun=_begun(signs, codes, reader.goes_on(places)))
        return Explanation(latent=latent, text=text, rules=rules, habits=told, n_firings=len(codes), n_background=n_others)


def _begun(signs: Sequence[Sign], codes: NDArray[np.int64], goes_on: NDArray[np.bool_]) -> frozenset[int]:
    """Codes of the words that go on after most of the firings on them."""
    words = [sign.code for sign in signs if sign.family == "word"]
    return frozenset(code for code in words if goes_on[_has(codes, "word", code)].mean() > 0.5)


def _new_habits(codes: NDArray[np.int64], index: BackgroundIndex, signs: Sequence[Sign]) -> list[Sign]:
    """Habits that neither the signs nor the habits before them imply."""
    named = {sign.family for sign in signs}
    told: list[Sign] = []
    for habit in _habits(codes, index):
        if habit.family not in named and not _follows(habit, [*signs, *told], codes, index):
            told.append(habit)
    return told


def _follows(habit: Sign, known: Sequence[Sign], codes: NDArray[np.int64], index: BackgroundIndex) -> bool:
    """Whether almost all firings of a habit have a known sign that is never seen without it."""
    has_habit = _has(codes, habit.family, habit.code)
    rows = index.rows(habit.family, habit.code)
    covered = np.zeros(len(codes), dtype=bool)
    for sign in known:
        has_sign = _has(codes, sign.family, sign.code)
        can = sign.family in _FOLLOWS_FROM.get(habit.family, ())
        if can and has_habit[has_sign].all() and np.isin(index.rows(sign.family, sign.code), rows).all():
            covered |= has_sign
    return covered.mean() >= (1 - _HABIT_NEWS) * has_habit.mean()


def _has(codes: NDArray[np.int64], family: str, code: int) -> NDArray[np.bool_]:
    return (codes[:, COLUMNS[family]] == code).any(axis=1)


def _habits(codes: NDArray[np.int64], index: BackgroundIndex) -> list[Sign]:
    """Signs that most firings share and other tokens mostly lack."""
    found: list[Sign] = []
    for family in FAMILIES:
        if family.name not in _HABIT_FAMILIES:
            continue
        distinct, counts = np.unique(codes[:, family.columns], return_counts=True)
        code, share = int(distinct[counts.argmax()]), float(counts.max() / len(codes))
        usual = len(index.rows(family.name, code)) / max(1, index.n_rows)
        if code != NONE and share >= _HABIT_SHARE and share >= _HABIT_LIFT * usual:
            found.append(Sign(family.name, code, share, 0.0, usual))
    return found


def _rule(sign: Sign, reader: SignReader, *, density: float, n_others: int) -> Rule:
    condition = Condition(family=sign.family, code=sign.code, text=reader.describe(sign.family, sign.code))
    false_rate = (sign.false_rate * n_others + 0.5) / (n_others + 1)
    hits = density * sign.recall
    return Rule(
        condition=condition,
        recall=sign.recall,
        adds=sign.adds,
        false_rate=sign.false_rate,
        precision=hits / (hits + (1 - density) * false_rate),
    )
