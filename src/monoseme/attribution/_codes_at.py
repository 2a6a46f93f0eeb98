"""The codes of prompts at the positions that are asked about, entry by entry.

Letters: n prompts, S positions, T positions asked about (row by row), E entries that are not zero, F latents.
"""

from typing import NamedTuple

import torch

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import LanguageModel
from monoseme.splice import Placed
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

_PROMPTS_AT_ONCE = 64


class CodesAt(NamedTuple):
    """On the CPU, codes in float64."""

    prompt: Int[Tensor, " T"]
    position: Int[Tensor, " T"]
    unit: Float[Tensor, " T"]
    """What a code of 1 counts for in decoder rows: 1, or the vector's own deviation where codes are standardised."""
    row: Int[Tensor, " E"]
    """Which of the T."""
    latent: Int[Tensor, " E"]
    value: Float[Tensor, " E"]
    n_latents: int

    def lookup(self, row: Int[Tensor, " m"], latent: Int[Tensor, " m"]) -> Float[Tensor, " m"]:
        """Codes of any rows and latents, 0 where a latent does not fire."""
        if not len(self.row):
            return torch.zeros(len(row), dtype=torch.float64)
        keys, order = (self.row * self.n_latents + self.latent).sort()
        wanted = row * self.n_latents + latent
        place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        return self.value[order[place]].where(keys[place] == wanted, 0.0)


@torch.no_grad()
def codes_at(
    model: LanguageModel,
    placed: Placed,
    tokens: Int[Tensor, "n S"],
    *,
    real: Bool[Tensor, "n S"] | None = None,
    at: Bool[Tensor, "n S"] | None = None,
) -> CodesAt:
    """The codes where `at` is True (default: real tokens that are not special).

    Raises SiteError for an SAE that reads or writes several sites, ConfigError for a mask that does not fit the prompts.
    """
    if len(placed.inputs) != 1 or len(placed.outputs) != 1:
        raise SiteError(
            f"{type(placed.sae).__name__} reads {', '.join(map(str, placed.inputs))} and writes "
            f"{', '.join(map(str, placed.outputs))}: latents are ablated at one site, so give an SAE of one, or a transcoder"
        )
    acts = model.editable(tokens, real)
    asked = acts if at is None else at.to(acts.device)
    if asked.shape != tokens.shape:
        raise ConfigError(f"a mask of {tuple(asked.shape)} does not fit prompts of {tuple(tokens.shape)}")
    parts = [_part(model, placed, tokens, real, acts & asked, some) for some in torch.arange(len(tokens)).split(_PROMPTS_AT_ONCE)]
    prompt, position = (acts & asked).nonzero().cpu().unbind(1)
    firsts = torch.tensor([0, *(len(part.unit) for part in parts)]).cumsum(0)
    row = [part.row + first for part, first in zip(parts, firsts.tolist(), strict=False)]
    unit, latent, value = (
        torch.cat(each) for each in ([p.unit for p in parts], [p.latent for p in parts], [p.value for p in parts])
    )
    return CodesAt(prompt, position, unit, torch.cat(row), latent, value, placed.sae.n_latents)


class _Part(NamedTuple):
    unit: Tensor
    row: Tensor
    latent: Tensor
    value: Tensor


def _part(model: LanguageModel, placed: Placed, tokens: Tensor, real: Tensor | None, asked: Tensor, some: Tensor) -> _Part:
    """Codes of some prompts; an SAE that reads contexts sees all tokens that count, whatever is asked about."""
    given = None if real is None else real[some]
    captured = model.capture(tokens[some], placed.inputs, real=given)
    acts, asked = model.editable(tokens[some], given), asked[some]
    codes = placed.encode(captured, acts).select_rows(asked[acts])
    code = codes.sparse()
    unit = torch.ones(code.n_rows, dtype=torch.float64) if codes.scale is None else codes.scale.reshape(-1).double().cpu()
    return _Part(unit, code.rows().cpu().long(), code.indices.cpu().long(), code.values.cpu().double())
