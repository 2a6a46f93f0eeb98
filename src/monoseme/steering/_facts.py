"""What the units of strengths need, measured on text where no atlas says it.

Letters: n contexts, S positions, T tokens that count, m latents.
"""

from collections.abc import Sequence

import torch

from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel, Site
from monoseme.splice import Placed, latent_values
from monoseme.steering._strength import LatentFacts
from monoseme.tensors.shapes import Bool, Int, Tensor


def mean_norm(model: LanguageModel, site: Site, tokens: Int[Tensor, "n S"], *, real: Bool[Tensor, "n S"] | None = None) -> float:
    """Mean length of the activations at a site over tokens that are not special, in float64. Raises ConfigError for none."""
    x = model.capture(tokens, [site], real=real)[site]
    rows = x[_counted(model, tokens, real).to(x.device)]
    return float(rows.double().norm(dim=1).mean())


def measured_facts(
    model: LanguageModel,
    placed: Placed,
    latents: Sequence[int],
    tokens: Int[Tensor, "n S"],
    *,
    real: Bool[Tensor, "n S"] | None = None,
    site: Site | None = None,
) -> dict[int, LatentFacts]:
    """Each latent's largest activation on these tokens, and the mean norm where it is to act (None: the SAE's first output).

    Of an SAE with a predicted part (TFA) the novel part is what counts, as in the code methods; where each site has codes of its
    own, the largest of all sites. A latent that never fires here has no maximum. Raises ConfigError for no tokens that count.
    """
    mask = _counted(model, tokens, real)
    codes = placed.encode(model.capture(tokens, placed.inputs, real=real), mask)
    found = latent_values(codes.part("novel" if "novel" in codes.parts else None), torch.tensor(latents)).amax(0).tolist()
    norm = mean_norm(model, placed.outputs[0] if site is None else site, tokens, real=real)
    return {
        latent: LatentFacts(maximum=value if value > 0 else None, mean_norm=norm)
        for latent, value in zip(latents, found, strict=True)
    }


def _counted(model: LanguageModel, tokens: Tensor, real: Tensor | None) -> Bool[Tensor, "n S"]:
    mask = model.editable(tokens, real)
    if not bool(mask.any()):
        raise ConfigError("nothing can be measured on this text: it holds no token but special ones. Give more text.")
    return mask
