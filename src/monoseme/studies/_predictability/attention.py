"""What each attention head of an SAE looks at in texts of events.

Letters: H heads, T tokens; slot s of a row holds the token before token s, slot 0 none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.studies._base import Row
from monoseme.studies._predictability.events import Layout
from monoseme.studies._predictability.summary import weighted_mean

Array = NDArray[np.float64]


class HeadMeasures(NamedTuple):
    """One head in one text, means over tokens; NaN where a number does not exist."""

    first_slot: float
    """Attention on the slot that holds no token: nothing is looked at."""
    distance: float
    """Mean distance of the tokens looked at (tokens)."""
    own_event: float
    """Of the attention on tokens, the share on those of the own event; tokens after the first event only."""
    own_event_even: float
    """That share if all earlier tokens got the same."""


def head_measures(maps: Array, places: Layout) -> HeadMeasures:
    """Of one head's map [T, T]."""
    n = len(maps)
    query, held = np.arange(n)[:, None], np.arange(n)[None, :] - 1
    on_tokens = np.where((held >= 0) & (held < query), maps, 0.0)
    total = on_tokens.sum(1)
    looks = total > 0
    distance = (on_tokens * (query - held)).sum(1)[looks] / total[looks]
    own = (held >= 0) & (held < query) & (places.event[np.maximum(held, 0)] == places.event[:, None])
    later = looks & (places.event > 0)
    return HeadMeasures(
        first_slot=float(maps[:, 0].mean()),
        distance=_mean(distance),
        own_event=_mean((on_tokens * own).sum(1)[later] / total[later]),
        own_event_even=_mean(own.sum(1)[later] / np.arange(n)[later]),
    )


def attention_rows(sae: str, texts: Sequence[tuple[Array, Layout]], weights: Array) -> list[Row]:
    """A row per head, layer and measure over texts (maps [layers, H, T, T]), with intervals under weights [N, W]."""
    n_layers, n_heads = texts[0][0].shape[:2]
    rows: list[Row] = []
    for layer in range(n_layers):
        for head in range(n_heads):
            found = [head_measures(maps[layer, head], places) for maps, places in texts]
            row: Row = {"sae": sae, "layer": layer + 1, "head": head + 1}
            for name in HeadMeasures._fields:
                drawn = weighted_mean(np.array([getattr(each, name) for each in found]), weights)
                row[name] = float(drawn[0]) if np.isfinite(drawn[0]) else None
                finite = drawn[1:][np.isfinite(drawn[1:])]
                row[f"{name}_error"] = float(finite.std(ddof=1)) if len(finite) > 1 and len(texts) > 1 else None
            rows.append(row)
    return rows


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else np.nan
