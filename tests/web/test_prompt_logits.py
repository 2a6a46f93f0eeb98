"""What comes next: unchanged, with the reconstruction in place, and steered, against runs of the whole model."""

from typing import Any

import pytest
import torch

from monoseme.models import FunctionEdit, Site, replacement
from monoseme.splice import Placed, splice
from monoseme.steering import STEERING, Aim, Strength

from .prompt_run import ONE, SITES, TEXT, F, PromptRun

_AT = 5


@pytest.fixture(scope="module")
def run(prompt_run: PromptRun) -> PromptRun:
    return prompt_run


def _tokens(run: PromptRun) -> torch.Tensor:
    return torch.tensor([run.model.encode(TEXT)])


def _logits(run: PromptRun, *edits: Any) -> torch.Tensor:
    return run.model.run(_tokens(run), edits=edits).logits[0, _AT].double()


def _agrees(shown: dict[str, Any], logits: torch.Tensor, before: torch.Tensor) -> None:
    """Every number of one column is that of these logits; the lists are the largest, and in order."""
    change = logits - before
    for name, of in (("top", logits), ("gain", change), ("loss", -change)):
        ids = [token["id"] for token in shown[name]]
        assert [float(of[i]) for i in ids] == pytest.approx(of.topk(len(ids)).values.tolist(), abs=1e-4), name
    for token in (*shown["top"], *shown["gain"], *shown["loss"], shown["next"]):
        assert token["logit"] == pytest.approx(float(logits[token["id"]]), abs=1e-4)
        assert token["change"] == pytest.approx(float(change[token["id"]]), abs=2e-4)
        assert token["probability"] == pytest.approx(float(logits.softmax(0)[token["id"]]), rel=1e-3)
    log_p, log_q = before.log_softmax(0), logits.log_softmax(0)
    assert shown["kl"] == pytest.approx(float((log_p.exp() * (log_p - log_q)).sum()), rel=1e-3, abs=1e-6)


def test_the_input_column_is_the_model_as_it_is(run: PromptRun) -> None:
    answer = run.ask("topk", "/logits", position=_AT, top=7)
    logits, tokens = _logits(run), _tokens(run)[0].tolist()
    assert [token["id"] for token in answer["input"]["top"]] == logits.topk(7).indices.tolist()
    assert answer["input"]["next"]["id"] == tokens[_AT + 1]
    assert (answer["input"]["kl"], answer["input"]["gain"], answer["input"]["loss"]) == (None, [], [])
    assert (answer["steered"], answer["maximum"]) == (None, None)
    assert "no latent" in answer["why_not_steered"]


@pytest.mark.parametrize("sae", ["topk", "tsae", "tfa"])
def test_the_reconstruction_is_what_a_splice_of_the_sae_gives(run: PromptRun, sae: str) -> None:
    answer = run.ask(sae, "/logits", position=_AT)
    assert answer["sites"] == list(ONE)
    _agrees(answer["reconstruction"], _logits(run, splice(run.saes[sae], Site.parse(ONE[0]))), _logits(run))


@pytest.mark.parametrize(("sae", "site"), [("mlsae", SITES[0]), ("mlsae", SITES[2]), ("crosscoder", SITES[1])])
def test_the_reconstruction_of_several_sites_goes_in_at_the_one_chosen(run: PromptRun, sae: str, site: str) -> None:
    placed = Placed(run.saes[sae], tuple(Site.parse(name) for name in SITES[: 3 if sae == "mlsae" else 2]))
    tokens = _tokens(run)
    mask = run.model.editable(tokens)
    activations = run.model.capture(tokens, placed.inputs)
    found = next(read for read in placed.read(activations, mask) if str(read.site) == site)
    x = activations[found.site].clone()
    x[mask] = found.x_hat.detach()
    answer = run.ask(sae, "/logits", position=_AT, site=site)
    assert answer["site"] == site
    _agrees(answer["reconstruction"], _logits(run, replacement(found.site, x)), _logits(run))


@pytest.mark.parametrize(("site", "factor"), [(SITES[0], 8.0), (SITES[1], -3.5)])
def test_mlsaes_factor_adds_so_much_of_the_decoder_row_at_every_token_read(run: PromptRun, site: str, factor: float) -> None:
    row = factor * run.saes["mlsae"].W_dec[11].detach()
    edit = FunctionEdit(Site.parse(site), lambda x, context: x + context.mask[..., None] * row)
    answer = run.ask("mlsae", "/logits", position=_AT, site=site, latent=11, strength=factor)
    _agrees(answer["steered"], _logits(run, edit), _logits(run))


