"""T-SAE against a slow float64 twin of its formulas, and what its temporal loss does.

Letters: B = 5 pairs, D = 7, F = 11 latents, 6 of them high.
"""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.kernels import kernels_named
from monoseme.saes import _contrastive
from monoseme.saes._contrastive import info_nce, weighted_change
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.tsae import TSAE
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing import Subject, subject_of

_TORCH = kernels_named("torch")
_KINDS: dict[str, dict[str, Any]] = {
    "dot": {"contrastive_temperature": 0.3},
    "cosine": {"similarity": "cosine", "contrastive_temperature": 0.2},
    "l1": {"contrastive": False},
}


def _subject(**settings: Any) -> Subject:
    config = TSAE.Config(
        d_in=7, n_latents=11, k=3, group_sizes=(6, 5), temp_alpha=0.7, auxk_coefficient=0.25, k_aux=2, auxk_one_in=1, **settings
    )
    return subject_of(TSAE, small=config)


def _twin_codes(sae: TSAE, x: torch.Tensor) -> torch.Tensor:
    """Dense BatchTopK codes by a full sort of all entries."""
    pre = ((x - sae.b_dec) @ sae.W_enc + sae.b_enc).clamp(min=0)
    cut = pre.flatten().sort(descending=True).values[sae.config.k * len(x) - 1]
    return torch.where(pre >= cut, pre, torch.zeros_like(pre))


def _twin_temporal(sae: TSAE, x: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    f, g = _twin_codes(sae, x)[:, :6], _twin_codes(sae, before)[:, :6]
    config = sae.config
    if not config.contrastive:
        change = sum((f[b] - g[b]).abs().sum() * (x[b] @ before[b]) / (x[b].norm() * before[b].norm()) for b in range(len(x)))
        return torch.as_tensor(0.2 * change / len(x))
    total = torch.zeros((), dtype=x.dtype)
    for b in range(len(x)):
        for one, others in ((f[b], g), (g[b], f)):
            scores = []
            for other in others:
                norms = one.norm() * other.norm() if config.similarity == "cosine" else torch.ones(())
                scores.append((one @ other) / norms.clamp(min=1e-30) / config.contrastive_temperature)
            total = total + torch.logsumexp(torch.stack(scores), 0) - scores[b]
    return total / (2 * len(x))


def _twin(sae: TSAE, pairs: torch.Tensor) -> dict[str, torch.Tensor]:
    x, before = pairs[:, 0] * sae.input_factor, pairs[:, 1] * sae.input_factor
    f = _twin_codes(sae, x)
    x_hat_high = f[:, :6] @ sae.W_dec[:6] + sae.b_dec
    x_hat = x_hat_high + f[:, 6:] @ sae.W_dec[6:]
    errors = [((x - y) ** 2).sum() / len(x) / sae.input_variance for y in (x_hat_high, x_hat)]
    residual = (x - x_hat).detach()
    dead = sae.dead_mask() & (f == 0).all(0)
    pre = ((x - sae.b_dec.detach()) @ sae.W_enc + sae.b_enc).clamp(min=0) * dead
    weak = pre.sort(dim=1, descending=True).values[:, 2:3]
    e_hat = torch.where(pre > weak, pre, torch.zeros_like(pre)) @ sae.W_dec
    auxk = ((residual - e_hat) ** 2).sum() / ((residual - residual.mean(0)) ** 2).sum()
    return {
        "reconstruction": (0.2 * errors[0] + 0.8 * errors[1]) / 2,
        "auxk": 0.25 * auxk,
        "temporal": 0.7 * _twin_temporal(sae, x, before),
    }


@pytest.mark.parametrize("kind", _KINDS)
def test_losses_and_gradients_are_those_of_a_dense_twin(kind: str) -> None:
    subject = _subject(**_KINDS[kind])
    sae = subject.build()
    assert isinstance(sae, TSAE)
    sae = sae.double()
    pairs = subject.batch(5, "pairs").double()
    active = sae.loss(pairs).active
    assert active is not None
    sae.tokens_since_fired[(active.to_dense() == 0).all(0)] = sae.config.dead_after_tokens
    ours, wanted = sae.loss(pairs), _twin(sae, pairs)
    parameters = dict(sae.named_parameters())
    for name, part in wanted.items():
        torch.testing.assert_close(ours.parts[name], part, rtol=0, atol=1e-9)
        left = torch.autograd.grad(ours.parts[name], list(parameters.values()), retain_graph=True, materialize_grads=True)
        right = torch.autograd.grad(part, list(parameters.values()), retain_graph=True, materialize_grads=True)
        for parameter, a, b in zip(parameters, left, right, strict=True):
            message = f"{name} by {parameter}"
            torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=message)


@pytest.mark.parametrize("kind", _KINDS)
def test_the_temporal_loss_moves_the_encoder_of_high_latents_only(kind: str) -> None:
    subject = _subject(**_KINDS[kind])
    sae = subject.build()
    sae.loss(subject.batch(5, "pairs")).parts["temporal"].backward()
    assert sae.W_enc.grad is not None
    assert bool(sae.W_enc.grad[:, :6].any())
    assert not bool(sae.W_enc.grad[:, 6:].any())
    assert sae.W_dec.grad is None


def _codes(rows: list[list[float]]) -> SparseCodes:
    return SparseCodes.from_dense(torch.tensor(rows, dtype=torch.float64))


