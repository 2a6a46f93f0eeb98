"""Where the nodes of a drawn graph lie: a column for each token, a row for each site, and places within the two.

In pixels, from the left and from the bottom. Nodes of one column and row stand side by side, the most influential first, in as
many lines as a page's width makes necessary; logits, all of the last position, stand in a row of their own, the likeliest at the
right.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from monoseme.attribution.graph import Node

_PITCH = 17
"""Between the centres of two nodes."""
_GAP = (14, 30)
"""Between columns, and between rows."""
_LOGIT_PITCH = 68
"""Between logits, which have their texts above them."""
_LETTER = 6.6
"""Width of a letter of a token's label."""
_WIDEST = 760


class Spot(NamedTuple):
    """The centre of a node."""

    x: float
    y: float


class Layout(NamedTuple):
    """All nodes, and what stands around them."""

    spots: list[Spot]
    columns: dict[int, float]
    """Position -> centre of its column."""
    rows: dict[str, float]
    """Site -> centre of its row, from the bottom up."""
    width: float
    height: float


def lay_out_nodes(nodes: Sequence[Node], influence: Sequence[float], labels: Sequence[str], rows: Sequence[str]) -> Layout:
    """`labels` are the tokens' texts, `rows` the sites from the bottom up; nodes at other sites are not expected."""
    cells: dict[tuple[int, str], list[int]] = defaultdict(list)
    logits = [i for i, node in enumerate(nodes) if node.kind == "logit"]
    for i in sorted(set(range(len(nodes))).difference(logits), key=lambda i: (-influence[i], i)):
        cells[nodes[i].position, nodes[i].site].append(i)
    per_line = _per_line(cells, labels)
    widths = [max(n * _PITCH, len(label) * _LETTER) for n, label in zip(per_line, labels, strict=True)]
    lefts = [sum(widths[:s]) + s * _GAP[0] for s in range(len(widths))]
    lines = {
        site: max([math.ceil(len(c) / per_line[s]) for (s, at), c in cells.items() if at == site], default=1) for site in rows
    }
    bottoms: dict[str, float] = {}
    height = 0.0
    for site in rows:
        bottoms[site] = height
        height += lines[site] * _PITCH + _GAP[1]
    spots = [Spot(0.0, 0.0)] * len(nodes)
    for (s, site), members in cells.items():
        for place, i in enumerate(members):
            line, column = divmod(place, per_line[s])
            n_here = min(per_line[s], len(members) - line * per_line[s])
            x = lefts[s] + widths[s] / 2 + (column - (n_here - 1) / 2) * _PITCH
            n_lines = math.ceil(len(members) / per_line[s])
            spots[i] = Spot(x, bottoms[site] + (lines[site] / 2 + (n_lines - 1) / 2 - line) * _PITCH)
    width = lefts[-1] + widths[-1]
    for place, i in enumerate(logits):
        pitch = min(_LOGIT_PITCH, width / len(logits))
        spots[i] = Spot(width - (place + 0.5) * pitch, bottoms[nodes[i].site] + _PITCH / 2)
    return Layout(
        spots=spots,
        columns={s: left + width / 2 for s, (left, width) in enumerate(zip(lefts, widths, strict=True))},
        rows={site: bottoms[site] + lines[site] * _PITCH / 2 for site in rows},
        width=width,
        height=height - _GAP[1],
    )


def _per_line(cells: dict[tuple[int, str], list[int]], labels: Sequence[str]) -> list[int]:
    """Nodes side by side in each column: all, or as few as make the columns fit the page."""
    most = [max([len(members) for (at, _), members in cells.items() if at == s], default=1) for s in range(len(labels))]
    for n_lines in range(1, max(most) + 1):
        chosen = [math.ceil(n / n_lines) for n in most]
        widths = [max(n * _PITCH, len(label) * _LETTER) for n, label in zip(chosen, labels, strict=True)]
        if sum(widths) + (len(widths) - 1) * _GAP[0] <= _WIDEST:
            return chosen
    return [1] * len(labels)
