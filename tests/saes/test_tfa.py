"""TFA: its parts, what a position may see, masked positions, carrying a history, and an independent twin in float64."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes.tfa import TFA
from tests.saes._tfa_twin import Settings, tfa_twin

_N, _S, _D, _F = 3, 5, 7, 12
_NOVEL = ("relu", "topk", "batchtopk", "nullify")


def _built(novel: str, *, normalise: str = "unit_mean_square", tied: bool = True, **settings: Any) -> TFA:
    """A small TFA that has seen a sample and has a bias, in float64."""
    k = {"k": 2} if novel in ("topk", "batchtopk") else {}
    config = TFA.Config(
        d_in=_D, n_latents=_F, n_heads=3, n_attention_layers=2, bottleneck=2, tied=tied, novel=novel,  # pyright: ignore[reportArgumentType]
        normalise=NormaliseConfig(kind=normalise), **k, **settings,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    sae = TFA(config)
    sae.start(_contexts(seed=1).reshape(-1, _D))
    with torch.no_grad():
        for layer in sae.attention:
            for parameter in layer.parameters():
                parameter *= 5  # away from uniform attention
    sae = sae.double()
    if novel == "batchtopk":
        sae.threshold.fill_(0.05)
    return sae


def _contexts(seed: int = 0) -> torch.Tensor:
    return 3.0 * torch.randn(_N, _S, _D, generator=torch.Generator().manual_seed(seed)).double() + 0.5


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("novel", _NOVEL)
def test_agrees_with_the_twin_in_float64(novel: str, tied: bool) -> None:
    sae = _built(novel, normalise="none", tied=tied)
    x = _contexts()
    settings = Settings(3, 2, novel, 0.25, k=2)  # pyright: ignore[reportArgumentType]
    twin = tfa_twin(dict(sae.named_parameters()), x, settings)
    losses = sae.loss(x)
    assert torch.allclose(losses.x_hat, twin.x_hat.flatten(0, 1), rtol=0, atol=1e-9)
    error = (x - twin.x_hat).square().sum(2).mean() / sae.input_variance
    assert losses.parts["reconstruction"].item() == pytest.approx(error.item(), abs=1e-9)
    if novel == "relu":
        penalty = sae.config.sparsity_coefficient * twin.novel.norm(dim=2).mean() / sae.input_variance.sqrt()
        assert losses.parts["sparsity"].item() == pytest.approx(penalty.item(), abs=1e-9)
    used = tfa_twin(dict(sae.named_parameters()), x, settings._replace(threshold=0.05))
    codes, parts = sae.encode(x), sae.reconstruct_parts(x)
    for ours, theirs in (
        (codes.dense("predicted"), used.predicted),
        (codes.dense("novel"), used.novel),
        (parts.predicted, used.predicted_recons),
        (parts.novel, used.novel_recons),
        (parts.x_hat, used.x_hat),
        (sae.attention_maps(x), used.maps),
    ):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("normalise", ["none", "unit_mean_square", "standardise"])
@pytest.mark.parametrize("novel", _NOVEL)
def test_parts_add_up(novel: str, normalise: str) -> None:
    sae, x = _built(novel, normalise=normalise), _contexts()
    codes, parts = sae.encode(x), sae.reconstruct_parts(x)
    assert torch.allclose(codes.dense(), codes.dense("predicted") + codes.dense("novel"), rtol=0, atol=1e-12)
    assert torch.allclose(parts.predicted + parts.novel + parts.bias, parts.x_hat, rtol=0, atol=1e-12)
    assert torch.allclose(parts.x_hat, sae(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("novel", _NOVEL)
def test_a_position_does_not_see_what_follows_it(novel: str) -> None:
    sae, x = _built(novel), _contexts()
    changed = x.clone()
    changed[:, 3:] += torch.randn(changed[:, 3:].shape, generator=torch.Generator().manual_seed(2)).double()
    before, after = sae.encode(x), sae.encode(changed)
    for part in sae.parts:
        assert torch.allclose(before.dense(part)[:, :3], after.dense(part)[:, :3], rtol=0, atol=1e-12)
    assert (before.dense("predicted")[:, 4] - after.dense("predicted")[:, 4]).abs().max() > 1e-3


def test_the_last_token_is_predicted_from_all_before_it() -> None:
    sae, x = _built("nullify"), _contexts()
    for position in range(_S - 1):
        changed = x.clone()
        changed[:, position] = -changed[:, position]
        gap = (sae.encode(x).dense()[:, -1] - sae.encode(changed).dense()[:, -1]).abs().max()
        assert gap > 1e-6


@pytest.mark.parametrize("novel", _NOVEL)
def test_masked_positions_are_not_there(novel: str) -> None:
    """A context with holes has the codes of the context without the masked positions, whatever stands in them."""
    sae, x = _built(novel, normalise="standardise"), _contexts()
    mask = torch.tensor([[True, False, True, True, False], [False, False, True, True, True], [True] * 5])
    spoilt = torch.where(mask.unsqueeze(2), x, torch.nan)
    codes = sae.encode_contexts(spoilt, mask)
    for context, valid in enumerate(mask):
        alone = sae.encode(x[context, valid].unsqueeze(0))
        for part in sae.parts:
            found = codes.dense(part)[context]
            assert torch.allclose(found[valid], alone.dense(part)[0], rtol=0, atol=1e-12)
            assert not found[~valid].any()
    kept = sae.decode(codes)[mask]
    wanted = torch.cat([sae(x[i, valid].unsqueeze(0))[0] for i, valid in enumerate(mask)])
    assert torch.allclose(kept, wanted, rtol=0, atol=1e-12)


def test_maps_of_masked_contexts_leave_masked_positions_out() -> None:
    sae, x = _built("topk"), _contexts()
    mask = torch.ones(_N, _S, dtype=torch.bool)
    mask[0, 1] = False
    maps = sae.attention_maps(x, mask)
    assert maps.shape == (_N, 2, 3, _S, _S)
    alone = sae.attention_maps(x[:1, mask[0]])
    assert torch.allclose(maps[0][:, :, mask[0]][..., mask[0]], alone[0], rtol=0, atol=1e-12)
    assert not maps[0, :, :, 1].any()
    assert not maps[0, ..., 1].any()
    assert torch.allclose(maps[1:].sum(-1), torch.ones(1).double())


def test_loss_with_holes_is_the_loss_of_the_shorter_context() -> None:
    sae, x = _built("relu"), _contexts()
    mask = torch.ones(_N, _S, dtype=torch.bool)
    mask[:, 2] = False
    left = sae.loss(torch.where(mask.unsqueeze(2), x, torch.nan), mask=mask)
    right = sae.loss(x[:, [0, 1, 3, 4]])
    assert left.total.item() == pytest.approx(right.total.item(), abs=1e-12)
    assert torch.equal(left.x, right.x)
    left.total.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in sae.parameters())


@pytest.mark.parametrize("novel", _NOVEL)
def test_tokens_one_by_one_give_what_the_whole_context_gives(novel: str) -> None:
    sae, x = _built(novel), _contexts()
    whole, history = sae.encode(x), sae.new_history()
    steps = [sae.encode(piece, history) for piece in (x[:, :2], x[:, 2:3], x[:, 3:4], x[:, 4:])]
    for part in sae.parts:
        pieces = torch.cat([codes.dense(part) for codes in steps], 1)
        assert torch.allclose(pieces, whole.dense(part), rtol=0, atol=1e-12)


def test_a_context_may_come_without_a_batch() -> None:
    sae, x = _built("topk"), _contexts()
    assert torch.allclose(sae(x[0]), sae(x)[0], rtol=0, atol=1e-12)
    assert sae.encode(x[0]).dense("novel").shape == (_S, _F)


@pytest.mark.parametrize(("novel", "per_token"), [("topk", True), ("batchtopk", False)])
def test_k_novel_latents_per_token(novel: str, per_token: bool) -> None:
    sae, x = _built(novel), _contexts()
    for k in (1, 2):
        losses = sae.loss(x, Knobs(k=k))
        assert losses.active is not None
        counts = losses.active.offsets.diff()
        assert counts.sum() == k * _N * _S
        assert bool((counts == k).all()) == per_token or k == 1
    assert losses.logs["l0/novel"].item() == pytest.approx(losses.active.l0().double().mean().item())


def test_batchtopk_budget_counts_valid_positions_only() -> None:
    sae, x = _built("batchtopk"), _contexts()
    mask = torch.ones(_N, _S, dtype=torch.bool)
    mask[0, 2:] = False
    losses = sae.loss(x, mask=mask)
    assert losses.active is not None
    assert losses.active.nnz == 2 * (_N * _S - 3)
    assert losses.n_rows == _N * _S - 3


def test_knobs_multiply_the_penalty_and_l1_is_an_option() -> None:
    x = _contexts()
    for penalty, order in (("l2", 2), ("l1", 1)):
        sae = _built("relu", penalty=penalty, sparsity_coefficient=0.3)
        losses = sae.loss(x, Knobs(sparsity=4.0))
        norms = (sae.encode(x).dense("novel") * sae.input_factor).norm(p=order, dim=2)
        wanted = 4.0 * 0.3 * norms.mean() / sae.input_variance.sqrt()
        assert losses.parts["sparsity"].item() == pytest.approx(wanted.item(), rel=1e-9)


def test_what_decides_the_l0_depends_on_the_novel_code() -> None:
    kinds = {novel: _built(novel).sparsity for novel in _NOVEL}
    assert kinds == {"relu": "penalty", "topk": "k", "batchtopk": "k", "nullify": "none"}
    sae = _built("topk", target_l0=3.2)
    assert sae.config.k == 3
    sae.use_k(5)
    assert sae.encode(_contexts()).sparse("novel").l0().max() > 3
    with pytest.raises(ConfigError, match='novel "relu" has no k'):
        _built("relu").use_k(3)


def test_nullify_has_no_novel_part_and_follows_the_predicted_one() -> None:
    sae, x = _built("nullify"), _contexts()
    assert sae.encode(x).sparse("novel").nnz == 0
    losses = sae.loss(x)
    assert losses.active is not None
    predicted = sae.encode(x).sparse("predicted")
    assert losses.active.nnz == predicted.nnz
    assert losses.logs["l0/novel"] == 0.0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"novel": "relu", "k": 3}, 'k is 3, which nothing uses: novel is "relu"'),
        ({"novel": "topk", "penalty": "l1"}, "penalty is l1, which nothing uses"),
        ({"novel": "topk", "threshold_decay": 0.5}, "it belongs to batchtopk"),
        ({"n_heads": 5}, "divisible by n_heads"),
        ({"bottleneck": 0}, "bottleneck is 0"),
        ({"novel": "nullify", "target_l0": 4.0}, "no novel code"),
        ({"encoder_scale": 0.0}, "encoder_scale is 0"),
        ({"sparsity_coefficient": -1.0}, "penalty is -1.0 times l2"),
        ({"threshold_decay": 1.0}, "threshold_decay is 1.0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        TFA.Config(d_in=_D, n_latents=64, **settings)


def test_the_scale_of_the_paper_is_the_same_function_in_other_units() -> None:
    """With W_dec sqrt(D) longer and the scale 1 / (4 D), codes are sqrt(D) times smaller and x_hat is the same."""
    ours, x = _built("relu", normalise="none"), _contexts()
    theirs = TFA(replace(ours.config, encoder_scale=1 / (4 * _D))).double()
    state = ours.state_dict()
    state["W_dec"] = state["W_dec"] * _D**0.5
    for name in state:
        if name.endswith((".queries.weight", ".keys.weight", ".values.weight")):
            state[name] = state[name] * _D**0.5
    theirs.load_state_dict(state)
    # the 1e-6 in the projection's denominator does not scale with the rows
    assert torch.allclose(theirs(x), ours(x), rtol=0, atol=1e-4)
    assert torch.allclose(theirs.encode(x).dense() * _D**0.5, ours.encode(x).dense(), rtol=0, atol=1e-4)


def test_training_gives_the_slow_part_to_the_prediction() -> None:
    """Contexts of one constant direction each, plus sparse events: what is constant ends in the predicted part."""
    draw = torch.Generator().manual_seed(0)
    topics = torch.nn.functional.normalize(torch.randn(8, 16, generator=draw), dim=1)
    events = torch.nn.functional.normalize(torch.randn(24, 16, generator=draw), dim=1)

    def contexts() -> tuple[torch.Tensor, torch.Tensor]:
        slow = 2.0 * topics[torch.randint(8, (32,), generator=draw)].unsqueeze(1).expand(-1, 16, -1)
        on = torch.rand(32, 16, 24, generator=draw) < 0.04
        return slow + (on * torch.rand(on.shape, generator=draw) * 3) @ events, slow

    sae = TFA(TFA.Config(d_in=16, n_latents=64, k=2, n_heads=2))
    sae.start(contexts()[0].reshape(-1, 16))
    optimiser = torch.optim.Adam(sae.parameters(), lr=3e-3)
    for _ in range(400):
        losses = sae.loss(contexts()[0])
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        sae.after_step(losses)
    x, slow = contexts()
    parts = sae.reconstruct_parts(x)
    late = slice(4, None)  # the first positions have little to predict from
    assert (x - parts.x_hat)[:, late].square().sum() < 0.1 * x[:, late].square().sum()
    without_mean = slow - slow.mean((0, 1))
    share = [float((part[:, late] * without_mean[:, late]).sum() / without_mean[:, late].square().sum()) for part in parts[:2]]
    assert share[0] > 0.7 > 0.3 > share[1]
