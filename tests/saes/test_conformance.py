"""Our architectures pass the battery that third parties' must pass; the battery fails what breaks a fact."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from monoseme.saes import SAE, SAES, Losses
from monoseme.saes._dead import count_tokens
from monoseme.saes._export import folded_copy
from monoseme.saes.topk import TopK
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing import SAE_CHECKS, ConformanceError, check_sae, planted_dictionary, recovery, subject_of
from monoseme.testing.conformance import Check
from tests.saes._subjects import subject


@pytest.mark.parametrize("check", SAE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SAES.names())
def test_architecture_keeps_the_contract(name: str, check: Check) -> None:
    check(subject(name))


def _no_renormalisation(self: TopK, *losses: Losses) -> None:
    for batch in losses:
        assert batch.active is not None
        count_tokens(self.tokens_since_fired, batch.active)


def _detached_encoder(self: TopK, rows: torch.Tensor, k: int) -> SparseCodes:
    return self.kernels.encode_topk(rows, self.encoder, k).detach()


def _forgetful_export(self: TopK) -> SAE:
    made = folded_copy(self)
    made.b_dec.data.mul_(self.input_factor)
    return made


@pytest.mark.parametrize(
    ("method", "broken", "fact"),
    [
        ("after_step", _no_renormalisation, "decoder_rows_have_unit_norm_after_a_step"),
        ("_codes", _detached_encoder, "gradients_match_finite_differences"),
        ("_codes", _detached_encoder, "every_loss_moves_what_it_should_and_nothing_else"),
        ("export", _forgetful_export, "export_agrees_with_encode"),
        ("require_start", lambda self: None, "loss_before_start_is_refused"),
    ],
)
def test_the_battery_notices(monkeypatch: pytest.MonkeyPatch, method: str, broken: Callable[..., Any], fact: str) -> None:
    monkeypatch.setattr(TopK, method, broken)
    check = next(check for check in SAE_CHECKS if check.__name__ == fact)
    with pytest.raises(ConformanceError):
        check(subject_of(TopK))


def test_check_sae_lists_every_broken_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TopK, "require_start", lambda self: None)
    monkeypatch.setattr(TopK, "after_step", _no_renormalisation)
    monkeypatch.setattr("monoseme.testing.conformance.SAE_CHECKS", SAE_CHECKS[:-1])  # the last one trains for seconds
    with pytest.raises(ConformanceError, match=r"TopK breaks 2 facts[\s\S]*unit_norm[\s\S]*loss_before_start"):
        check_sae(TopK)


def test_planted_samples_repeat_and_have_the_sizes_asked_for() -> None:
    truth = planted_dictionary()
    x = truth.sample(20_000)
    assert torch.equal(x, planted_dictionary().sample(20_000))
    assert not torch.equal(x, truth.sample(20_000, part=1))
    # each of 64 directions adds its rate 4/64 times E[size^2] = 2; cross terms add 2 * (4/64)^2 for each pair's cosine
    directions = truth.directions
    cross = ((directions @ directions.T).sum() - 64) * (4 / 64) ** 2
    assert x.square().sum(1).mean().item() == pytest.approx(4 * 2 + cross.item(), rel=0.05)


def test_recovery_counts_planted_directions_with_a_near_row() -> None:
    planted = torch.eye(3, 5)
    learned = torch.tensor([[2.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.7, 0.7, 0.0, 0.0], [0.0, 0.0, 1.0, 0.4, 0.0]])
    assert recovery(planted, learned) == pytest.approx(2 / 3)  # 1, 0.71, 0.93
