"""The latents on each token of a text, and each latent over all of it."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from monoseme.tensors.sparse import SparseCodes
from monoseme.web.forward import Forward
from monoseme.web.latents.answers import LatentRow
from monoseme.web.prompt._entries import Entries, Numbers, OverText, entries_of, over_text
from monoseme.web.prompt._known import KnownLatents
from monoseme.web.prompt._views import views_of
from monoseme.web.prompt.answers import Firing, PromptLatent, PromptReading, PromptToken

MAX_FIRINGS = 1 << 16
"""In one answer, for SAEs with dense codes: 3 MB of JSON. Beyond, the strongest of each token are kept; told in `truncated`."""
MAX_FIRINGS_PER_TOKEN = 256


class ReadTokens(NamedTuple):
    """What a prompt made an SAE say."""

    forward: Forward
    codes: SparseCodes
    """[T, F]"""


def read_tokens(forward: Forward) -> ReadTokens:
    """The codes of the part and site that are asked for."""
    return ReadTokens(forward, forward.placed.per_site(forward.codes().sparse(forward.asked.part))[forward.number])


def prompt_reading(read: ReadTokens, known: KnownLatents, *, sae: str, text: str, seconds: float) -> PromptReading:
    """The answer, latents strongest first."""
    of_text, every = read.forward.text, entries_of([read.codes], read.forward.text.positions())
    most = min(MAX_FIRINGS_PER_TOKEN, max(MAX_FIRINGS // len(of_text.ids), 1))
    shown = every.strongest(most)
    cut = f"Only the {most} strongest latents of each token are shown." if len(shown.value) < len(every.value) else ""
    key = known.shown_key(str(read.forward.site))
    over, named = over_text(every), np.unique(shown.latent)
    return PromptReading(
        sae=sae,
        text=text,
        tokens=_tokens(read, every, shown),
        latents=_latents(over, every, known.rows(key, named.tolist()), named=named),
        n_latents_fired=len(over.latents),
        truncated=" ".join(filter(None, (of_text.truncated, cut))),
        seconds=seconds,
        views=views_of(read.forward, key=key),
    )


def _tokens(read: ReadTokens, every: Entries, shown: Entries) -> list[PromptToken]:
    """One for each token, with its entries."""
    n_tokens = len(read.forward.text.ids)
    counts = np.bincount(every.position, minlength=n_tokens).tolist()
    ends = np.searchsorted(shown.position, np.arange(n_tokens + 1)).tolist()
    firings = [Firing(latent=f, value=value) for f, value in zip(shown.latent.tolist(), shown.value.tolist(), strict=True)]
    return [
        PromptToken(text=token.text, special=token.special, firings=firings[start:end], n_firings=n)
        for token, n, (start, end) in zip(read.forward.text.shown(), counts, pairwise(ends), strict=True)
    ]


def _latents(over: OverText, every: Entries, rows: Mapping[int, LatentRow], *, named: Numbers) -> list[PromptLatent]:
    """The latents of `named` over the whole prompt, strongest first; what is not shown of them counts too."""
    numbers, counts = over.latents.tolist(), np.bincount(over.which).tolist()
    values, peaks = every.value[over.peaks].tolist(), every.position[over.peaks].tolist()
    is_named = np.isin(over.latents, named)
    order = (m for m in over.by_strength(every) if is_named[m])
    return [_latent(rows.get(numbers[m]), numbers[m], values[m], peaks[m], counts[m]) for m in order]


def _latent(row: LatentRow | None, index: int, value: float, peak: int, n_tokens: int) -> PromptLatent:
    return PromptLatent(
        index=index,
        max=value,
        peak=peak,
        n_tokens=n_tokens,
        density=row.density if row else None,
        share_of_max=value / row.max if row and row.max else None,
        explanation=row.explanation if row else None,
    )
