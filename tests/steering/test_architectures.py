"""Methods on every architecture: one formula for all, contexts go on in a generation, several sites are one SAE."""

import pytest
import torch
from tests.steering.conftest import SITE, small_sae
from tests.steering.test_identities import N_NEW, PROMPTS, edits, recomputed
from torch import Tensor

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import LanguageModel, Site
from monoseme.saes import SAE, SAES
from monoseme.saes.clt import CLT
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.transcoder import Transcoder
from monoseme.splice import Placed
from monoseme.steering import STEERING, Aim, LatentFacts, Strength

ONE_SITE = sorted(set(SAES.names()) - {"clt", "crosscoder", "mlsae", "transcoder", "pca", "identity"})
BIASED = {"batchtopk", "jumprelu", "lensed_topk", "matryoshka", "normalized_topk", "random", "relu", "tfa", "thresholded", "topk"}
BIASED |= {"tsae"}
"""Those that choose among pre-activations."""


@pytest.mark.parametrize("name", ONE_SITE)
def test_clamping_is_decoding_with_the_error_put_back_for_every_architecture(
    llama: LanguageModel, tokens: Tensor, name: str
) -> None:
    sae = small_sae(name)
    x = llama.capture(tokens, [SITE])[SITE]
    after = llama.capture(tokens, [SITE], edits=edits("clamp", Placed(sae, (SITE,)), (4, 4.0)))[SITE]
    mask = llama.editable(tokens)
    codes = sae.encode_contexts(x, mask)
    dense = codes.dense().clone()
    if name == "tfa":
        dense[..., 4] = codes.dense("predicted")[..., 4] + 4.0  # the predicted part is kept
    else:
        dense[..., 4] = 4.0
    wanted = x + sae.decode(codes.with_all(dense)) - sae.decode(codes)
    torch.testing.assert_close(after[mask], wanted[mask], atol=1e-5, rtol=1e-5)
    assert torch.equal(after[~mask], x[~mask])


@pytest.mark.parametrize("name", ONE_SITE)
def test_a_latent_bias_is_one_of_the_encoder_where_there_is_one(llama: LanguageModel, tokens: Tensor, name: str) -> None:
    sae, place = small_sae(name), Placed(small_sae(name), (SITE,))
    x = llama.capture(tokens, [SITE])[SITE]
    if name not in BIASED:
        with pytest.raises(ConfigError, match="nothing to add a bias to"):
            llama.capture(tokens, [SITE], edits=edits("h_bias", place, (4, 4.0)))
        return
    nothing = llama.capture(tokens, [SITE], edits=edits("h_bias", place, (4, 1e-12)))[SITE]
    torch.testing.assert_close(nothing, x, atol=1e-5, rtol=1e-5)
    codes = sae.encode_contexts(x, llama.editable(tokens)).select_rows(llama.editable(tokens))
    before, bias = codes.dense("novel" if name == "tfa" else None), torch.zeros(sae.n_latents)
    latent = int((before > 0).sum(0).argmax())
    bias[latent] = 40.0
    after = sae.encode_biased(x[:, 1:].flatten(0, 1), bias, codes)
    new = after.dense("novel" if name == "tfa" else None)
    fires = before[:, latent] > 0
    assert fires.any()
    assert (new[:, latent] > 0).all()
    torch.testing.assert_close(new[fires, latent], before[fires, latent] + 40.0, atol=1e-4, rtol=1e-5)
    if name == "tfa":
        assert torch.equal(after.dense("predicted"), codes.dense("predicted"))
        torch.testing.assert_close(after.dense(), after.dense("predicted") + new)


@pytest.mark.parametrize(("name", "method"), [("tfa", "clamp"), ("tfa", "h_bias"), ("tsae", "h_bias")])
def test_temporal_saes_steer_a_generation_as_they_steer_the_whole_text(llama: LanguageModel, name: str, method: str) -> None:
    place = Placed(small_sae(name), (SITE,))
    steering = edits(method, place, (3, 12.0), (7, 5.0))
    done = llama.generate(PROMPTS, edits=steering, max_new_tokens=N_NEW)
    assert [g.token_ids for g in done] == [recomputed(llama, p, steering) for p in PROMPTS]
    assert done != llama.generate(PROMPTS, max_new_tokens=N_NEW)
    assert done == llama.generate(PROMPTS, edits=steering, max_new_tokens=N_NEW)  # nothing of the last one is left


