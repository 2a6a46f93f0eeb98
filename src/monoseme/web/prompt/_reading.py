"""The latents on each token of a text, and each latent over all of it."""

from collections.abc import Sequence
from typing import NamedTuple

from monoseme.tensors.sparse import SparseCodes
from monoseme.web.latents.answers import LatentRow
from monoseme.web.prompt._forward import Forward
from monoseme.web.prompt._known import KnownLatents
from monoseme.web.prompt._text import TokenText
from monoseme.web.prompt._views import views_of
from monoseme.web.prompt.answers import Firing, PromptLatent, PromptReading, PromptToken

MAX_FIRINGS_PER_TOKEN = 256
"""Bounds the answer for SAEs with dense codes; told in `truncated`."""


class ReadTokens(NamedTuple):
    """What a prompt made an SAE say."""

    forward: Forward
    tokens: list[PromptToken]
    truncated: str


def read_tokens(forward: Forward) -> ReadTokens:
    """The latents of an SAE on each token, strongest first."""
    codes = forward.placed.per_site(forward.codes().sparse(forward.asked.part))[forward.number]
    read = _tokens(forward.text, codes)
    truncated = forward.text.truncated
    if any(token.n_firings > MAX_FIRINGS_PER_TOKEN for token in read):
        truncated = f"{truncated} Only the {MAX_FIRINGS_PER_TOKEN} strongest latents of each token are shown.".strip()
    return ReadTokens(forward, read, truncated)


def _tokens(text: TokenText, codes: SparseCodes) -> list[PromptToken]:
    """One entry per token; the rows of codes are of those that are not special."""
    offsets = codes.offsets.tolist()
    indices, values = codes.indices.tolist(), codes.values.float().tolist()
    found: list[PromptToken] = []
    row = 0
    for shown, is_special in zip(text.texts, text.special, strict=True):
        pairs: list[tuple[int, float]] = []
        if not is_special:
            entries = slice(offsets[row], offsets[row + 1])
            pairs = sorted(zip(indices[entries], values[entries], strict=True), key=_strength)
            row += 1
        firings = [Firing(latent=latent, value=value) for latent, value in pairs[:MAX_FIRINGS_PER_TOKEN]]
        found.append(PromptToken(text=shown, special=is_special, firings=firings, n_firings=len(pairs)))
    return found


def _strength(pair: tuple[int, float]) -> tuple[float, int]:
    return -abs(pair[1]), pair[0]


class Firings(NamedTuple):
    """Where one latent fired."""

    value: float
    """The strongest."""
    peak: int
    n_tokens: int


def latents_of(tokens: Sequence[PromptToken]) -> dict[int, Firings]:
    """Each latent over the whole prompt."""
    seen: dict[int, list[tuple[float, int]]] = {}
    for at, token in enumerate(tokens):
        for firing in token.firings:
            seen.setdefault(firing.latent, []).append((firing.value, at))
    peaks = {index: max(firings, key=lambda firing: (abs(firing[0]), -firing[1])) for index, firings in seen.items()}
    return {index: Firings(*peaks[index], len(firings)) for index, firings in seen.items()}


def prompt_reading(read: ReadTokens, known: KnownLatents, *, sae: str, text: str, seconds: float) -> PromptReading:
    """The answer, latents strongest first."""
    key, found = known.shown_key(str(read.forward.site)), latents_of(read.tokens)
    rows = known.rows(key, found)
    latents = [_latent(index, firings, rows.get(index)) for index, firings in found.items()]
    return PromptReading(
        sae=sae,
        text=text,
        tokens=read.tokens,
        latents=sorted(latents, key=lambda latent: (-abs(latent.max), latent.index)),
        n_latents_fired=len(found),
        truncated=read.truncated,
        seconds=seconds,
        views=views_of(read.forward, key=key),
    )


def _latent(index: int, firings: Firings, row: LatentRow | None) -> PromptLatent:
    return PromptLatent(
        index=index,
        max=firings.value,
        peak=firings.peak,
        n_tokens=firings.n_tokens,
        density=row.density if row else None,
        share_of_max=firings.value / row.max if row and row.max else None,
        explanation=row.explanation if row else None,
    )
