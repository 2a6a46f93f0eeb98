"""The beginnings of some rows, read once: their keys and values, for many runs of what follows them.

What a change does at a late position hangs on the tokens before it only through their keys and values, which the change cannot
move. Attribution runs the last few tokens of a prompt many times with different activations, and the rest of it once.

Letters: n rows, P positions of the beginning, m runs, s positions that follow, V vocabulary.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from monoseme.core.errors import ModelError
from monoseme.models._forward import WHOLE_ROWS, Call, Forward
from monoseme.models._padding import positions_of
from monoseme.models.edit import Edit, EditContext
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Int, Tensor


class LastLogits(NamedTuple):
    """What a run behind a prefix gave."""

    logits: Tensor
    """[m, V]: of the last position alone."""
    captured: dict[Site, Tensor]
    """[m, s, width] at the sites asked for."""


class Prefix:
    """The first P tokens of n rows; made by `LanguageModel.prefix`. With P = 0 a run is one of whole rows, without a cache."""

    def __init__(self, forward: Forward, call: Call, *, special: Sequence[int]) -> None:
        """Reads the tokens of `call`. Raises ModelError for a model that keeps something else than keys and values."""
        self._forward = forward
        self._special = torch.tensor(special, dtype=torch.int64, device=forward.device)
        self._real = (torch.ones_like(call.tokens, dtype=torch.bool) if call.real is None else call.real).to(forward.device)
        self._cache: Any = None
        self.captured: dict[Site, Tensor] = {}
        """[n, P, width] at the sites asked for."""
        if call.tokens.shape[1]:
            with torch.no_grad(), forward.quickly():
                self._read(call)

    def run(
        self,
        tokens: Int[Tensor, "m s"],
        *,
        rows: Int[Tensor, " m"],
        n_seen: Int[Tensor, " m"] | None = None,
        real: Bool[Tensor, "m s"] | None = None,
        edits: Sequence[Edit] = (),
        capture: Sequence[Site] = (),
        skip_blocks: int = 0,
    ) -> LastLogits:
        """Runs what follows the prefix of each of `rows`, with gradients where they are enabled and asked for.

        `n_seen` lets each run see only so many first columns of its prefix, so that what follows stands at that position: one
        reading of a text then serves runs at any of its positions. `skip_blocks` leaves out so many first blocks: an edit must
        then give the residual stream behind them.
        Raises ModelError for `n_seen` where a layer keeps fewer columns than the prefix has (a sliding window).
        """
        device = self._forward.device
        rows, tokens = rows.to(device), tokens.to(device)
        new = torch.ones_like(tokens, dtype=torch.bool) if real is None else real.to(device)
        call = Call(tokens, new, None, tuple(edits), tuple(capture))
        attended = torch.cat([self._seen(rows, n_seen), new], dim=1)
        context = self._context(call, attended)
        with self._forward.skipping(skip_blocks):
            if self._cache is None:
                logits, captured = self._forward.last(call._replace(mask=context.mask))
                return LastLogits(logits, captured)
            step = self._forward.step(call, context, self._of(rows), attended)
        return LastLogits(step.logits, step.captured)

    def _seen(self, rows: Tensor, n_seen: Tensor | None) -> Tensor:
        """[m, P]: what of their prefixes the runs may look at."""
        real = self._real[rows]
        if n_seen is None:
            return real
        width = real.shape[1]
        if self._cache is not None and any(layer.keys.shape[-2] < width for layer in self._cache.layers):
            raise ModelError(f"this model looks back over a window of fewer than {width} tokens. Use shorter contexts.")
        return real & (torch.arange(width, device=real.device) < n_seen.to(real.device)[:, None])

    def _read(self, call: Call) -> None:
        step = self._forward.step(call, self._context(call, self._real), None, self._real)
        if not isinstance(step.cache, DynamicCache) or not all(isinstance(layer, DynamicLayer) for layer in step.cache.layers):
            raise ModelError(f"this model keeps more of what it has read than keys and values: {WHOLE_ROWS}")
        self._cache, self.captured = step.cache, step.captured

    def _of(self, rows: Tensor) -> Any:
        """The cache of these rows, to be written into."""
        cache = copy.copy(self._cache)
        cache.layers = [copy.copy(layer) for layer in self._cache.layers]
        for layer in cache.layers:
            layer.batch_select_indices(rows)
        return cache

    def _context(self, call: Call, attended: Tensor) -> EditContext:
        """Of the call's tokens, which are the last of those attended."""
        width = call.tokens.shape[1]
        tokens = call.tokens.to(attended.device)
        n = len(tokens)
        # What reads whole contexts would see a part of them.
        is_whole = attended.shape[1] == width
        return EditContext(
            tokens=tokens,
            mask=torch.isin(tokens, self._special, invert=True) & attended[:, -width:],
            positions=positions_of(attended)[:, -width:],
            row=torch.arange(n, device=tokens.device),
            is_prompt=torch.full_like(tokens, is_whole, dtype=torch.bool),
            state=tuple({} for _ in range(n)),
        )
