"""Direct logit attribution of an SAE's latents at one of its sites, or the reason why there is none."""

from monoseme.atlas.scanning.feed import Target
from monoseme.atlas.scanning.logits import Unembedding, direct_logits, why_no_logits
from monoseme.atlas.scanning.needs import ScannedModel
from monoseme.atlas.scanning.store import LogitFacts
from monoseme.core.errors import ModelError


def target_logits(target: Target, number: int, model: ScannedModel | None, *, n_tokens: int) -> LogitFacts:
    """What the latents of code site `number` write: the `n_tokens` most raised and most lowered tokens of each."""
    outputs = target.placed.outputs
    if len(outputs) > 1 and not target.sae.codes_per_site:
        return LogitFacts(None, f"each latent writes to {len(outputs)} sites, with a vector for each")
    why = why_no_logits(outputs[number])
    if why is None and model is None:
        why = "the scan had no model, so there was no unembedding"
    if why is not None or model is None:
        return LogitFacts(None, why)
    try:
        unembedding = Unembedding(model.unembedding(), model.final_norm_scale(), model.spec.norm == "layer")
    except ModelError as error:
        return LogitFacts(None, str(error))
    w_dec, expected = target.sae.state_dict().get("W_dec"), (target.sae.n_latents, unembedding.weight.shape[0])
    if w_dec is None or w_dec.shape != expected:
        shape = "there is none" if w_dec is None else f"it has the shape {tuple(w_dec.shape)}"
        return LogitFacts(None, f"direct logit attribution needs W_dec of the shape {expected}, one vector a latent, but {shape}")
    return LogitFacts(direct_logits(w_dec, unembedding, n_tokens=n_tokens), None)
