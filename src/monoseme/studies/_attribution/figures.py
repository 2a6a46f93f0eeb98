"""The figures of the study `attribution`: the graph drawn, and estimates against ablation."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from monoseme.attribution.graph import AttributionGraph, Pruned
from monoseme.reports.figures import Figure
from monoseme.studies._attribution.estimates import ESTIMATES, Effects
from monoseme.studies._attribution.layout import Layout, lay_out_nodes
from monoseme.studies._attribution.tables import About
from monoseme.studies._base import Row

_KINDS = ("latent", "error", "token", "logit")
_SHAPES = ("circle", "diamond", "square", "triangle-up")
_SIGNS = ("raises", "lowers")
_MOST_EDGES = 500
_MARGIN = 110
"""Left of the graph, for the names of its rows."""
_ESTIMATE_TITLES = {"graph": "Edges of the graph", "gradient": "Gradient × activation", "integrated": "Integrated gradients"}


def graph_figure(pruned: Pruned, ids: Sequence[str], about: Sequence[About], *, most_nodes: int) -> Figure:
    """The graph: tokens below, logits above. `about` says in words what each node is, `ids` names it."""
    graph, drawn = pruned.graph, _drawn(pruned, most_nodes)
    nodes = [graph.nodes[i] for i in drawn]
    influence = [float(pruned.influence[i]) for i in drawn]
    labels = [_label(text) for text in graph.token_texts]
    layout = lay_out_nodes(nodes, influence, labels, _rows(graph))
    points = [
        {
            "id": ids[i],
            "kind": node.kind,
            "x": spot.x,
            "y": spot.y,
            "influence": value if node.kind != "logit" else node.probability,
            **about[i]._asdict(),
        }
        for i, node, spot, value in zip(drawn, nodes, layout.spots, influence, strict=True)
    ]
    edges, n_edges = _edges(graph, drawn, ids, layout)
    left_out = len(graph.nodes) - len(drawn)
    caption = (
        "Each mark is a node of the pruned graph: tokens at the bottom, then the SAEs by depth, then the likeliest next "
        "tokens. Its size is its influence on these (for them, their probability). A line is the effect of the lower end on the "
        "upper one, stronger where it is a larger share of what reaches that node. Point at a node to see what it is, and its "
        "lines alone."
    )
    lines = n_edges - len(edges)
    told = [f"{left_out} nodes of the least influence"] * (left_out > 0) + [f"the {lines} weakest lines"] * (lines > 0)
    if told:
        caption += f" Left out here, not in the tables: {' and '.join(told)}."
    return Figure(
        name="graph",
        title="The attribution graph of the prompt",
        caption=caption,
        chart=_chart(points, edges, layout, labels, graph),
        has_own_size=True,
    )


def estimates_figure(effects: Effects) -> Figure:
    """Ablation over estimate, a panel for each estimate."""
    saes = list(dict.fromkeys(name for name, _, _ in effects.keys))
    every = [number for found in effects.by.values() for number in found.values()]
    ends = (min(0.0, *every), max(0.0, *every))
    color = alt.Color("sae:N", scale=alt.Scale(domain=saes), legend=alt.Legend(labelLimit=240) if len(saes) > 1 else None)
    panels = [_panel(effects, name, color, ends) for name in ESTIMATES]
    joined: Any = alt.concat(*panels, columns=3).resolve_scale(color="shared")
    return Figure(
        name="estimates",
        title="Estimated and measured effects of taking a latent away",
        caption="Each point is a latent at a position: the change of the likeliest token's logit (less the mean of all logits) "
        "when the latent is ablated, over what each estimate foretells. On the dashed line, the estimate is right; nearer to the "
        "horizontal through 0 than the line, it says too much.",
        chart=joined,
        has_own_size=True,
    )


def _panel(effects: Effects, name: str, color: alt.Color, ends: tuple[float, float]) -> Any:
    values: list[Row] = [
        {"sae": key[0], "latent": f"{key[2]} at {key[1]}", "estimate": estimate, "ablation": effects.by["ablation"][key]}
        for key, estimate in effects.by[name].items()
    ]
    axis = alt.Axis(tickCount=5, format="~g")
    scale = alt.Scale(domain=list(ends), nice=False, padding=6)
    line = (
        alt.Chart(alt.Data(values=[{"low": ends[0], "high": ends[1]}]))
        .mark_rule(strokeDash=[3, 3])
        .encode(x=alt.X("low:Q", scale=scale), y=alt.Y("low:Q", scale=scale), x2="high:Q", y2="high:Q")
    )
    points = (
        alt.Chart(alt.Data(values=values))
        .mark_circle(size=30, opacity=0.65)
        .encode(
            x=alt.X("estimate:Q", title=_ESTIMATE_TITLES[name], scale=scale, axis=axis),
            y=alt.Y("ablation:Q", title="Ablation (logit)", scale=scale, axis=axis),
            color=color,
            tooltip=[
                alt.Tooltip("sae:N"),
                alt.Tooltip("latent:N"),
                alt.Tooltip("estimate:Q", format=".3g"),
                alt.Tooltip("ablation:Q", format=".3g"),
            ],
        )
    )
    return alt.layer(line, points).properties(width=215, height=215)


def _drawn(pruned: Pruned, most: int) -> list[int]:
    """The most influential nodes, and all tokens and logits, in the graph's order."""
    always = {i for i, node in enumerate(pruned.graph.nodes) if node.kind in ("token", "logit")}
    ranked = [i for i in pruned.influence.argsort(descending=True, stable=True).tolist() if i not in always]
    return sorted(always | set(ranked[: max(0, most - len(always))]))


