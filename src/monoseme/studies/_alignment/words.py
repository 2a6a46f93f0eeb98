"""What was found, in words: which group has more of what, how much the confounds explained; and explanations from a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monoseme.core.config import load_file
from monoseme.core.errors import ConfigError
from monoseme.reports.plain_tables import markdown_text
from monoseme.studies._alignment.compare import Compared
from monoseme.studies._alignment.designs import Contrast
from monoseme.studies._alignment.texts import Collected
from monoseme.studies._base import Row
from monoseme.studies._explained import Explained

_LONGEST = 160
"""Characters of an explanation in a sentence; the table has all of it."""
_VALUES = {
    "mean": "the mean activation of the tokens that count",
    "share": "the share of the tokens that count on which it fires",
    "max": "its largest activation among the tokens that count",
}
_NAMES = {"length": "log length", "position": "mean position"}


def explanations_in(file: Path, saes: Sequence[str]) -> Explained:
    """Explanations from a JSON, YAML or TOML file: `{latent: text}` for every SAE, or `{sae: {latent: text}}`.

    Raises ConfigError for a file of another form, or one that names other SAEs.
    """
    said = load_file(file)
    if said and all(isinstance(value, Mapping) for value in said.values()):
        if unknown := sorted(set(map(str, said)) - set(saes)):
            raise ConfigError(f"{file} explains {', '.join(unknown)}, but the SAEs are {', '.join(saes)}.")
        return Explained({str(name): _latents(held, file) for name, held in said.items()})
    return Explained(dict.fromkeys(saes, _latents(said, file)))


def _latents(said: Mapping[Any, Any], file: Path) -> dict[int, str]:
    made: dict[int, str] = {}
    for key, text in said.items():
        if not str(key).isdecimal() or not isinstance(text, str | None):
            raise ConfigError(f'{file} has "{key}": {text!r}; each entry must be the number of a latent and a text.')
        if text:
            made[int(key)] = text
    return made


def about(row: Row) -> str | None:
    """What is known of a latent: its explanation, and the tokens on which it fires in the texts shown."""
    said, here = row.get("explanation"), row.get("fires_on")
    if said:
        return f"{said}; here on {here}" if here else str(said)
    return f"fires on {here}" if here else None


def how(
    collected: Collected, found: Sequence[Compared], *, value: str, held_fixed: Sequence[str], level: float, min_units: int
) -> str:
    """What was compared, and how."""
    names = [markdown_text(name) for name in collected.names]
    n_units = found[0].n_units if found else 0
    units = " and ".join(f"{n:,} of {name}" for n, name in zip(collected.n_units, names, strict=True))
    texts = f"{n_units:,} pairs of {' and '.join(names)}" if collected.is_paired else f"Texts of different sources: {units}"
    test = (
        "Wilcoxon's signed ranks"
        if collected.is_paired
        else "the Mann-Whitney test"
        if len(names) == 2
        else ("the Mann-Whitney test of each group against all others (and Kruskal-Wallis for any difference)")
    )
    fixed = " and ".join(markdown_text(name) for name in confound_names(held_fixed))
    left_out = "".join(f" Left out: {n:,} {markdown_text(why)}." for why, n in collected.left_out.items() if n)
    return (
        f"{texts}; {found[0].n_tokens if found else 0:,} tokens count.{left_out} Of each text and latent: {_VALUES[value]}. "
        f"A latent is tested if it fires in {min_units} or more {'pairs' if collected.is_paired else 'sources'}, by {test}, "
        f"{f'with {fixed} held fixed' if fixed else 'with nothing held fixed'}; the false discovery rate is held at {level:g}."
    )


def summary(found: Compared, strong: Sequence[Row], contrasts: Sequence[Contrast], *, level: float) -> str:
    """One subject in a few sentences and two lists. Everything from texts and models in it is escaped."""
    different = found.different(level)
    n = len({row["latent"] for row in different})
    lines = [
        f"**{markdown_text(found.subject)}**: {n:,} of {found.n_tested:,} tested latents differ (q < {level:g}); "
        f"{found.n_rare:,} fire in too few texts, {found.n_silent:,} in none. {_confounded(found, level)}"
    ]
    if not different:
        lines[0] += " The strongest below, by p, may be chance." if strong else ""
    sides = list(dict.fromkeys(row["more_in"] for row in strong))
    for side in sides:
        own = [row for row in strong if row["more_in"] == side]
        told = "\n".join(f"- {_line(row, found.effect_name)}" for row in own)
        against = _against(side, contrasts)
        lines.append(f"{markdown_text(side)} has more than {markdown_text(against)} of:\n\n{told}")
    return "\n\n".join(lines)


def _against(side: str, contrasts: Sequence[Contrast]) -> str:
    for contrast in contrasts:
        if side == contrast.group:
            return contrast.other
    return contrasts[0].group if len(contrasts) == 1 else "the others"


def _line(row: Row, effect_name: str) -> str:
    said = about(row) or "not explained"
    said = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
    q = "" if row["q"] is None else f", q = {row['q']:.2g}"
    fixed = (
        "" if row["confound_share"] is None else f", {row['effect_before'] * _sign(row['effect']):.2f} with nothing held fixed"
    )
    return f"latent {row['latent']} ({effect_name} {abs(row['effect']):.2f}{fixed}{q}): {markdown_text(said)}"


def _sign(value: float) -> float:
    """Of an effect: what is told is how much more there is, so the other effect has a minus where it goes the other way."""
    return -1.0 if value < 0 else 1.0


def _confounded(found: Compared, level: float) -> str:
    """How many discoveries the confounds made or hid."""
    rows = [row for row in found.rows if row["q"] is not None]
    if not any(row["confound_share"] is not None for row in rows):
        return ""
    before = {(r["latent"], r["group"]) for r in rows if r["q_before"] is not None and r["q_before"] < level}
    after = {(r["latent"], r["group"]) for r in rows if r["q"] < level}
    if not before | after:
        return "With nothing held fixed none would differ either."
    return (
        f"With nothing held fixed {len(before):,} would differ; {len(before - after):,} of these no longer do with the confounds "
        f"held fixed, and {len(after - before):,} others only then."
    )


def confound_names(names: Sequence[str]) -> list[str]:
    """As tables and sentences call them: of the tokens that count."""
    return [_NAMES.get(name, name) for name in names]
