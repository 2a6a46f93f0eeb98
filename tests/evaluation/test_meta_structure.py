"""A meta-SAE explains rows that are made of a few directions, and no more of random rows than chance allows."""

import pytest
import torch

from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.evaluation._meta_structure import (
    Errors,
    MetaSettings,
    alike_at_random,
    errors_of,
    explained,
    fit_meta_sae,
    held_out_rows,
)


def test_explained_is_one_minus_the_share_that_is_left_under_each_weighting() -> None:
    errors = Errors(torch.tensor([1.0, 3.0]).double(), torch.tensor([4.0, 4.0]).double(), 2.0)
    weights = torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    found = explained(errors, weights)
    assert found[:2].tolist() == [0.5, 0.75]
    assert found[2].isnan()


def test_rows_that_do_not_differ_leave_nothing_to_explain() -> None:
    with pytest.raises(UndefinedMetricError, match="do not differ"):
        explained(Errors(torch.zeros(2).double(), torch.zeros(2).double(), 0.0), torch.ones(2, 1))


def test_random_rows_have_the_mean_and_covariance_of_the_rows_up_to_their_length() -> None:
    draws = torch.Generator().manual_seed(1)
    scales = torch.linspace(2.0, 0.5, 31).double()
    rows = torch.randn(4001, 31, generator=draws, dtype=torch.float64) * scales + 3.0 * torch.eye(31)[0].double()
    rows = rows / rows.norm(dim=1, keepdim=True)
    made = alike_at_random(rows, seed=0)
    assert torch.allclose(made.norm(dim=1), torch.ones(4001).double())
    # Means of 4,001 rows are known to 0.005; in 31 dimensions lengths are nearly alike, so that making them 1 moves little.
    assert torch.allclose(made.mean(0), rows.mean(0), atol=0.03)
    assert torch.allclose(made.T.cov(), rows.T.cov(), atol=0.01)
    assert torch.equal(made, alike_at_random(rows, seed=0))


def test_no_row_is_on_both_sides() -> None:
    train, held = held_out_rows(11, 0.2, seed=3)
    assert sorted([*train.tolist(), *held.tolist()]) == list(range(11))
    assert len(held) == 2


def test_held_out_rows_made_of_shared_parts_are_explained_and_random_ones_alike_are_not() -> None:
    """Each row is one of 6 directions plus one of 5 others: a few latents give back pairs that were never seen."""
    draws = torch.Generator().manual_seed(0)
    parts = torch.linalg.qr(torch.randn(17, 11, generator=draws)).Q.T
    rows = torch.stack([(parts[i] + parts[6 + j]) / 2**0.5 for i in range(6) for j in range(5)]).repeat(3, 1)
    rows = rows + 0.02 * torch.randn(rows.shape, generator=draws)
    train, held = held_out_rows(len(rows), 0.2, seed=0)
    settings = MetaSettings(k=2, n_steps=70, batch_size=64, lr=2e-2)
    found = []
    for of in (rows.double(), alike_at_random(rows, seed=0)):
        sae = fit_meta_sae(of[train], settings, n_latents=16, seed=0)
        found.append(float(explained(errors_of(sae, of[held], mean=of[train].mean(0)), torch.ones(len(held), 1))[0]))
    structured, random = found
    assert structured > 0.7
    assert random < structured - 0.2


def test_the_same_seed_gives_the_same_bits() -> None:
    rows = torch.randn(13, 5, generator=torch.Generator().manual_seed(0))
    settings = MetaSettings(k=1, n_steps=3, batch_size=7)
    one, same = (fit_meta_sae(rows, settings, n_latents=4, seed=2) for _ in range(2))
    assert torch.equal(one.W_dec, same.W_dec)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"lr": 0.0}, {"width_fraction": 1.5}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        MetaSettings(**wrong)  # pyright: ignore[reportArgumentType]


def test_more_latents_than_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="there are 8 rows"):
        MetaSettings(k=9).n_latents(8)