def _rows(graph: AttributionGraph) -> list[str]:
    """Sites from the bottom up."""
    sites = {node.site: (node.layer, i) for i, node in enumerate(graph.nodes)}
    return sorted(sites, key=lambda site: (sites[site][0], site))


def _edges(graph: AttributionGraph, drawn: list[int], ids: Sequence[str], layout: Layout) -> tuple[list[Row], int]:
    """The edges between drawn nodes, the strongest on top, and how many there were."""
    shares = graph.edges.abs() / graph.edges.abs().sum(1, keepdim=True).clamp(min=1e-30)
    spots = dict(zip(drawn, layout.spots, strict=True))
    pairs = [(t, s) for t, s in graph.edges.nonzero().tolist() if t in spots and s in spots]
    pairs.sort(key=lambda pair: float(shares[pair]))
    rows: list[Row] = [
        {
            "source": ids[s],
            "target": ids[t],
            "x": spots[s].x,
            "y": spots[s].y,
            "x2": spots[t].x,
            "y2": spots[t].y,
            "share": float(shares[t, s]),
            "sign": _SIGNS[int(graph.edges[t, s] < 0)],
        }
        for t, s in pairs[-_MOST_EDGES:]
    ]
    return rows, len(pairs)


def _chart(points: list[Row], edges: list[Row], layout: Layout, labels: Sequence[str], graph: AttributionGraph) -> Any:
    x_scale = alt.Scale(domain=[-_MARGIN, layout.width + 30], nice=False, zero=False)
    y_scale = alt.Scale(domain=[-34, layout.height + 26], nice=False, zero=False)

    def x(name: str) -> alt.X:
        return alt.X(f"{name}:Q", scale=x_scale, axis=None)

    def y(name: str) -> alt.Y:
        return alt.Y(f"{name}:Q", scale=y_scale, axis=None)

    pointed = alt.selection_point(name="pointed", fields=["id"], on="pointerover", clear="pointerout")
    touches = "!isValid(pointed.id) || indexof(pointed.id, datum.source) >= 0 || indexof(pointed.id, datum.target) >= 0"
    colors = alt.Scale(domain=[*_SIGNS, *_KINDS])
    lines = (
        alt.Chart(alt.Data(values=edges))
        .mark_rule(strokeCap="round")
        .encode(
            x=x("x"),
            y=y("y"),
            x2="x2:Q",
            y2="y2:Q",
            color=alt.Color("sign:N", scale=colors, legend=alt.Legend(title=None)),
            strokeWidth=alt.StrokeWidth("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.5, 5]), legend=None),
            opacity=alt.condition(
                touches,
                alt.Opacity("share:Q", scale=alt.Scale(domain=[0, 0.4], range=[0.12, 0.85], clamp=True), legend=None),
                alt.value(0.03),
            ),
        )
    )
    nodes = (
        alt.Chart(alt.Data(values=points))
        .mark_point(filled=True, opacity=1, strokeWidth=0)
        .encode(
            x=x("x"),
            y=y("y"),
            shape=alt.Shape("kind:N", scale=alt.Scale(domain=list(_KINDS), range=list(_SHAPES)), legend=None),
            size=alt.Size("influence:Q", scale=alt.Scale(type="sqrt", range=[26, 230]), legend=None),
            color=alt.Color("kind:N", scale=colors),
            tooltip=[alt.Tooltip(f"{name}:N") for name in About._fields] + [alt.Tooltip("influence:Q", format=".3f")],
        )
        .add_params(pointed)
    )
    layered: Any = alt.layer(lines, nodes, *_words(layout, labels, points, graph, x, y))
    return layered.properties(width=layout.width + _MARGIN + 30, height=layout.height + 60)


def _words(layout: Layout, labels: Sequence[str], points: list[Row], graph: AttributionGraph, x: Any, y: Any) -> list[Any]:
    """Names of the rows, texts of tokens and logits."""
    rows = [{"x": -14, "y": at, "text": "tokens" if site == "resid_pre.0" else site} for site, at in layout.rows.items()]
    tokens = [{"x": layout.columns[s], "y": layout.rows["resid_pre.0"] - 16, "text": label} for s, label in enumerate(labels)]
    said = [
        {"x": point["x"], "y": point["y"] + 15, "text": _label(graph.logit_texts[node.index])}
        for point, node in zip(points[-_n_logits(graph) :], graph.nodes[-_n_logits(graph) :], strict=True)
    ]
    return [
        alt.Chart(alt.Data(values=said)).mark_text(fontSize=11).encode(x=x("x"), y=y("y"), text="text:N"),
        alt.Chart(alt.Data(values=rows)).mark_text(align="right", fontSize=11).encode(x=x("x"), y=y("y"), text="text:N"),
        alt.Chart(alt.Data(values=tokens)).mark_text(fontSize=11).encode(x=x("x"), y=y("y"), text="text:N"),
    ]


def _n_logits(graph: AttributionGraph) -> int:
    """They are the last of its nodes."""
    return sum(node.kind == "logit" for node in graph.nodes)


def _label(text: str) -> str:
    shown = text.replace("\n", "⏎").replace("\t", "→").strip() or "␣"
    return shown if len(shown) <= 12 else shown[:11] + "…"
