"""Direct effects: what a latent says to the logits by the residual stream alone, through the final norm as it scaled this prompt.

    effect_j = f_j <W_dec[j], dm / dx_last>,   x_last the last residual stream, the norm's factor held constant

Total effects are those of ablation. The two differ by what later layers make of the latent, and by what its removal does to the
norm's factor.
Source: direct logit attribution as in Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; the norm held
still as in Ameisen et al. 2025 (see `graph.frozen`, by which a cap on the logits is its secant).
Letters: n prompts, S positions, J firings, m tokens, D model width.
"""

import torch

from monoseme.attribution._codes_at import codes_at
from monoseme.attribution.ablation import FiringEffects
from monoseme.attribution.graph.frozen import Frozen
from monoseme.attribution.metrics import Readout
from monoseme.core.errors import SiteError
from monoseme.models import WRITES_RESIDUAL, LanguageModel, Site
from monoseme.splice import Placed, written_by
from monoseme.tensors.shapes import Float, Int, Tensor


def direct_effects(model: LanguageModel, placed: Placed, readout: Readout) -> FiringEffects:
    """Of each latent that fires where the logits are read, on the metric; elsewhere there is no direct effect.

    For a metric that is not linear in the logits, its gradient stands for it. Raises SiteError for a site that does not write to
    the residual stream.
    """
    return _effects(model, placed, readout, _gradients(model, readout, None))


def direct_effects_on_logits(
    model: LanguageModel, placed: Placed, readout: Readout, *, tokens: Int[Tensor, " m"]
) -> FiringEffects:
    """The same on the logits of some tokens, [J, m]; the readout's metric plays no part."""
    return _effects(model, placed, readout, _gradients(model, readout, tokens))


def _effects(model: LanguageModel, placed: Placed, readout: Readout, gradients: Float[Tensor, "n *m D"]) -> FiringEffects:
    site = placed.outputs[0]
    if site.kind not in WRITES_RESIDUAL:
        raise SiteError(
            f"{site} does not write to the residual stream, so what is written there has no direct effect on the logits.\n"
            f"  Sites that do: {', '.join(sorted(WRITES_RESIDUAL))}"
        )
    at = torch.zeros(readout.tokens.shape, dtype=torch.bool)
    at[torch.arange(len(readout)), readout.answer_from.cpu()] = True
    codes = codes_at(model, placed, readout.tokens, real=readout.real, at=at)
    vectors = written_by(placed.sae, codes.latent)
    vectors = vectors * (codes.value * codes.unit[codes.row]).unsqueeze(1)
    prompt = codes.prompt[codes.row]
    effect = torch.einsum("j...d,jd->j...", gradients[prompt], vectors)
    return FiringEffects(prompt, codes.position[codes.row], codes.latent, codes.value, effect)


def _gradients(model: LanguageModel, readout: Readout, tokens: Int[Tensor, " m"] | None) -> Float[Tensor, "n *m D"]:
    """Of the metric, or of each token's logit, to the last residual stream where the logits are read; float64 on the CPU."""
    last = Site("resid_post", model.spec.n_layers - 1)
    prompts = torch.arange(len(readout))
    x = model.capture(readout.tokens, [last], real=readout.real)[last]
    x = x[prompts, readout.answer_from.to(x.device)].unsqueeze(1).requires_grad_()
    with torch.enable_grad(), Frozen(capped=model.spec.logit_softcap is not None):
        logits = model.run_from(last, x, tokens=readout.tokens[:, :1])[:, 0]
    if tokens is None:
        return torch.autograd.grad(readout.metric(logits).sum(), x)[0][:, 0].double().cpu()
    found = [torch.autograd.grad(logits[:, token].sum(), x, retain_graph=True)[0][:, 0] for token in tokens.tolist()]
    return torch.stack(found, dim=1).double().cpu()
