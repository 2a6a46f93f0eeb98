"""Models of TransformerLens and nnsight as ours, and SAEs as hooks of TransformerLens, on stand-ins with the same parts."""

import copy
from types import SimpleNamespace

import pytest
import torch

from monoseme.adapters import from_nnsight, from_transformer_lens, fwd_hooks
from monoseme.core.errors import ConfigError, ModelError, SiteError
from monoseme.models import EditContext, FunctionEdit, LanguageModel, Site
from monoseme.saes import Codes, build
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.splice import splice
from monoseme.testing.models import tiny_model
from tests.adapters.fake_hooked import FakeHooked

SITE = Site.parse("resid_post.1")


@pytest.fixture(scope="module")
def reference() -> LanguageModel:
    return tiny_model("gpt2")


@pytest.fixture(scope="module")
def hooked(reference: LanguageModel) -> FakeHooked:
    return FakeHooked(copy.deepcopy(reference._model), reference.tokenizer)


@pytest.fixture(scope="module")
def model(hooked: FakeHooked) -> LanguageModel:
    return from_transformer_lens(hooked)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(2, 200, (2, 9), generator=torch.Generator().manual_seed(0))


REAL = torch.tensor([[False] * 3 + [True] * 6, [True] * 9])


def test_it_has_the_same_activations_at_its_hook_points(
    reference: LanguageModel, model: LanguageModel, tokens: torch.Tensor
) -> None:
    assert model.spec.kinds == ("resid_pre", "head_out", "attn_out", "mlp_in", "mlp_out", "resid_post")
    for site in (Site(kind, layer) for kind in model.spec.kinds for layer in range(model.spec.n_layers)):
        for real in (None, REAL):
            seen = torch.ones_like(REAL) if real is None else real
            ours, theirs = (each.capture(tokens, [site], real=real)[site][seen] for each in (reference, model))
            torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5 * float(ours.abs().max()))


def test_an_edit_acts_the_same_at_every_kind_of_site(
    reference: LanguageModel, model: LanguageModel, tokens: torch.Tensor
) -> None:
    for kind in model.spec.kinds:
        edit = FunctionEdit(Site(kind, 1), lambda x, context: x * (1 - 0.5 * context.mask[..., None]))
        ours, theirs = (each.run(tokens, edits=[edit], real=REAL).logits[REAL] for each in (reference, model))
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5 * float(ours.abs().max()))


def test_texts_of_several_lengths_go_on_the_same_with_kept_keys_and_values(
    reference: LanguageModel, model: LanguageModel
) -> None:
    prompts = ["the cat sat", "a big red sun over two hills the"]
    half = FunctionEdit(SITE, lambda x, context: x * (1 - 0.5 * context.mask[..., None]))
    for edits in ([], [half]):
        ours, theirs = (each.generate(prompts, max_new_tokens=9, edits=edits) for each in (reference, model))
        assert [row.token_ids for row in theirs] == [row.token_ids for row in ours]


def test_it_runs_from_a_site_behind_a_prefix_and_to_logits(
    reference: LanguageModel, model: LanguageModel, tokens: torch.Tensor
) -> None:
    x = reference.capture(tokens, [SITE])[SITE]
    torch.testing.assert_close(model.run_from(SITE, x, tokens=tokens), reference.run_from(SITE, x, tokens=tokens))
    rows = torch.tensor([0, 1, 1])
    ours, theirs = (
        each.prefix(tokens[:, :5]).run(tokens[rows, 5:], rows=rows, n_seen=torch.tensor([2, 3, 5])).logits
        for each in (reference, model)
    )
    torch.testing.assert_close(theirs, ours)
    torch.testing.assert_close(model.unembed(x), reference.unembed(x))
    torch.testing.assert_close(model.final_norm_scale(), reference.final_norm_scale())
    assert torch.equal(model.embedding(), reference.embedding())


def test_gradients_reach_captured_tensors(reference: LanguageModel, model: LanguageModel, tokens: torch.Tensor) -> None:
    runs = [each.run(tokens, capture=[SITE], grad=True) for each in (reference, model)]
    ours, theirs = (torch.autograd.grad(run.logits[:, -1, 7].sum(), run.captured[SITE])[0] for run in runs)
    torch.testing.assert_close(theirs, ours)


