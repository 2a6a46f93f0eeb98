"""Runs a model and an SAE over new text: what generation scores need, and nothing else of an atlas does.

Letters: n texts, S tokens of the longest, T tokens that reach the SAE.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from monoseme.atlas.feed import Target
from monoseme.atlas.score._judgement import CodedText, Coder
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel
from monoseme.models.site import Site

_MOST_TOKENS = 128
"""Tokens of a text that are read (count): what a judge wrote is bounded before it costs memory."""
_TEXTS_AT_ONCE = 32


def coder_of(model: LanguageModel, target: Target, *, site: Site | None = None) -> Coder:
    """Texts and latents -> their activations. `site`: whose codes, for an SAE with codes of its own at each of several.

    Raises ConfigError for a site that the SAE has no codes at.
    """
    places = target.placed.code_sites
    if site is not None and site not in places:
        raise ConfigError(f"{target.name} has no codes at {site}. It has: {', '.join(map(str, places))}")
    which = 0 if site is None else places.index(site)

    def coded(texts: Sequence[str], latents: Sequence[int]) -> list[CodedText]:
        ids = [model.encode(text)[:_MOST_TOKENS] for text in texts]
        groups = [ids[i : i + _TEXTS_AT_ONCE] for i in range(0, len(ids), _TEXTS_AT_ONCE)]
        return [found for group in groups for found in _coded(model, target, which, group, latents)]

    return coded


class _Padded(NamedTuple):
    tokens: torch.Tensor
    """[n, S]"""
    real: torch.Tensor
    """[n, S]"""


@torch.no_grad()
def _coded(model: LanguageModel, target: Target, which: int, ids: Sequence[list[int]], latents: Sequence[int]) -> list[CodedText]:
    """One forward; texts without a token that may reach the SAE come back empty."""
    tokens, real = _padded(ids)
    special = torch.tensor(sorted(model.special_ids), dtype=torch.int64)
    mask = real & ~torch.isin(tokens, special)
    values = np.zeros((int(mask.sum()), len(latents)), dtype=np.float32)
    if mask.any():
        placed = target.placed
        activations = model.capture(tokens.to(model.device), placed.inputs, real=real.to(model.device))
        code = placed.per_site(placed.encode(activations, mask).sparse(target.part))[which]
        rows, found, of = (part.cpu().numpy() for part in (code.rows(), code.indices, code.values.float()))
        for column, latent in enumerate(latents):
            values[rows[found == latent], column] = of[found == latent]
    return _split(model, tokens, mask.numpy(), values)


def _padded(ids: Sequence[list[int]]) -> _Padded:
    longest = max((len(row) for row in ids), default=0) or 1
    tokens = torch.zeros((len(ids), longest), dtype=torch.int64)
    real = torch.zeros((len(ids), longest), dtype=torch.bool)
    for i, row in enumerate(ids):
        tokens[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        real[i, : len(row)] = True
    return _Padded(tokens, real)


def _split(model: LanguageModel, tokens: torch.Tensor, mask: NDArray[np.bool_], values: NDArray[np.float32]) -> list[CodedText]:
    ends = np.cumsum(mask.sum(axis=1))
    parts = np.split(values, ends[:-1])
    shown = [model.decode_tokens(tokens[i][torch.from_numpy(mask[i])].tolist()) for i in range(len(tokens))]
    return [CodedText(tuple(texts), part) for texts, part in zip(shown, parts, strict=True)]