def test_info_nce_by_hand() -> None:
    eye, nothing = _codes([[2.0, 0.0], [0.0, 2.0]]), _codes([[0.0, 0.0], [0.0, 0.0]])
    # logits are 4 on the diagonal and 0 off it: -log(e^4 / (e^4 + 1))
    assert info_nce(eye, eye, _TORCH).item() == pytest.approx(math.log1p(math.exp(-4)))
    # cosines are 1 and 0, divided by a temperature of one half
    assert info_nce(eye, eye, _TORCH, similarity="cosine", temperature=0.5).item() == pytest.approx(math.log1p(math.exp(-2)))
    for similarity in ("dot", "cosine"):
        assert info_nce(eye, nothing, _TORCH, similarity=similarity).item() == pytest.approx(math.log(2))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kernel", ["reference", "torch", "numba"])
def test_info_nce_and_its_gradient_are_those_of_dense_cross_entropies(kernel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_contrastive, "_BLOCK", 5)  # 13 rows: two whole blocks and a part of one
    random = torch.Generator().manual_seed(0)
    dense = torch.randn(2, 13, 11, generator=random) * (torch.rand(2, 13, 11, generator=random) < 0.4)
    codes = [SparseCodes.from_dense(side) for side in dense]
    values = [code.values.clone().requires_grad_() for code in codes]
    current, earlier = (code.with_values(v) for code, v in zip(codes, values, strict=True))
    found = info_nce(current, earlier, kernels_named(kernel), temperature=0.3)
    wide = [code.detach().to_dense().double().requires_grad_() for code in codes]
    logits, same = wide[0] @ wide[1].t() / 0.3, torch.arange(13)
    wanted = (functional.cross_entropy(logits, same) + functional.cross_entropy(logits.t(), same)) / 2
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)  # float32 sums against float64 ones
    (3 * found).backward()
    (3 * wanted).backward()
    for code, value, side in zip(codes, values, wide, strict=True):
        assert value.grad is not None
        assert side.grad is not None
        at_entries = side.grad[code.rows(), code.indices.long()].float()
        assert torch.allclose(value.grad, at_entries, rtol=1e-4, atol=1e-5)


def test_weighted_change_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    before = torch.tensor([[3.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    # row 0: |2 - 5| + |1| = 4 at cosine 1; row 1: |-3| at cosine 1 / sqrt 2
    value = weighted_change(_codes([[2.0, 0.0], [0.0, 0.0]]), _codes([[5.0, 1.0], [0.0, 3.0]]), x, before)
    assert value.item() == pytest.approx((4 + 3 / 2**0.5) / 2)


def test_only_the_current_token_is_reconstructed_and_counted() -> None:
    subject = _subject(contrastive=False)
    sae = subject.build()
    pairs = subject.batch(5, "pairs")
    other = pairs.clone()
    other[:, 1] = torch.randn(5, 7, generator=generator(0, "other"))
    left, right = sae.loss(pairs), sae.loss(other)
    assert left.n_rows == 5
    assert torch.equal(left.x_hat, right.x_hat)
    assert left.parts["temporal"] != right.parts["temporal"]
    assert left.active is not None
    assert left.active.nnz == 3 * 5


def test_a_pair_counts_only_if_both_tokens_do() -> None:
    subject = _subject()
    sae = subject.build()
    pairs = subject.batch(5, "pairs")
    mask = torch.tensor([[True, True], [False, True], [True, True], [True, False], [True, True]])
    spoilt = torch.where(mask.unsqueeze(-1), pairs, torch.nan)
    assert sae.loss(spoilt, mask=mask).total.item() == pytest.approx(sae.loss(pairs[[0, 2, 4]]).total.item())


def test_it_logs_what_the_original_logs() -> None:
    subject = _subject()
    logs = subject.build().loss(subject.batch(5, "pairs")).logs
    names = {"loss/temporal", "loss/groups_min", "loss/groups_max", "loss/groups_mean", "l0/effective", "l0/high", "l0/low"}
    assert names <= set(logs)
    assert logs["l0/effective"] == logs["l0/high"] + logs["l0/low"]


def test_export_keeps_the_names_of_the_groups() -> None:
    subject = _subject()
    sae = subject.build()
    sae.after_step(sae.loss(subject.batch(50, "pairs")))
    exported, x = sae.export(), subject.batch(5, "tokens")
    assert isinstance(exported, Thresholded)
    assert exported.parts == sae.parts == ("all", "high", "low")
    assert exported.config.group_sizes == (6, 5)
    torch.testing.assert_close(exported.encode(x).dense("high"), sae.encode(x).dense("high"))


def test_the_offset_of_pairs_is_a_setting() -> None:
    assert TSAE(TSAE.Config(d_in=7, pairs="previous")).pair_offset == "previous"
    assert TSAE(TSAE.Config(d_in=7, pairs="random")).pair_offset == "random"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temp_alpha": -0.1}, "temp_alpha"),
        ({"contrastive_temperature": 0.0}, "temperature"),
        ({"contrastive": False, "similarity": "cosine"}, "similarity is cosine, which nothing uses: contrastive is off"),
        ({"contrastive": False, "contrastive_temperature": 0.3}, "contrastive_temperature is 0.3"),
        ({"group_sizes": (3, 8), "group_fractions": (0.5, 0.5)}, "group_sizes say"),
        ({"group_weights": (1.0, 2.0, 3.0)}, "2 groups need 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TSAE.Config(n_latents=11, k=2, **settings)