def test_processed_weights_are_refused_unless_they_are_wanted(reference: LanguageModel) -> None:
    folded = FakeHooked(copy.deepcopy(reference._model), reference.tokenizer, normalization_type="LNPre")
    with pytest.raises(ModelError, match=r"folded.*\n.*from_pretrained_no_processing"):
        from_transformer_lens(folded)
    assert "mlp_in" not in from_transformer_lens(folded, processed=True).spec.kinds
    centred = FakeHooked(copy.deepcopy(reference._model), reference.tokenizer)
    with torch.no_grad():
        centred.embed.W_E -= centred.embed.W_E.mean(-1, keepdim=True)
    with pytest.raises(ModelError, match="centred"):
        from_transformer_lens(centred)


def test_a_bridge_and_a_model_of_nnsight_are_the_model_inside(reference: LanguageModel, tokens: torch.Tensor) -> None:
    bridge = SimpleNamespace(original_model=reference._model, tokenizer=reference.tokenizer, cfg=SimpleNamespace(model_name="b"))
    envoy = SimpleNamespace(_module=reference._model, tokenizer=reference.tokenizer)
    for made in (from_transformer_lens(bridge), from_nnsight(envoy)):
        assert made.spec == reference.spec
        assert torch.equal(made.run(tokens).logits, reference.run(tokens).logits)
    bridge.compatibility_mode = True
    with pytest.raises(ModelError, match="compatibility mode"):
        from_transformer_lens(bridge)


def test_what_is_missing_is_said(reference: LanguageModel, hooked: FakeHooked) -> None:
    with pytest.raises(ModelError, match="tokenizer="):
        from_nnsight(SimpleNamespace(_module=reference._model))
    with pytest.raises(ModelError, match="holds no model of transformers"):
        from_nnsight(SimpleNamespace(tokenizer=reference.tokenizer))
    with pytest.raises(ModelError, match=r"model\.dispatch\(\)"):
        from_nnsight(SimpleNamespace(_module=torch.nn.Linear(2, 2, device="meta"), tokenizer=reference.tokenizer))
    with pytest.raises(ModelError, match="tokenizer="):
        from_transformer_lens(SimpleNamespace(cfg=hooked.cfg))


def _sae(x: torch.Tensor) -> TopK:
    sae = build(TopK.Config(d_in=x.shape[-1], n_latents=40, k=4))
    sae.start(x.flatten(0, -2))
    return sae


@pytest.mark.parametrize("kind", ["resid_post", "head_out", "mlp_out"])
def test_a_hook_is_the_splice(hooked: FakeHooked, model: LanguageModel, tokens: torch.Tensor, kind: str) -> None:
    site = Site(kind, 1)
    sae = _sae(model.capture(tokens, [site])[site])
    mask = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(1)) < 0.6
    seen: list[torch.Tensor] = []

    def doubled(codes: Codes, context: EditContext) -> Codes:
        seen.append(context.tokens[context.mask])
        return codes.with_all(2 * codes.dense())

    for settings in ({}, {"error_term": True, "change": doubled}):
        wanted = model.run(tokens, edits=[splice(sae, site, **settings)], mask=mask).logits
        given = hooked.run_with_hooks(tokens, fwd_hooks=fwd_hooks(sae, site=site, mask=mask, tokens=tokens, **settings))
        torch.testing.assert_close(given, wanted)
        assert not torch.allclose(wanted, hooked(tokens))
    assert torch.equal(seen[0], tokens[mask])
    assert torch.equal(seen[1], tokens[mask])
    kept = hooked.run_with_hooks(tokens, fwd_hooks=fwd_hooks(sae, site=site, error_term=True))
    assert torch.equal(kept, hooked(tokens))


def test_hooks_say_what_they_cannot_do(hooked: FakeHooked, model: LanguageModel, tokens: torch.Tensor) -> None:
    sae = _sae(model.capture(tokens, [SITE])[SITE])
    with pytest.raises(SiteError, match=r"no name for mlp_in\.1"):
        fwd_hooks(sae, site="mlp_in.1")
    with pytest.raises(SiteError, match=r"mask of \(2, 4\) for activations of \(2, 9\)"):
        hooked.run_with_hooks(tokens, fwd_hooks=fwd_hooks(sae, site=SITE, mask=torch.ones(2, 4, dtype=torch.bool)))
    with pytest.raises(ConfigError, match=r"mask=torch\.ones_like"):
        fwd_hooks(build(TFA.Config(d_in=20, n_latents=32, k=4)), site=SITE)
