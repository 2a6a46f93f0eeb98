"""Integrated gradients: exact where the metric is linear, complete where it is not, the same in a batch as one at a time."""

import pytest
import torch
from tests.attribution.conftest import to_the_left
from tests.splice.conftest import SmallSAE
from torch import Tensor

from monoseme.attribution import (
    Attribution,
    Batching,
    Corrupted,
    LogitMetric,
    Patch,
    Path,
    Readout,
    at_positions,
    completeness,
    integrated_gradients,
)
from monoseme.bundled import model_folder
from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel, ModelConfig, Site

EARLY, LATE, LAST = Site("resid_post", 0), Site("mlp_out", 1), Site("resid_post", 2)


def _plain(model: LanguageModel, readout: Readout, site: Site, sae: SmallSAE, *, at: Tensor, path: Path) -> tuple[Tensor, Tensor]:
    """Scores [n, S, F] and the error's [n, S]: one prompt and step at a time, whole rows, all latents and the error leaves."""
    scores, errors = [], []
    for i in range(len(readout)):
        row = readout.rows(torch.tensor([i]))
        x = model.capture(row.tokens, [site], real=row.real)[site]
        codes = sae.encode(x).dense().detach()
        error = x - (codes @ sae.w_dec + sae.b_dec).detach()
        where, of_codes, of_error = at[i, None, :, None], torch.zeros_like(codes), torch.zeros_like(error)
        for share in path.steps:
            f, e = ((each * (1 - share * where.double())).requires_grad_() for each in (codes, error))
            logits = model.run_from(site, f @ sae.w_dec + sae.b_dec + e, tokens=row.tokens, real=row.real)
            found = torch.autograd.grad(row.metric(logits[:, int(row.answer_from)]).sum(), [f, e])
            of_codes, of_error = of_codes + found[0], of_error + found[1]
        scores.append(-codes * of_codes / path.n_steps)
        errors.append((-error * of_error / path.n_steps).sum(-1))
    return torch.cat(scores), torch.cat(errors)


@pytest.fixture
def at(exact: LanguageModel, readout: Readout) -> Tensor:
    """One to six positions of each prompt, none behind its answer."""
    drawn = torch.rand(5, 11, generator=torch.Generator().manual_seed(1)) < 0.5
    drawn[:, 4] = True
    allowed = exact.editable(readout.tokens, readout.real) & (torch.arange(11) <= readout.answer_from[:, None])
    return drawn & allowed & (torch.arange(11) >= 2)


@pytest.mark.parametrize("site", [EARLY, LATE], ids=str)
@pytest.mark.parametrize(
    "batching", [Batching(), Batching(memory_bytes=1), Batching(memory_bytes=300_000), Batching(share_prefix=False)], ids=str
)
def test_a_batch_gives_what_one_prompt_and_step_at_a_time_gives(
    exact: LanguageModel, readout: Readout, sae: SmallSAE, at: Tensor, site: Site, batching: Batching
) -> None:
    path = Path(n_steps=3, rule="left")
    found = integrated_gradients(exact, readout, {site: sae}, patch=Patch(at=at), path=path, batching=batching)[site]
    scores, errors = _plain(exact, readout, site, sae, at=at, path=path)
    assert torch.equal(torch.stack([found.prompt, found.position], 1), at.nonzero())
    torch.testing.assert_close(found.scores.to_dense(), scores[at], atol=1e-9, rtol=1e-7)
    torch.testing.assert_close(found.error, errors[at], atol=1e-9, rtol=1e-7)


