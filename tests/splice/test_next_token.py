"""Which predictions count, and what they cost."""

import math

import pytest
import torch

from monoseme.splice.next_token import compare, divergence, log_probabilities, losses, predictions, targets


def _bool(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def test_predictions_need_an_unmasked_source_and_a_real_target_of_the_same_document():
    tokens = torch.tensor([[1, 10, 11, 2, 1, 12, 13, 0]])
    counts = predictions(
        _bool([[0, 1, 1, 0, 0, 1, 1, 0]]),  # BOS 1, EOS 2 and padding 0 are masked
        real=_bool([[1, 1, 1, 1, 1, 1, 1, 0]]),
        documents=torch.tensor([[0, 0, 0, 0, 1, 1, 1, -1]]),
    )
    # 10 -> 11; 11 -> EOS of its own document; 12 -> 13. BOS is no source, 13 has only padding after it.
    assert counts.int().tolist() == [[0, 1, 1, 0, 0, 1, 0, 0]]
    assert targets(tokens, counts).tolist() == [11, 2, 13]


def test_a_boundary_of_packed_documents_is_not_predicted():
    ones = _bool([[1, 1, 1, 1]])
    assert predictions(ones, real=ones, documents=torch.tensor([[0, 0, 1, 1]])).int().tolist() == [[1, 0, 1, 0]]


def test_loss_worked_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])) + 3.0
    found = losses(logits, torch.tensor([0, 2]))
    assert found.tolist() == pytest.approx([math.log(2), math.log(10)], rel=1e-6)


def test_divergences_worked_by_hand_in_both_directions():
    p, q = torch.tensor([[0.5, 0.5]]).double(), torch.tensor([[0.25, 0.75]]).double()
    found = compare(p.log(), q.log() + 1.5, torch.tensor([1]))
    assert found.ce.item() == pytest.approx(-math.log(0.75), rel=1e-12)
    assert found.kl.item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-12)
    assert divergence(p.log(), q.log() + 1.5).item() == found.kl.item()
    assert found.kl_reversed.item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5), rel=1e-12)


def _kl(original: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:
    return compare(log_probabilities(original), changed, torch.zeros(len(original), dtype=torch.int64)).kl


def test_a_token_that_is_impossible_adds_nothing():
    logits = torch.tensor([[0.0, 1.0, -math.inf]])
    assert _kl(logits, logits).item() == 0.0
    assert _kl(logits, torch.zeros(1, 3)).isfinite().all()
    assert _kl(torch.zeros(1, 3), logits).item() == math.inf


def test_slices_change_nothing(monkeypatch: pytest.MonkeyPatch):
    gen = torch.Generator().manual_seed(0)
    a, b = torch.randn(11, 7, generator=gen), torch.randn(11, 7, generator=gen)
    target = torch.randint(0, 7, (11,), generator=gen)
    whole = losses(a, target), compare(log_probabilities(a), b, target)
    monkeypatch.setattr("monoseme.splice.next_token._SLICE_ENTRIES", 15)
    assert torch.equal(losses(a, target), whole[0])
    for cut, all_at_once in zip(compare(log_probabilities(a), b, target), whole[1], strict=True):
        assert torch.equal(cut, all_at_once)


def test_bfloat16_logits_are_reduced_in_float32():
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert losses(logits, torch.tensor([0, 1, 2])).dtype == torch.float32
