"""An SAE as SAEBench takes one: the same codes and reconstructions, of every architecture that it can take; the rest refused."""

import json

import pytest
import torch

from monoseme.adapters import as_saebench, as_saelens
from monoseme.adapters.saebench import SaeBenchSAE
from monoseme.core.errors import ConfigError, ExtraMissingError, SiteError
from monoseme.saes import SAE, SAES
from monoseme.testing.subject import Subject, subject_of

PLACE = {"site": "resid_post.3", "model_name": "gpt2", "context_size": 64}
REFUSED = {
    "clt": "several",
    "crosscoder": "several",
    "lensed_topk": "more than that",
    "mlsae": "several",
    "normalized_topk": "decodes codes by themselves",
    "transcoder": "several",
}


def _subject(name: str) -> Subject:
    kind = SAES.get(name)
    small = {
        "identity": {"n_latents": 7},
        "matryoshka": {"n_latents": 11, "k": 2, "group_sizes": (5, 6)},
        "pca": {"n_latents": 7},
        "tfa": {"n_latents": 12, "k": 2},
    }.get(name)
    return subject_of(kind, small=kind.Config(d_in=7, **small) if small else None, planted=kind.Config() if small else None)


def _sae(name: str) -> SAE:
    sae = _subject(name).build()
    with torch.no_grad():
        sae.W_dec.mul_(torch.linspace(0.5, 2, len(sae.W_dec))[:, None])
    return sae


@pytest.fixture
def topk() -> SaeBenchSAE:
    return as_saebench(_sae("topk"), **PLACE)


@pytest.mark.parametrize("name", [name for name in SAES.names() if name not in REFUSED])
@pytest.mark.parametrize("unit_rows", [False, True])
@torch.no_grad()
def test_codes_and_reconstructions_are_the_saes(name: str, unit_rows: bool) -> None:
    sae = _sae(name)
    made = as_saebench(sae, **PLACE, unit_rows=unit_rows)
    x = 3 * torch.randn(5, 3, 7, generator=torch.Generator().manual_seed(2))
    wanted = sae.encode_contexts(x, torch.ones(5, 3, dtype=torch.bool)) if sae.reads == "contexts" else sae.encode(x)
    codes = made.encode(x)
    assert codes.shape == (5, 3, sae.n_latents)
    scale = float(sae.decode(wanted).abs().max())
    torch.testing.assert_close(made.decode(codes), sae.decode(wanted), rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(made(x), made.decode(codes))
    # Reconstructions by the arrays that SAEBench sees.
    torch.testing.assert_close(codes @ made.W_dec + made.b_dec, sae.decode(wanted), rtol=0, atol=1e-5 * scale)
    if unit_rows:
        assert made.check_decoder_norms()
    else:
        torch.testing.assert_close(codes, wanted.dense(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_saebench_cannot_take_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises((SiteError, ConfigError), match=REFUSED[name]):
        as_saebench(_subject(name).build(), **PLACE)


def test_an_encoder_that_is_linear_can_be_used_by_its_arrays() -> None:
    sae = _sae("relu")
    made = as_saebench(sae, **PLACE, unit_rows=True)
    x = torch.randn(11, 7, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(((x - made.b_dec) @ made.W_enc + made.b_enc).relu(), made.encode(x), rtol=1e-4, atol=1e-5)
    assert made.cfg.notes == ()


def test_what_stands_in_for_an_encoder_is_said() -> None:
    made = as_saebench(_sae("matching_pursuit"), **PLACE)
    assert torch.equal(made.W_enc, made.W_dec.T)
    assert "no encoder matrix" in made.cfg.notes[0]


def test_our_sae_is_left_alone() -> None:
    sae = _sae("topk")
    before = {name: tensor.clone() for name, tensor in sae.state_dict().items()}
    made = as_saebench(sae, **PLACE, unit_rows=True)
    made.W_dec.data.zero_()
    made.to(torch.bfloat16)
    assert all(torch.equal(tensor, before[name]) for name, tensor in sae.state_dict().items())
    assert sae.W_dec.requires_grad


def test_a_change_of_type_leaves_what_computes(topk: SaeBenchSAE) -> None:
    x = torch.randn(11, 7, generator=torch.Generator().manual_seed(2))
    before = topk.encode(x)
    topk.to(device="cpu", dtype=torch.bfloat16)
    assert (topk.dtype, topk.W_enc.dtype, topk.cfg.dtype, topk.cfg.device) == (torch.bfloat16, torch.bfloat16, "bfloat16", "cpu")
    assert torch.equal(topk.encode(x), before.to(torch.bfloat16))
    assert torch.equal(topk.encode(x) != 0, before != 0)
    assert topk.decode(topk.encode(x)).dtype is torch.bfloat16


def test_the_settings_are_those_of_saebench_and_go_into_its_files(topk: SaeBenchSAE) -> None:
    cfg = topk.cfg
    assert (cfg.hook_name, cfg.hook_layer, cfg.model_name, cfg.context_size) == ("blocks.3.hook_resid_post", 3, "gpt2", 64)
    assert (cfg.d_in, cfg.d_sae, cfg.architecture, cfg.prepend_bos) == (7, 11, "topk", True)
    cfg.metadata = object()  # as SAEBench does
    assert json.loads(json.dumps(cfg.to_dict()))["trained_as"] == "topk"
    assert not topk.check_decoder_norms()


def test_an_sae_of_contexts_refuses_loose_rows() -> None:
    with pytest.raises(SiteError, match=r"whole contexts \[n, S, D\], and it was given \(5, 7\)"):
        as_saebench(_sae("tfa"), **PLACE).encode(torch.randn(5, 7))


def test_a_site_without_a_hook_is_refused() -> None:
    with pytest.raises(SiteError, match=r"no name for mlp_in\.3"):
        as_saebench(_sae("topk"), **(PLACE | {"site": "mlp_in.3"}))


def test_saelens_is_asked_for_where_it_is_not_installed() -> None:
    with pytest.raises(ExtraMissingError, match=r"monoseme\[saelens\]"):
        as_saelens(_sae("topk"), **PLACE)
