"""Gaps between mean layers against decoder cosines: each pair once, both numbers of the same pair."""

import itertools

import pytest
import torch

from monoseme.evaluation import _layer_pairs
from monoseme.evaluation._layer_pairs import pair_grid

_F, _D = 23, 5


def _given(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(_F, _D, generator=gen), torch.rand(_F, generator=gen, dtype=torch.float64) * 5


@pytest.mark.parametrize("rows", [512, 4])
def test_counts_and_correlation_are_those_of_one_pair_at_a_time(rows: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_layer_pairs, "_ROWS", rows)
    directions, means = _given()
    found = pair_grid(directions, means, n_bins=(8, 4), n_replicates=3, rng=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(directions.double(), dim=1)
    pairs = [(float(unit[i] @ unit[j]), abs(float(means[i] - means[j]))) for i, j in itertools.combinations(range(_F), 2)]
    expected = torch.zeros(8, 4, dtype=torch.int64)
    largest = max(gap for _, gap in pairs)
    for cosine, gap in pairs:
        expected[int((cosine + 1) / 0.25), min(3, int(gap / largest * 4))] += 1
    assert torch.equal(found.counts, expected)
    assert found.largest_gap == pytest.approx(largest)
    assert float(found.correlation[0]) == pytest.approx(
        float(torch.corrcoef(torch.tensor(pairs, dtype=torch.float64).T)[0, 1]), rel=1e-9
    )


def test_latents_in_another_order_give_the_same():
    directions, means = _given()
    order = torch.randperm(_F, generator=torch.Generator().manual_seed(1))
    one, other = pair_grid(directions, means, n_replicates=1), pair_grid(directions[order], means[order], n_replicates=1)
    assert torch.equal(one.counts, other.counts)


def test_a_resampled_latent_is_no_pair_with_itself():
    directions, means = torch.eye(3), torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    found = pair_grid(directions, means, n_replicates=2)
    assert int(found.counts.sum()) == 3
    assert found.correlation.isnan().all()  # all cosines are 0
