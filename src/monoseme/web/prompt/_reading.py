"""One forward of a run's language model on a text, then an SAE on what it saw."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from monoseme.models import LanguageModel
from monoseme.saes import SAE
from monoseme.splice import Placed
from monoseme.tensors.sparse import SparseCodes
from monoseme.web.latents.answers import LatentRow
from monoseme.web.prompt.answers import Firing, PromptLatent, PromptToken
from monoseme.web.run_files import ScannedSae

MAX_TOKENS = 1024
"""Longest prompt that is read; attention is quadratic in it."""
_MAX_FIRINGS_PER_TOKEN = 256
"""Bounds the answer for SAEs with dense codes; told in `truncated`."""


class ReadTokens(NamedTuple):
    """What a prompt made an SAE say."""

    tokens: list[PromptToken]
    truncated: str
    seconds: float


def read_tokens(model: LanguageModel, sae: SAE, asked: ScannedSae, text: str, *, begins_with_bos: bool) -> ReadTokens:
    """The latents of an SAE on each token of `text`, strongest first."""
    started = time.monotonic()
    ids, truncated = _encode(model, text, begins_with_bos=begins_with_bos)
    special = [token in model.special_ids for token in ids]
    placed = Placed(sae, asked.sites)
    captured = model.capture(torch.tensor([ids], device=model.device), placed.inputs)
    counts = ~torch.tensor([special])
    with torch.no_grad():
        codes = placed.per_site(placed.encode({site: x.float() for site, x in captured.items()}, counts).sparse(asked.part))
    where = [str(site) for site in placed.code_sites]
    own = where.index(asked.code_site) if asked.code_site in where else 0
    read = _tokens(model.decode_tokens(ids), special, codes[own])
    if any(token.n_firings > _MAX_FIRINGS_PER_TOKEN for token in read):
        truncated = f"{truncated} Only the {_MAX_FIRINGS_PER_TOKEN} strongest latents of each token are shown.".strip()
    return ReadTokens(read, truncated, time.monotonic() - started)


def _encode(model: LanguageModel, text: str, *, begins_with_bos: bool) -> tuple[list[int], str]:
    """Token ids, with BOS first where training had it, and a sentence on what was cut off."""
    ids = model.encode(text)
    if begins_with_bos and model.bos_id is not None and ids[:1] != [model.bos_id]:
        ids = [model.bos_id, *ids]
    longest = min(MAX_TOKENS, model.spec.n_positions or MAX_TOKENS)
    if len(ids) <= longest:
        return ids, ""
    return ids[:longest], f"Only the first {longest:,} of {len(ids):,} tokens were read."


def _tokens(texts: list[str], special: list[bool], codes: SparseCodes) -> list[PromptToken]:
    """One entry per token; special tokens get no latents, because SAEs are trained without them. Codes are of the others."""
    offsets = codes.offsets.tolist()
    indices, values = codes.indices.tolist(), codes.values.float().tolist()
    found: list[PromptToken] = []
    row = 0
    for text, is_special in zip(texts, special, strict=True):
        pairs: list[tuple[int, float]] = []
        if not is_special:
            entries = slice(offsets[row], offsets[row + 1])
            pairs = sorted(zip(indices[entries], values[entries], strict=True), key=_strength)
            row += 1
        firings = [Firing(latent=latent, value=value) for latent, value in pairs[:_MAX_FIRINGS_PER_TOKEN]]
        found.append(PromptToken(text=text, special=is_special, firings=firings, n_firings=len(pairs)))
    return found


def _strength(pair: tuple[int, float]) -> tuple[float, int]:
    return -abs(pair[1]), pair[0]


def over_prompt(tokens: list[PromptToken], rows: Callable[[list[int]], dict[int, LatentRow]]) -> list[PromptLatent]:
    """Each latent over the whole prompt, strongest first; `rows` looks latents up in their table."""
    seen: dict[int, list[tuple[float, int]]] = {}
    for at, token in enumerate(tokens):
        for firing in token.firings:
            seen.setdefault(firing.latent, []).append((firing.value, at))
    known = rows(list(seen))
    latents = []
    for index, firings in seen.items():
        value, at = max(firings, key=lambda firing: (abs(firing[0]), -firing[1]))
        row = known.get(index)
        latents.append(
            PromptLatent(
                index=index,
                max=value,
                peak=at,
                n_tokens=len(firings),
                density=row.density if row else None,
                share_of_max=value / row.max if row and row.max else None,
                explanation=row.explanation if row else None,
            )
        )
    return sorted(latents, key=lambda latent: (-abs(latent.max), latent.index))
