"""Fidelity of SAEs of contexts and of several sites: each output site measured as if alone, then the mean."""

from dataclasses import fields, replace
from types import SimpleNamespace

import pytest
import torch
from tests.saes._subjects import subject as architecture
from tests.splice.test_placed import EachSite, Linear, OneCode, SoFar, Transcode
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation.fidelity import Fidelity
from monoseme.evaluation.layer_spread import LayerSpread
from monoseme.evaluation.predicted_share import PredictedShare
from monoseme.evaluation.smoothness import Smoothness
from monoseme.models import LanguageModel, Site
from monoseme.models.edit import FunctionEdit
from monoseme.saes import SAES, Codes
from monoseme.splice.next_token import predictions
from monoseme.testing.models import tiny_model
from monoseme.testing.sources import TensorSource

_N, _S, _D = 5, 11, 7
_SITES = tuple(Site("resid_post", layer) for layer in range(4))


def _source(seed: int = 0) -> TensorSource:
    gen = torch.Generator().manual_seed(seed)
    x = {site: torch.randn(_N, _S, _D, generator=gen) + layer for layer, site in enumerate(_SITES)}
    mask = torch.rand(_N, _S, generator=gen) > 0.2
    return TensorSource(x, mask=mask, documents=torch.arange(_N)[:, None].expand(_N, _S) // 2)


def _measure(sae, sites: tuple[Site, ...], source: TensorSource, **given) -> EvalResult:
    subject = EvalSubject(name="s", sae=sae, sites=sites, source=source, **given)
    return Fidelity(Fidelity.Config(batch_contexts=2, n_replicates=20)).run(subject)


def test_each_site_is_measured_as_if_alone_and_the_result_is_the_mean():
    source = _source()
    found = _measure(EachSite(), _SITES, source, domain_of=lambda d: "odd" if d % 2 else "even")
    rows = {(row["site"], row["metric"]): row for row in found.tables["sites"].to_pylist()}
    alone = {site: _measure(Linear(), (site,), source, domain_of=lambda d: "odd" if d % 2 else "even") for site in _SITES}
    for metric in found.metrics:
        each = [alone[site][metric.name] for site in _SITES]
        for site, single in zip(_SITES, each, strict=True):
            row = rows[str(site), metric.name]
            assert row["value"] == pytest.approx(single.value, rel=1e-5) if single.value is not None else row["value"] is None
        if metric.value is not None and metric.name not in ("dead_fraction", "dense_fraction"):
            assert metric.value == pytest.approx(sum(m.value for m in each) / 4, rel=1e-5)
            assert metric.standard_error == pytest.approx(sum(m.standard_error for m in each) / 4, rel=1e-3)
            assert metric.n == min(m.n for m in each)
    odd = next(row for row in found.tables["domains"].to_pylist() if (row["domain"], row["metric"]) == ("odd", "fvu"))
    singles = [
        next(r["value"] for r in alone[site].tables["domains"].to_pylist() if (r["domain"], r["metric"]) == ("odd", "fvu"))
        for site in _SITES
    ]
    assert odd["value"] == pytest.approx(sum(singles) / 4, rel=1e-5)
    assert "means over the output sites" in found.facts["over_sites"]
    assert "sites" not in alone[_SITES[0]].tables


class _Dying(EachSite):
    """Latent 0 fires at the first site only, latent 1 at none."""

    def encode(self, x: Tensor, state=None):
        codes = super().encode(x).dense() + 1
        codes[..., 1:, 0] = 0
        codes[..., 1] = 0
        return Codes({"all": codes})


def test_a_latent_is_dead_when_it_fires_at_no_site():
    found = _measure(_Dying(), _SITES, _source())
    rows = {row["site"]: row["value"] for row in found.tables["sites"].to_pylist() if row["metric"] == "dead_fraction"}
    assert [rows[str(site)] for site in _SITES] == pytest.approx([1 / 11, 2 / 11, 2 / 11, 2 / 11])
    assert found["dead_fraction"].value == pytest.approx(1 / 11)
    assert found["dense_fraction"].value == pytest.approx(10 / 11)
    n_tokens = found["fvu"].n
    assert found.tables["latents"].to_pydict()["count"][:3] == [n_tokens, 0, 4 * n_tokens]
    assert sum(found.tables["l0"].to_pydict()["n_tokens"]) == 4 * n_tokens


def test_one_code_is_counted_once():
    found = _measure(OneCode(), _SITES, _source())
    assert sum(found.tables["l0"].to_pydict()["n_tokens"]) == found["fvu"].n
    rows = {row["site"]: row["value"] for row in found.tables["sites"].to_pylist() if row["metric"] == "l0"}
    assert set(rows.values()) == {found["l0"].value}


def test_a_metric_that_one_site_lacks_is_missing():
    source = _source()
    source._activations[_SITES[2]] = torch.full((_N, _S, _D), 3.0)
    found = _measure(EachSite(), _SITES, source)
    assert found["fvu"].why_missing == "at resid_post.2: x has no variance on these tokens"
    assert found["mse"].value is not None


def test_a_subject_needs_its_sites():
    with pytest.raises(ConfigError, match='the subject "s" has no site'):
        EvalSubject(name="s", sae=Linear(), source=_source(), sites=())
    with pytest.raises(ConfigError, match="learns from one site, not 2"):
        EvalSubject(name="s", sae=SAES.get("topk")(architecture("topk").small), source=_source(), sites=_SITES[:2])
    assert EvalSubject(name="s", sae=Transcode(), source=_source(), sites=_SITES[1:3]).site == _SITES[1]


def test_two_models_side_by_side_have_no_losses():
    sites = (Site.parse("resid_post.1@base"), Site.parse("resid_post.1@chat"), *_SITES[:2])
    gen = torch.Generator().manual_seed(0)
    source = TensorSource({site: torch.randn(_N, _S, _D, generator=gen) for site in sites})
    found = _measure(OneCode(), sites, source, model=tiny_model("llama"))
    assert found["ce_spliced"].why_missing == "its sites are of the models base, chat, and one model was given"
    assert found["fvu"].value is not None


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def text(model: LanguageModel) -> SimpleNamespace:
    gen = torch.Generator().manual_seed(5)
    tokens = torch.randint(2, model.spec.vocab_size, (_N, _S), generator=gen)
    tokens[:, 0] = 1
    mask = (tokens != 1) & (torch.rand(_N, _S, generator=gen) > 0.1)
    documents = torch.arange(_N)[:, None].expand(_N, _S).clone()
    documents[::2, 6:] += 10
    sites = model.spec.sites("resid_post.*,mlp_in.*,mlp_out.*")
    x = model.capture(tokens, sites)
    source = TensorSource(x, tokens=tokens, mask=mask, documents=documents)
    return SimpleNamespace(tokens=tokens, mask=mask, documents=documents, x=x, source=source)


def _small(name: str, model: LanguageModel):
    """The architecture on the tiny model, started, and its sites."""
    cls, width = SAES.get(name), model.spec.d_model
    sites = tuple(Site.parse(site) for site in cls.default_sites(model.spec.n_layers))
    small = architecture(name).small
    changes = {"d_in": width} | ({"n_sites": len(sites)} if "n_sites" in {f.name for f in fields(small)} else {})
    if name == "identity":
        changes["n_latents"] = 2 * width
    sae = cls(replace(small, **changes))
    between = {"tokens": (), "pairs": (2,), "contexts": (3,), "layers": (len(sites),)}[sae.learns_from]
    sae.start(torch.randn(101, *between, width, generator=torch.Generator().manual_seed(0)))
    return sae, sites


@pytest.mark.parametrize("name", ["transcoder", "crosscoder", "clt", "mlsae", "tfa"])
def test_losses_are_those_of_one_site_replaced_at_a_time(model: LanguageModel, text: SimpleNamespace, name: str):
    sae, sites = _small(name, model)
    subject = EvalSubject(name=name, sae=sae, sites=sites, source=text.source, model=model)
    found = Fidelity(Fidelity.Config(batch_contexts=_N, n_replicates=2)).run(subject)
    counts = predictions(text.mask, real=torch.ones_like(text.mask), documents=text.documents)
    expected = []
    with torch.no_grad():
        for read in subject.placed.read(text.x, text.mask):
            x = text.x[read.site].clone()
            x[text.mask] = read.x_hat
            logits = model.run(text.tokens, edits=(FunctionEdit(read.site, lambda _, __, x=x: x),)).logits
            log_p = logits[:, :-1].log_softmax(-1).gather(2, text.tokens[:, 1:, None]).squeeze(2)
            expected.append(-float(log_p[counts[:, :-1]].double().mean()))
    assert found["ce_spliced"].value == pytest.approx(sum(expected) / len(expected), rel=2e-5)
    if len(expected) > 1:
        rows = [row["value"] for row in found.tables["sites"].to_pylist() if row["metric"] == "ce_spliced"]
        assert rows == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("name", SAES.names())
def test_every_architecture_is_measured_by_every_evaluation(model: LanguageModel, text: SimpleNamespace, name: str):
    sae, sites = _small(name, model)
    subject = EvalSubject(name=name, sae=sae, sites=sites, source=text.source, model=model)
    fidelity = Fidelity(Fidelity.Config(n_replicates=2)).run(subject)
    assert fidelity["fvu"].value is not None
    assert fidelity["ce_spliced"].value is not None
    assert Smoothness(Smoothness.Config(n_replicates=2)).run(subject)["smoothness_tv"].value is not None
    spread = LayerSpread(LayerSpread.Config(n_replicates=2)).run(subject)
    assert (spread["var_layer"].value is not None) == (sae.codes_per_site and len(sites) > 1)
    share = PredictedShare(PredictedShare.Config(n_replicates=2)).run(subject)
    assert (share["fvu_both"].value is not None) == ({"predicted", "novel"} <= set(sae.parts))
    if share["fvu_both"].value is not None:
        assert share["fvu_both"].value == pytest.approx(fidelity["fvu"].value, rel=1e-4)


def test_a_reader_of_contexts_is_measured_with_what_its_context_says():
    source = _source()
    found = _measure(SoFar(), _SITES[:1], source)
    block = source.block(0)
    (read,) = EvalSubject(name="s", sae=SoFar(), sites=_SITES[:1], source=source).placed.read(
        {_SITES[0]: source._activations[_SITES[0]]}, source._mask
    )
    x = read.x.double()
    fvu = float((x - read.x_hat.detach().double()).square().sum() / (x - x.mean(0)).square().sum())
    assert found["fvu"].value == pytest.approx(fvu, rel=1e-6)
    assert block.mask.any()
