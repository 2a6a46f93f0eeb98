"""Encodings that all figures share: the same SAE has the same colour everywhere."""

from collections.abc import Iterable

import altair as alt

_LEGEND_CHARACTERS = 44
"""As many as a row of a legend holds above a chart of usual width."""


def by_sae(names: Iterable[str]) -> alt.Color:
    """Colour by SAE, in the order of first appearance; no legend where there is one."""
    order = list(dict.fromkeys(names))
    per_row = max(1, _LEGEND_CHARACTERS // (4 + max((len(name) for name in order), default=1)))
    legend = alt.Legend(columns=min(per_row, len(order))) if len(order) > 1 else None
    return alt.Color("sae:N", scale=alt.Scale(domain=order), sort=order, legend=legend)
