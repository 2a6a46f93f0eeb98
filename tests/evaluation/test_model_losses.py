"""The model's losses against plain runs of the model, position by position."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation.fidelity import Fidelity
from monoseme.models import LanguageModel, Site
from monoseme.models.edit import EditContext, FunctionEdit
from monoseme.saes import SAE, Codes
from monoseme.testing.models import tiny_model
from monoseme.testing.sources import TensorSource

_N, _S = 7, 11
_SITE = Site("resid_post", 1)
# Logits of a float32 model of width < 64 differ by about 1e-6 when batches are cut otherwise; losses are of order 1 to 10.
_FLOAT32 = 2e-5


class _FunctionSae:
    """Reconstructs x as a function of x; its codes are x itself."""

    learns_from = reads = "tokens"
    codes_per_site = False
    roles = SAE.roles
    encode_contexts = SAE.encode_contexts

    def __init__(self, function, *, width: int) -> None:
        self._function = function
        self.d_in = self.n_latents = width

    def encode(self, x: Tensor) -> Codes:
        return Codes({"all": x})

    def decode(self, codes: Codes) -> Tensor:
        return self._function(codes.dense())


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def text(model: LanguageModel) -> SimpleNamespace:
    """Packed contexts with BOS in front and inside, padding at the end of some, and a mask that leaves these out."""
    gen = torch.Generator().manual_seed(5)
    tokens = torch.randint(2, model.spec.vocab_size, (_N, _S), generator=gen)
    tokens[:, 0] = tokens[::2, 6] = 1
    documents = 2 * torch.arange(_N)[:, None].expand(_N, _S).clone()
    documents[::2, 6:] += 1
    documents[1::3, -3:] = -1
    mask = (documents >= 0) & (tokens != 1) & (torch.rand(_N, _S, generator=gen) > 0.1)
    x = model.capture(tokens, [_SITE], real=documents >= 0)[_SITE]
    source = TensorSource({_SITE: x}, tokens=tokens, mask=mask, documents=documents, contexts_per_block=3)
    return SimpleNamespace(tokens=tokens, documents=documents, mask=mask, real=documents >= 0, x=x, source=source)


def _measure(model: LanguageModel, text: SimpleNamespace, function, **settings: int) -> EvalResult:
    sae = _FunctionSae(function, width=text.x.shape[-1])
    subject = EvalSubject(
        name="given",
        sae=sae,
        sites=(_SITE,),
        source=text.source,
        model=model,
        domain_of=lambda document: "even" if document % 2 == 0 else "odd",
    )
    return Fidelity(Fidelity.Config(batch_contexts=3, n_replicates=20, **settings)).run(subject)


def _by_hand(model: LanguageModel, text: SimpleNamespace, replace) -> list[tuple[int, Tensor, int]]:
    """(document, log-probabilities [V] in float64, target) of every prediction that counts, from one plain run."""
    return [(d, logits.log_softmax(-1), target) for d, logits, target in _logits(model, text, replace)]


def _logit_mse(model: LanguageModel, text: SimpleNamespace, replace) -> float:
    pairs = zip(_logits(model, text, lambda x: x), _logits(model, text, replace), strict=True)
    return float(torch.stack([(b - a).square().mean() for (_, a, _), (_, b, _) in pairs]).mean())


def _logits(model: LanguageModel, text: SimpleNamespace, replace) -> list[tuple[int, Tensor, int]]:
    def put(x: Tensor, context: EditContext) -> Tensor:
        return torch.where(text.mask[..., None], replace(x), x)

    logits = model.run(text.tokens, edits=(FunctionEdit(_SITE, put),), real=text.real).logits.double()
    found = []
    for i in range(_N):
        for t in range(_S - 1):
            if text.mask[i, t] and text.real[i, t + 1] and text.documents[i, t] == text.documents[i, t + 1]:
                found.append((int(text.documents[i, t]), logits[i, t], int(text.tokens[i, t + 1])))
    return found


def _ce(predictions: list[tuple[int, Tensor, int]]) -> float:
    return float(torch.stack([-log_p[target] for _, log_p, target in predictions]).mean())


def test_losses_equal_plain_runs_of_the_model(model: LanguageModel, text: SimpleNamespace):
    found = _measure(model, text, lambda x: 0.8 * x + 0.1)
    mean = text.x[text.mask].double().mean(0).float()
    runs = {
        "ce_original": _by_hand(model, text, lambda x: x),
        "ce_spliced": _by_hand(model, text, lambda x: 0.8 * x + 0.1),
        "ce_zero": _by_hand(model, text, torch.zeros_like),
        "ce_mean": _by_hand(model, text, lambda x: mean.expand_as(x)),
    }
    for name, predictions in runs.items():
        assert found[name].value == pytest.approx(_ce(predictions), rel=_FLOAT32), name
        assert found[name].n == len(predictions)
    pairs = [(p, q) for (_, p, _), (_, q, _) in zip(runs["ce_original"], runs["ce_spliced"], strict=True)]
    kl = torch.stack([(p.exp() * (p - q)).sum() for p, q in pairs])
    back = torch.stack([(q.exp() * (q - p)).sum() for p, q in pairs])
    assert found["kl"].value == pytest.approx(float(kl.mean()), rel=1e-3)
    assert found["kl_reversed"].value == pytest.approx(float(back.mean()), rel=1e-3)
    assert found["kl_as_mlsae"].value == pytest.approx(float(back.sum() / _N), rel=1e-3)
    assert found["logit_mse"].value == pytest.approx(_logit_mse(model, text, lambda x: 0.8 * x + 0.1), rel=1e-3)
    assert found["ce_increase"].value == pytest.approx(_ce(runs["ce_spliced"]) - _ce(runs["ce_original"]), abs=1e-4)


def test_losses_by_domain(model: LanguageModel, text: SimpleNamespace):
    found = _measure(model, text, lambda x: 0.8 * x)
    for domain, parity in (("even", 0), ("odd", 1)):
        chosen = [p for p in _by_hand(model, text, lambda x: 0.8 * x) if p[0] % 2 == parity]
        rows = [r for r in found.tables["domains"].to_pylist() if r["domain"] == domain and r["metric"] == "ce_spliced"]
        assert rows[0]["value"] == pytest.approx(_ce(chosen), rel=_FLOAT32)
        assert rows[0]["n"] == len(chosen)


def test_a_perfect_sae_costs_nothing(model: LanguageModel, text: SimpleNamespace):
    found = _measure(model, text, lambda x: x)
    assert found["ce_spliced"].value == found["ce_original"].value
    assert found["ce_increase"].value == 0.0
    assert found["kl"].value == found["kl_reversed"].value == 0.0


def test_an_sae_of_zeros_equals_zero_ablation(model: LanguageModel, text: SimpleNamespace):
    found = _measure(model, text, torch.zeros_like)
    assert found["ce_spliced"].value == pytest.approx(found["ce_zero"].value, rel=1e-12)


def test_an_sae_of_the_mean_equals_mean_ablation(model: LanguageModel, text: SimpleNamespace):
    mean = text.x[text.mask].double().mean(0).float()
    found = _measure(model, text, lambda x: mean.expand_as(x))
    assert found["ce_spliced"].value == pytest.approx(found["ce_mean"].value, rel=_FLOAT32)


def test_recovery_is_missing_where_ablation_does_no_harm(model: LanguageModel, text: SimpleNamespace):
    # A random model predicts nothing, so both cases occur; each must be told apart from the other.
    found = _measure(model, text, lambda x: 0.8 * x)
    for recovered, baseline in (("ce_recovered", "ce_zero"), ("ce_recovered_mean", "ce_mean")):
        harm = found[baseline].value - found["ce_original"].value
        if harm > 0:
            assert found[recovered].value == pytest.approx((found[baseline].value - found["ce_spliced"].value) / harm)
        else:
            assert found[recovered].value is None
            assert "does not raise the cross-entropy" in found[recovered].why_missing


def test_cutting_forwards_changes_nothing_but_rounding(
    model: LanguageModel, text: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
):
    whole = _measure(model, text, lambda x: 0.8 * x)
    monkeypatch.setattr("monoseme.evaluation._model_losses._MAX_LOGITS", 1)
    cut = _measure(model, text, lambda x: 0.8 * x)
    for name in ("ce_original", "ce_spliced", "ce_zero", "ce_mean", "kl"):
        assert cut[name].value == pytest.approx(whole[name].value, rel=1e-4)
        assert cut[name].n == whole[name].n


def test_losses_can_be_measured_on_less_text(model: LanguageModel, text: SimpleNamespace):
    found = _measure(model, text, lambda x: x, max_loss_tokens=1)
    first = sum(document < 6 for document, _, _ in _by_hand(model, text, lambda x: x))
    assert found["ce_original"].n == first
    assert found["fvu"].n == int(text.mask.sum())


def test_several_saes_share_a_pass_and_get_what_each_gets_alone(model: LanguageModel, text: SimpleNamespace):
    width = text.x.shape[-1]
    saes = {"small": _FunctionSae(lambda x: 0.5 * x, width=width), "large": _FunctionSae(lambda x: 0.9 * x, width=width)}
    subjects = [EvalSubject(name=n, sae=s, sites=(_SITE,), source=text.source, model=model) for n, s in saes.items()]
    evaluation = Fidelity(Fidelity.Config(batch_contexts=3, n_replicates=20))
    together = evaluation.run_many(subjects)
    assert [found.metrics for found in together] == [evaluation.run(subject).metrics for subject in subjects]
    assert together[1]["ce_spliced"].value != together[0]["ce_spliced"].value
