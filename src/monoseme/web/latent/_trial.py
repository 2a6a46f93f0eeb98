"""A text of one's own, read by the model, as one latent sees it."""

import time
from collections.abc import Sequence

import torch

from monoseme.models import LanguageModel
from monoseme.saes import SAE
from monoseme.web.forward import Forward, forward_on
from monoseme.web.latent.answers import Trial
from monoseme.web.run_files import ScannedSae


def trial(model: LanguageModel, sae: SAE, asked: ScannedSae, text: str, *, key: str, index: int, begins_with_bos: bool) -> Trial:
    """The latent `index` on each token of `text`: one forward of the model. Raises ConfigError for a text of no tokens."""
    started = time.monotonic()
    forward = forward_on(model, sae, asked, text, begins_with_bos=begins_with_bos)
    values = _values(forward, index)
    return Trial(
        sae=key,
        index=index,
        tokens=forward.text.texts,
        values=values,
        peak=_peak(values),
        truncated=forward.text.truncated,
        seconds=time.monotonic() - started,
    )


def _values(forward: Forward, index: int) -> list[float | None]:
    """The latent on each token; None on special ones, which SAEs are trained without."""
    code = forward.placed.per_site(forward.codes().sparse(forward.asked.part))[forward.number]
    n_read = len(forward.text.positions())
    is_latent = (code.indices == index).cpu()
    rows = torch.repeat_interleave(torch.arange(n_read), code.offsets.diff().cpu())
    found = torch.zeros(n_read)
    found[rows[is_latent]] = code.values.detach().float().cpu()[is_latent]
    values = iter(found.tolist())
    return [None if special else next(values) for special in forward.text.special]


def _peak(values: Sequence[float | None]) -> int | None:
    """The first of the strongest tokens."""
    known = [at for at, value in enumerate(values) if value]
    return max(known, key=lambda at: abs(values[at] or 0.0), default=None)
