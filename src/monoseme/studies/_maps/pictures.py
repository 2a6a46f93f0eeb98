"""Which pictures the study draws, from what was mapped."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from monoseme.reports.figures import Figure
from monoseme.studies._base import Row
from monoseme.studies._explained import Explained
from monoseme.studies._maps.decoder import Directions
from monoseme.studies._maps.figures import Panel, class_map, quality, shaded_map
from monoseme.studies._maps.layout import NAMES, Method
from monoseme.studies._maps.mapped import CODES, DIRECTIONS, TAGGED, Mapped
from monoseme.studies._maps.tokens import MapTokens

_READ = "Points that lie close have codes that point the same way; distances between groups and sizes of groups mean nothing. "
_CHANCE = "Above each map: purity of neighbours in the codes, on the map, and with labels shuffled."
_EXPLANATION_CHARACTERS = 90


def quality_figure(rows: Sequence[Row]) -> list[Figure]:
    """The measures as dots; no figure where nothing was measured."""
    shown = [row for row in rows if row["space"] != DIRECTIONS and row["value"] is not None]
    shown = [row for row in shown if row["label"] != "part"]
    return [quality(shown, {CODES: "codes", **NAMES})] if shown else []


def code_figures(mapped: Sequence[Mapped], samples: Mapping[str, MapTokens], *, n_drawn: int) -> Iterator[Figure]:
    """A figure for each label and map, with a panel for each subject."""
    for sample, labels in ((CODES, ("class", "document", "tag")), (TAGGED, ("tag",))):
        held = [each for each in mapped if each.sample == sample and each.points]
        for label in labels:
            if held and label in samples[sample].labels:
                yield from _code_figures(held, samples[sample], label, n_drawn=n_drawn)


def _code_figures(held: Sequence[Mapped], tokens: MapTokens, label: str, *, n_drawn: int) -> Iterator[Figure]:
    facts = _facts(tokens, {int(row) for each in held for row in each.kept[:n_drawn]})
    for method in held[0].points:
        panels = [
            Panel(_title(each, label, method), each.points[method][:n_drawn], each.kept[:n_drawn])
            for each in held
            if method in each.points
        ]
        yield class_map(
            f"{method}_{label}",
            panels,
            tokens.labels[label],
            facts,
            title=f"{NAMES[method]} of codes, by {label}",
            caption=_READ + _CHANCE,
        )


def _facts(tokens: MapTokens, rows: set[int]) -> list[Row]:
    """What tooltips show of each drawn token."""
    names = {name: name for name in ("class", "document", "tag") if name in tokens.labels}
    return [
        {"row": i, "text": tokens.around[i]} | {key: tokens.labels[name][i] for key, name in names.items()} for i in sorted(rows)
    ]


def _title(each: Mapped, label: str, method: Method) -> str:
    rows = {m.space: m.row() for m in each.measures if m.label == label and m.measure == "purity"}
    space = DIRECTIONS if each.sample == DIRECTIONS else CODES
    if space not in rows or rows[space]["value"] is None:
        return each.subject
    here, there = rows[space], rows[method]
    words = "decoder" if space == DIRECTIONS else "codes"
    return f"{each.subject}\npurity: {here['value']:.2f} in {words}, {there['value']:.2f} here, {here['shuffled']:.2f} shuffled"


def direction_figures(
    drawn: Sequence[Mapped], found: Mapping[str, Directions], said: Explained, *, n_drawn: int
) -> Iterator[Figure]:
    """Decoder directions by part, by density, and by mean layer where there is one."""
    held = [each for each in drawn if each.points]
    if not held:
        return
    firsts = dict(zip((each.subject for each in held), np.cumsum([0, *(len(each.kept) for each in held)]), strict=False))
    every = [found[each.subject] for each in held]
    facts = [
        row
        for each, directions in zip(held, every, strict=True)
        for row in _latents(each.subject, directions, int(firsts[each.subject]), said)
    ]
    groups = [group for directions in every for group in directions.group or [None] * len(directions.latent)]
    densities = [float(value) for directions in every for value in directions.density]
    layers = [None if d.layer is None else float(d.layer[i]) for d in every for i in range(len(d.latent))]
    for method in held[0].points:
        panels = [_direction_panel(each, method, int(firsts[each.subject]), n_drawn) for each in held]
        name = f"directions_{method}"
        title = f"{NAMES[method]} of decoder directions"
        grouped = [p for p, d in zip(panels, every, strict=True) if d.group is not None]
        if grouped:
            yield class_map(
                f"{name}_part", grouped, groups, facts, title=f"{title}, by part of the code", caption=_READ + _CHANCE
            )
        plain = [panel._replace(title=panel.title.split("\n")[0]) for panel in panels]
        yield shaded_map(
            f"{name}_density",
            plain,
            densities,
            facts,
            title=f"{title}, by density",
            caption="Density: share of tokens on which a latent fires. Latents that never fired are left out.",
            measure="density (log)",
            is_log=True,
        )
        placed = [p for p, d in zip(plain, every, strict=True) if d.layer is not None]
        if placed:
            caption = "Mean site of each latent, weighted by its activation, counted from 0."
            yield shaded_map(
                f"{name}_layer", placed, layers, facts, title=f"{title}, by mean layer", caption=caption, measure="layer"
            )


def _direction_panel(each: Mapped, method: Method, first: int, n_drawn: int) -> Panel:
    chosen = np.linspace(0, len(each.kept) - 1, min(n_drawn, len(each.kept))).astype(np.int64)
    return Panel(_title(each, "part", method), each.points[method][chosen], first + chosen)


def _latents(sae: str, directions: Directions, first: int, said: Explained) -> Iterator[Row]:
    for i, latent in enumerate(directions.latent):
        row: Row = {"row": first + i, "latent": f"{sae} {latent}", "density": f"{directions.density[i]:.3g}"}
        row["part"] = directions.group[i] if directions.group is not None else ""
        row["explanation"] = (said.of(sae, int(latent)) or "")[:_EXPLANATION_CHARACTERS]
        yield row
