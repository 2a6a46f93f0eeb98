"""Figures of the alignment study: effects against how sure they are, the strongest with intervals, subjects side by side."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np

from monoseme.reports.figures import Estimate, Figure, interval_dots
from monoseme.studies._alignment.compare import Compared
from monoseme.studies._alignment.words import about
from monoseme.studies._base import Row

_MOST_PANELS = 6
_ONE, _SEVERAL = (640, 380), (400, 270)
"""Width and height of a panel (pixels)."""
_CHAR, _LINE, _GAP = 7.0, 13.0, 7.0
"""Of a label: width of a character, height, distance from its point (pixels)."""
_LONGEST = 30
_LABEL_CHARS = 64
_LEAST_Q = 1e-300
_NEITHER = "no difference"
_N_COLOURS = 8
_BEFORE, _AFTER = "nothing held fixed", "confounds held fixed"


class Box(NamedTuple):
    """Where a label stands, in pixels from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether they overlap."""
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom


class Label(NamedTuple):
    """A text that was given a place; `is_right`: it begins right of its point, else it ends left of it."""

    text: str
    x: float
    y: float
    is_right: bool
    box: Box


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], *, size: tuple[float, float], taken: Sequence[Box] = ()
) -> list[Label]:
    """Labels beside points (pixels), in their order, each where nothing stands yet; one without room is left out."""
    boxes, made = list(taken), list[Label]()
    for (x, y), text in zip(points, texts, strict=True):
        width = _CHAR * len(text)
        for is_right in (True, False):
            for dy in (0.0, -0.8 * _LINE, 0.8 * _LINE):
                left = x + _GAP if is_right else x - _GAP - width
                box = Box(left, y + dy - _LINE / 2, left + width, y + dy + _LINE / 2)
                inside = box.left >= 0 and box.top >= 0 and box.right <= size[0] and box.bottom <= size[1]
                if inside and not any(box.meets(other) for other in boxes):
                    boxes.append(box)
                    made.append(Label(text, left if is_right else x - _GAP, y + dy, is_right, box))
                    break
            else:
                continue
            break
    return made


def volcano(found: Sequence[Compared], strong: Mapping[str, Sequence[Row]], names: Sequence[str], *, level: float) -> Figure:
    """Effect against -log10 q, a point for each contrast of a tested latent, a panel for each of the first six subjects."""
    shown = [each for each in found if any(row["q"] is not None for row in each.rows)][:_MOST_PANELS]
    size = _ONE if len(shown) == 1 else _SEVERAL
    panels = [
        _volcano_panel(each, strong[each.subject], names, size=size, level=level, is_alone=len(shown) == 1) for each in shown
    ]
    chart = panels[0] if len(panels) == 1 else alt.concat(*panels, columns=2, spacing=30).resolve_scale(color="shared")
    return Figure(
        name="volcano",
        title="How much latents differ between the groups, and how sure that is",
        caption="Each point is a latent: right and left, how much more one group has of it than the other "
        f"({found[0].effect_name}); up, how unlikely that is to be chance. Points above the dashed line are discoveries at a "
        f"false discovery rate of {level:g}. Labelled are the largest effects among these, as far as there is room.",
        chart=chart,
        has_own_size=True,
    )


def _volcano_panel(
    found: Compared, strong: Sequence[Row], names: Sequence[str], *, size: tuple[int, int], level: float, is_alone: bool
) -> alt.LayerChart:
    rows = [row for row in found.rows if row["q"] is not None]
    reach = 1.12 * max((abs(row["effect"]) for row in rows), default=0.0) or 1.0
    top = 1.1 * max([_height(row) for row in rows] + [-math.log10(level)])
    values = [_point(row, level) for row in rows]
    x = alt.X(
        "effect:Q",
        title=f"{found.effect_name}: left {found.rows[0]['other']}, right {found.rows[0]['group']}"
        if len(names) == 2
        else f"{found.effect_name}: the group against all others",
        scale=alt.Scale(domain=[-reach, reach], nice=False),
        axis=alt.Axis(tickCount=5, grid=True),
    )
    y = alt.Y("height:Q", title="−log₁₀ q", scale=alt.Scale(domain=[0, top], nice=False), axis=alt.Axis(tickCount=5))
    tooltip = [alt.Tooltip("latent:Q"), alt.Tooltip("more_in:N", title="more in"), alt.Tooltip("effect:Q", format=".3f"),
               alt.Tooltip("q:Q", format=".2g"), alt.Tooltip("about:N")]  # fmt: skip
    base = alt.Chart(alt.Data(values=values)).encode(x=x, y=y, color=_colour(names), tooltip=tooltip)
    dots = base.mark_circle(size=34).encode(
        opacity=alt.condition(f"datum.q < {level:g}", alt.value(0.85), alt.value(0.35)),
    )
    line = alt.Chart(alt.Data(values=[{"height": -math.log10(level)}])).mark_rule(strokeDash=[4, 3]).encode(y="height:Q")
    labels = _labels(rows, strong, (reach, top), size, level=level, is_alone=is_alone)
    layers = [line, dots, *labels]
    chart: Any = alt.layer(*layers).properties(width=size[0], height=size[1])  # altair's stubs: perhaps a facet
    return chart if is_alone else chart.properties(title=found.subject)


def _labels(
    rows: Sequence[Row],
    strong: Sequence[Row],
    reach: tuple[float, float],
    size: tuple[int, int],
    *,
    level: float,
    is_alone: bool,
) -> list[alt.Chart]:
    """Text marks at places in the panel where they cover neither each other nor a discovery."""

    def pixels(row: Row) -> tuple[float, float]:
        return (row["effect"] / reach[0] + 1) / 2 * size[0], (1 - _height(row) / reach[1]) * size[1]

    named = sorted((row for row in strong if row["q"] is not None and row["q"] < level), key=lambda row: -_height(row))
    texts = [_short(row) if is_alone else str(row["latent"]) for row in named]
    taken = [Box(x - 3, y - 3, x + 3, y + 3) for x, y in (pixels(row) for row in rows if row["q"] < level)]
    placed = place_labels([pixels(row) for row in named], texts, size=size, taken=taken)
    made: list[alt.Chart] = []
    for is_right in (True, False):
        values = [{"x": p.x, "y": p.y, "text": p.text} for p in placed if p.is_right == is_right]
        if values:
            mark = alt.Chart(alt.Data(values=values)).mark_text(
                align="left" if is_right else "right", baseline="middle", fontSize=11
            )
            made.append(
                mark.encode(
                    x=alt.X("x:Q", scale=None, axis=None),
                    y=alt.Y("y:Q", scale=None, axis=None),
                    text="text:N",
                )
            )
    return made


def _short(row: Row) -> str:
    said = row.get("fires_on") or row.get("explanation")
    text = f"{row['latent']}" if not said else f"{row['latent']} {said}"
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _point(row: Row, level: float) -> dict[str, Any]:
    side = row["more_in"] if row["q"] < level else _NEITHER
    side = side if side != "the others" else _NEITHER
    return {
        "latent": row["latent"],
        "effect": row["effect"],
        "height": _height(row),
        "q": row["q"],
        "side": side,
        "more_in": row["more_in"],
        "about": about(row) or "",
    }


def _height(row: Row) -> float:
    return -math.log10(max(row["q"], _LEAST_Q))


def _colour(names: Sequence[str]) -> alt.Color:
    """A colour of the theme for each group; its last one, which is grey, for what does not differ."""
    own = list(names[: _N_COLOURS - 1])
    spare = [f" {i}" for i in range(_N_COLOURS - 1 - len(own))]
    domain = [*own, *spare, _NEITHER]
    return alt.Color("side:N", scale=alt.Scale(domain=domain), sort=domain, legend=alt.Legend(values=[*own, _NEITHER]))


def strongest_dots(found: Compared, strong: Sequence[Row], i: int) -> Figure:
    """The strongest latents of one subject with intervals and what is known of them, before and after the correction."""
    corrected = any(row["confound_share"] is not None for row in strong)
    estimates: list[Estimate] = []
    for row in strong:
        label = _row_label(row)
        panel = f"{found.effect_name}, above 0: more in {row['group']} than in {row['other']}"
        group = _AFTER if corrected else ""
        estimates.append(Estimate(label, row["effect"], row["effect_low"], row["effect_high"], panel=panel, group=group))
        if corrected:
            estimates.append(Estimate(label, row["effect_before"], panel=panel, group=_BEFORE))
    caption = (
        f"Latents by the group that has more of them, the largest effect first: {found.effect_name} with its 95 % interval, and "
        "what is known of the latent."
    )
    more = (
        " The second mark is the effect with nothing held fixed: where the two differ, the confounds did it." if corrected else ""
    )
    return interval_dots(
        f"strongest_{i}",
        estimates,
        title=f"The latents that differ most: {found.subject}",
        caption=caption + more,
        reference=0.0,
        columns=1,
    )


def _row_label(row: Row) -> str:
    """The latent, two tokens on which it fires, and as much of its explanation as the figure has room for."""
    tokens = ", ".join(str(row.get("fires_on") or "").split(", ")[:2])
    said = str(row.get("explanation") or "").removeprefix("fires on ")
    text = f"{row['latent']} {tokens}".rstrip() + (f": {said}" if said else "")
    return text if len(text) <= _LABEL_CHARS else text[: _LABEL_CHARS - 1] + "…"


def subjects_compared(found: Sequence[Compared], *, level: float) -> Figure:
    """How many latents of each subject differ, and how much these do."""
    estimates: list[Estimate] = []
    for each in found:
        if each.n_tested:
            share = "share of tested latents that differ"
            rows = [row for row in each.rows if row["q"] is not None]
            before = {row["latent"] for row in rows if row["q_before"] is not None and row["q_before"] < level}
            after = {row["latent"] for row in each.different(level)}
            estimates.append(Estimate(each.subject, len(after) / each.n_tested, panel=share, group=_AFTER))
            estimates.append(Estimate(each.subject, len(before) / each.n_tested, panel=share, group=_BEFORE))
    for each in found:
        sizes = [abs(row["effect"]) for row in each.different(level)]
        if sizes:
            low, middle, high = (float(q) for q in np.quantile(sizes, [0.25, 0.5, 0.75]))
            size = f"|{each.effect_name}| of those that differ"
            estimates.append(Estimate(each.subject, middle, low, high, panel=size, group=_AFTER))
    return interval_dots(
        "subjects",
        estimates,
        title="How many latents differ, and how much",
        caption=f"Left: the share of the tested latents that are discoveries at a false discovery rate of {level:g}. Right: the "
        "size of these effects, the middle one with the range of the middle half.",
    )
