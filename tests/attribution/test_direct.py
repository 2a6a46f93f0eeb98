"""Direct effects: the residual stream's own path to the logits, with the norm held still."""

import pytest
import torch
from tests.attribution.tiny import TOKENS, double_model, resid_sae

from monoseme.attribution.direct import direct_effects, direct_effects_on_logits
from monoseme.attribution.metrics import Readout, logit_difference
from monoseme.core.errors import SiteError
from monoseme.models import Site
from monoseme.splice import Placed

READOUT = Readout(TOKENS, torch.tensor([5, 4]), logit_difference(torch.tensor([3, 17]), torch.tensor([11, 5])))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_direct_effect_is_the_vector_through_the_final_norm_and_the_unembedding(family: str):
    model = double_model(family)
    placed = resid_sae(1, width=model.spec.d_model)
    found = direct_effects(model, placed, READOUT)
    last = Site("resid_post", 2)
    x = model.capture(TOKENS, [last])[last][torch.arange(2), READOUT.answer_from]
    centred = x - x.mean(1, keepdim=True) if model.spec.norm == "layer" else x
    factor = 1 / centred.square().mean(1).sqrt()
    direction = model.unembedding()[:, [3, 17]] - model.unembedding()[:, [11, 5]]
    for prompt, position, latent, code, effect in zip(*found, strict=True):
        assert position == READOUT.answer_from[prompt]
        write = placed.sae.W_dec[latent]
        write = write - write.mean() if model.spec.norm == "layer" else write
        scaled = code * write * model.final_norm_scale().double() * factor[prompt]
        # eps of the norms is 1e-5 or 1e-6 beside a mean square of about 1; Llama's norms compute in float32.
        assert effect == pytest.approx(float(scaled @ direction[:, prompt]), rel=1e-4, abs=1e-6)


def test_effects_on_logits_make_up_the_effect_on_their_difference():
    model = double_model("gemma2")
    placed = resid_sae(2, width=model.spec.d_model)
    one = Readout(TOKENS[:1], torch.tensor([5]), logit_difference(torch.tensor([3]), torch.tensor([11])))
    each = direct_effects_on_logits(model, placed, one, tokens=torch.tensor([3, 11]))
    assert len(each.effect)
    assert torch.allclose(each.effect[:, 0] - each.effect[:, 1], direct_effects(model, placed, one).effect, atol=1e-9)


def test_what_does_not_write_to_the_residual_stream_has_no_direct_effect():
    model = double_model()
    placed = Placed(resid_sae(0, width=model.spec.d_model).sae, (Site("mlp_in", 0),))
    with pytest.raises(SiteError, match="does not write to the residual stream"):
        direct_effects(model, placed, READOUT)