def test_logits_of_a_temporal_sae_in_a_generation_are_those_of_the_whole_text(llama: LanguageModel) -> None:
    steering = edits("clamp", Placed(small_sae("tfa"), (SITE,)), (3, 12.0))
    seen: list[Tensor] = []
    last = Site("resid_post", 2)

    class Note:
        site = last

        def __call__(self, x: Tensor, context: object) -> Tensor:
            seen.append(x[:, -1])
            return x

    (done,) = llama.generate(PROMPTS[:1], edits=[*steering, Note()], max_new_tokens=6)
    whole = torch.tensor([[*done.prompt_ids, *done.token_ids]])
    x = llama.capture(whole, [last], edits=steering)[last]
    torch.testing.assert_close(llama.unembed(torch.cat(seen)), llama.unembed(x[0, 6:-1]), atol=1e-4, rtol=0)


def _started(sae: SAE, d: int, n_sites: int) -> SAE:
    sae.start(3 * torch.randn(200, n_sites, d, generator=torch.Generator().manual_seed(2)) + 1)
    return sae.requires_grad_(False)


PLACES = {
    "mlsae": (MLSAE.Config(d_in=20, n_latents=23, k=5, n_sites=3), [Site("resid_post", i) for i in range(3)]),
    "transcoder": (Transcoder.Config(d_in=20, n_latents=23, k=5, n_sites=2), [Site("mlp_in", 1), Site("mlp_out", 1)]),
    "crosscoder": (Crosscoder.Config(d_in=20, n_latents=23, k=5, n_sites=3), [Site("resid_post", i) for i in range(3)]),
    "clt": (
        CLT.Config(d_in=20, n_latents=23, k=5, n_sites=4),
        [Site("mlp_in", 0), Site("mlp_in", 1), Site("mlp_out", 0), Site("mlp_out", 1)],
    ),
}


def _placed(name: str) -> Placed:
    config, sites = PLACES[name]
    return Placed(_started(SAES.get(name)(config), 20, len(sites)), tuple(sites))


@pytest.mark.parametrize("name", PLACES)
def test_an_sae_of_several_sites_adds_its_difference_at_each_output(llama: LanguageModel, tokens: Tensor, name: str) -> None:
    place = _placed(name)
    last = place.outputs[-1]
    steering = edits("clamp", place, (3, 4.0))
    after = llama.capture(tokens, [*place.sites], edits=steering)
    mask = llama.editable(tokens)
    here = {**after, **llama.capture(tokens, [last], edits=[edit for edit in steering if edit.site != last])}
    codes = place.encode(here, mask)  # what the SAE read, the last output as it was before its own edit
    dense = codes.dense().clone()
    dense[..., 3] = 4.0
    moved = place.sae.decode(codes.with_all(dense)) - place.sae.decode(codes)
    moved = moved[..., place.outputs.index(last), :] if place.sae.reads == "layers" else moved
    torch.testing.assert_close(after[last][mask], here[last][mask] + moved, atol=1e-4, rtol=1e-4)
    assert moved.abs().max() > 0.1
    done = llama.generate(PROMPTS[1:], edits=steering, max_new_tokens=N_NEW)
    assert [g.token_ids for g in done] == [recomputed(llama, p, steering) for p in PROMPTS[1:]]


@pytest.mark.parametrize("name", PLACES)
def test_what_a_latent_writes_at_a_site_is_added_there(llama: LanguageModel, tokens: Tensor, name: str) -> None:
    place = _placed(name)
    site = place.outputs[0]
    (edit,) = STEERING.get("additive")().edits(place, [Aim(3, Strength(2.0, "raw"))], sites=[site])
    x, after = (llama.capture(tokens, [site], edits=some)[site] for some in ([], [edit]))
    codes = place.encode(llama.capture(tokens, place.sites), llama.editable(tokens))
    dense = codes.dense().clone()
    dense[..., 3] += 2.0
    moved = place.sae.decode(codes.with_all(dense)) - place.sae.decode(codes)
    moved = moved[..., 0, :] if place.sae.reads == "layers" else moved
    if name == "mlsae":  # standardised: what a code decodes to differs from token to token; the decoder's row is what is added
        moved = 2.0 * place.sae.W_dec[3].expand_as(moved)
    torch.testing.assert_close((after - x)[:, 1:].flatten(0, 1), moved, atol=1e-4, rtol=1e-4)


def test_one_code_for_all_sites_is_changed_at_the_last_alone() -> None:
    place = _placed("crosscoder")
    method = STEERING.get("clamp")()
    aims = [Aim(3, Strength(4.0, "raw"))]
    assert {edit.site for edit in method.edits(place, aims)} == set(place.sites)  # looks, and one edit
    with pytest.raises(SiteError, match=r"known only at resid_post\.2"):
        method.edits(place, aims, sites=[Site("resid_post", 0)])


def test_standardised_codes_write_no_fixed_vector() -> None:
    place = Placed(small_sae("normalized_topk"), (SITE,))
    with pytest.raises(ConfigError, match="Give the strength as norm"):
        STEERING.get("additive")().edits(place, [Aim(3, Strength(1.0, "max"), LatentFacts(maximum=5.0))])