@pytest.mark.parametrize(
    ("sae", "method", "unit"),
    [("topk", "clamp", "raw"), ("tfa", "clamp", "raw"), ("mlsae", "h_bias", "raw"), ("topk", "projection_cap", "norm")],
)
def test_other_methods_do_what_they_do_elsewhere(run: PromptRun, sae: str, method: str, unit: str) -> None:
    site = Site.parse(SITES[1])
    placed = Placed(run.saes[sae], tuple(Site.parse(name) for name in (SITES if sae == "mlsae" else ONE)))
    x = run.model.capture(_tokens(run), [site])[site][0, 1:]
    length = float(run.saes[sae].W_dec[3].detach().norm())
    amount = 4.0 if unit == "raw" else 0.1 * float(x.norm(dim=1).mean()) / length
    edits = STEERING.get(method)().edits(placed, [Aim(3, Strength(amount, "raw"))], sites=[site])
    answer = run.ask(
        sae, "/logits", position=_AT, site=str(site), latent=3, strength=4.0 if unit == "raw" else 0.1, unit=unit, method=method
    )
    assert answer["why_not_steered"] is None
    _agrees(answer["steered"], _logits(run, *edits), _logits(run))


def test_without_the_error_term_only_the_reconstruction_is_left(run: PromptRun) -> None:
    answer = run.ask("topk", "/logits", position=_AT, latent=3, strength=0, method="code_add", unit="raw", error_term=False)
    for steered, rebuilt in zip(answer["steered"]["top"], answer["reconstruction"]["top"], strict=True):
        assert (steered["id"], steered["logit"]) == (rebuilt["id"], pytest.approx(rebuilt["logit"], abs=1e-4))


def test_nothing_moves_at_strength_0(run: PromptRun) -> None:
    steered = run.ask("topk", "/logits", latent=3, strength=0)["steered"]
    assert (steered["kl"], steered["gain"], steered["loss"]) == (0, [], [])
    assert {token["change"] for token in steered["top"]} == {0}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"method": "nothing"}, "nothing"),
        ({"latent": F}, "counted from 0"),
        ({"unit": "max"}, "largest activation"),
        ({"method": "swap"}, "pairs"),
        ({"method": "additive", "error_term": True}, "error_term"),
    ],
)
def test_what_a_method_cannot_do_is_the_reason_why_nothing_is_steered(run: PromptRun, query: dict[str, Any], why: str) -> None:
    answer = run.ask("topk", "/logits", **{"latent": 3, **query})
    assert answer["steered"] is None
    assert why in answer["why_not_steered"]
    assert answer["reconstruction"]["top"]


def test_a_slider_runs_the_model_once_a_step(run: PromptRun) -> None:
    run.ask("topk", "/logits", text="the big cat")
    before = run.n_calls
    run.ask("topk", "/logits", text="the big cat", latent=3, strength=1)
    run.ask("topk", "/logits", text="the big cat", latent=3, strength=2)
    assert run.n_calls == before + 2


def test_the_last_token_is_looked_at_where_none_is_named(run: PromptRun) -> None:
    answer = run.ask("topk", "/logits")
    assert answer["position"] == _tokens(run).shape[1] - 1
    assert answer["input"]["next"] is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"site": "resid_post.0"}, 404),
        ({"site": "nowhere"}, 404),
        ({"position": 400}, 404),
        ({"position": -1}, 422),
        ({"top": 101}, 422),
        ({"strength": "nan"}, 422),
        ({"strength": "inf"}, 422),
        ({"strength": 1e9}, 422),
        ({"unit": "volts"}, 422),
        ({"shape": "round"}, 422),
        ({"method": "m" * 101}, 422),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_a_reason(run: PromptRun, query: dict[str, Any], status: int) -> None:
    answer = run.refused("topk", "/logits", **query)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_model_that_ends_in_another_way_gives_its_own_logits(run: PromptRun, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = run.ask("topk", "/logits", text="the red sun")["input"]["top"]
    monkeypatch.setattr(type(run.model), "can_unembed", False)
    own = run.ask("topk", "/logits", text="the red sun", top=15)["input"]["top"]
    for one, other in zip(usual, own, strict=False):
        assert (one["id"], one["logit"]) == (other["id"], pytest.approx(other["logit"], abs=1e-4))
