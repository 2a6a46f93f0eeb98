"""Encodings that all figures share: the same SAE has the same colour everywhere."""

from collections.abc import Iterable

import altair as alt


def by_sae(names: Iterable[str]) -> alt.Color:
    """Colour by SAE, in the order of first appearance; no legend where there is one."""
    order = list(dict.fromkeys(names))
    legend = alt.Legend() if len(order) > 1 else None
    return alt.Color("sae:N", scale=alt.Scale(domain=order), sort=order, legend=legend)