def test_padding_is_on_whichever_side(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    positions = torch.tensor([5, 3, 4, 2, 6])
    right = integrated_gradients(exact, readout, {EARLY: sae}, patch=Patch(at=at_positions(readout, positions)))[EARLY]
    moved = to_the_left(readout)
    shift = moved.answer_from - readout.answer_from
    left = integrated_gradients(exact, moved, {EARLY: sae}, patch=Patch(at=at_positions(moved, positions + shift)))[EARLY]
    torch.testing.assert_close(left.scores.to_dense(), right.scores.to_dense(), atol=1e-9, rtol=1e-7)
    assert torch.equal(left.position - shift, right.position)


def test_on_a_linear_head_scores_are_what_ablation_does(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    """A metric linear in the last residual: one step is enough, and a score is what taking the latent away changes."""
    direction = torch.randn(exact.spec.d_model, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    linear = _with_linear_end(exact, direction)
    readout = Readout(readout.tokens, readout.answer_from, LogitMetric(lambda logits: logits[:, 0]), readout.real)
    patch = Patch(at=at_positions(readout, readout.answer_from))
    found = integrated_gradients(linear, readout, {LAST: sae}, patch=patch, path=Path(n_steps=1))[LAST]
    x = exact.capture(readout.tokens, [LAST], real=readout.real)[LAST][torch.arange(5), readout.answer_from]
    ablated = -sae.encode(x).dense() * (sae.w_dec @ direction)
    torch.testing.assert_close(found.scores.to_dense(), ablated.detach())


def _with_linear_end(model: LanguageModel, direction: Tensor) -> LanguageModel:
    """The same blocks, an end whose first logit is the product with `direction`."""
    import copy

    modules = copy.deepcopy(model._model)
    modules.transformer.ln_f = torch.nn.Identity()
    modules.lm_head = torch.nn.Linear(len(direction), 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        modules.lm_head.weight.copy_(torch.stack([direction, -direction, 2 * direction]))
    return LanguageModel.from_modules(modules, model.tokenizer)


def test_scores_and_the_errors_add_up_to_what_the_patch_does(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    """The error of midpoints falls with the square of the number of steps."""
    patch, saes = Patch(at=at_positions(readout, torch.tensor([5, 3, 4, 2, 6]))), {EARLY: sae, LATE: sae}
    few, many = (completeness(exact, readout, saes, patch=patch, path=Path(n_steps=n)) for n in (32, 128))
    for site in saes:
        assert (many[site].relative_error < 1e-3).all()
        errors = [(c[site].explained - c[site].difference).abs().sum() for c in (few, many)]
        assert 8 < errors[0] / errors[1] < 32
    x = exact.capture(readout.tokens, [EARLY], real=readout.real)[EARLY].clone()
    x[torch.arange(5), torch.tensor([5, 3, 4, 2, 6])] = sae.b_dec.detach()
    last = torch.arange(5), readout.answer_from
    before = exact.run(readout.tokens, real=readout.real).logits[last]
    after = exact.run_from(EARLY, x, tokens=readout.tokens, real=readout.real)[last]
    torch.testing.assert_close(many[EARLY].difference, readout.metric(after) - readout.metric(before))


def test_the_error_may_stay(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    """Then it has no score, and scores add up to a patch that leaves it in place."""
    patch = Patch(at=at_positions(readout, torch.tensor([5, 3, 4, 2, 6])))
    path = Path(n_steps=128, with_error=False)
    found = integrated_gradients(exact, readout, {EARLY: sae}, patch=patch, path=path)[EARLY]
    assert found.error.abs().max() < 1e-9
    complete = completeness(exact, readout, {EARLY: sae}, patch=patch, path=path)[EARLY]
    torch.testing.assert_close(complete.explained, found.scores.to_dense().sum(-1))
    assert (complete.relative_error < 1e-3).all()


def test_latents_of_both_prompts_get_scores(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    """From the prompts to their own neighbours, and the way back: the scores change sign."""
    positions = torch.tensor([4, 4, 4, 4, 4])
    other, turned = readout.rows(torch.tensor([1, 2, 3, 4, 0])), torch.tensor([1, 2, 3, 4, 0])
    at = Patch(at=at_positions(readout, positions), corrupted=Corrupted(tokens=other.tokens, real=other.real))
    saes, path = {EARLY: sae}, Path(n_steps=128)
    found = integrated_gradients(exact, readout, saes, patch=at, path=path)[EARLY]
    complete = completeness(exact, readout, saes, patch=at, path=path)[EARLY]
    assert (complete.relative_error < 1e-3).all()
    here = sae.encode(exact.capture(readout.tokens, [EARLY], real=readout.real)[EARLY][:, 4]).dense()
    slope = found.gradient @ sae.w_dec.detach().T
    torch.testing.assert_close(found.scores.to_dense(), ((here[turned] - here) * slope).detach())
    assert ((found.scores.to_dense() != 0) & (here == 0)).any()


def test_a_place_in_the_other_prompt_may_be_given(exact: LanguageModel, readout: Readout, sae: SmallSAE) -> None:
    position = torch.zeros_like(readout.tokens)
    position[:, 4] = 2
    patch = Patch(at=at_positions(readout, torch.full((5,), 4)), corrupted=Corrupted(tokens=readout.tokens, position=position))
    found = integrated_gradients(exact, readout, {EARLY: sae}, patch=patch)[EARLY]
    x = exact.capture(readout.tokens, [EARLY])[EARLY]
    from_, to = sae.encode(x[:, 4]).dense(), sae.encode(x[:, 2]).dense()
    torch.testing.assert_close(found.scores.to_dense(), ((to - from_) * (found.gradient @ sae.w_dec.T)).detach())
    short = Corrupted(tokens=readout.tokens[:, :3])
    with pytest.raises(ConfigError, match="positions 0 to 2"):
        integrated_gradients(exact, readout, {EARLY: sae}, patch=Patch(at=patch.at, corrupted=short))
    padded = Corrupted(tokens=readout.tokens, real=torch.arange(11) < torch.full((5, 1), 4))
    with pytest.raises(ConfigError, match="padding"):
        integrated_gradients(exact, readout, {EARLY: sae}, patch=Patch(at=patch.at, corrupted=padded))


def test_sites_are_moved_one_at_a_time(exact: LanguageModel, readout: Readout, sae: SmallSAE, at: Tensor) -> None:
    both = integrated_gradients(exact, readout, {EARLY: sae, LATE: sae}, patch=Patch(at=at))
    for site, found in both.items():
        alone: Attribution = integrated_gradients(exact, readout, {site: sae}, patch=Patch(at=at))[site]
        torch.testing.assert_close(found.scores.to_dense(), alone.scores.to_dense(), atol=1e-9, rtol=1e-7)


def test_on_the_bundled_model_scores_add_up_to_one_percent() -> None:
    model = LanguageModel.load(ModelConfig(model=str(model_folder()), dtype="float32"))
    tokens = torch.randint(10, 4000, (7, 29), generator=torch.Generator().manual_seed(0))
    tokens[:, 0] = 1
    metric = LogitMetric(lambda logits: logits.log_softmax(-1)[:, 50])
    readout = Readout(tokens, torch.full((7,), 28), metric)
    patch = Patch(at=at_positions(readout, torch.full((7,), 24)))
    sae, site = SmallSAE(model.spec.d_model), Site("resid_post", 2)
    with torch.no_grad():  # as a trained SAE's, so that taking all latents away leaves a vector as the model knows them
        sae.b_dec.copy_(model.capture(tokens, [site])[site][:, 1:].mean((0, 1)))
    found = completeness(model, readout, {site: sae}, patch=patch, path=Path(n_steps=64))
    assert found[site].relative_error.median() < 0.01


def test_the_left_rule_has_the_clean_end_and_midpoints_have_neither() -> None:
    assert Path(n_steps=4, rule="left").steps == (0.0, 0.25, 0.5, 0.75)
    assert Path(n_steps=4).steps == (0.125, 0.375, 0.625, 0.875)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        Path(n_steps=0)
    with pytest.raises(ConfigError, match="midpoint, left"):
        Path(rule="right")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="at least 1"):
        Batching(memory_bytes=0)
