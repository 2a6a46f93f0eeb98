"""Agreement of attribution with ablation: on hand-worked pairs, and where the head is linear."""

from typing import Any

import pytest
import torch
from tests.attribution.tiny import TOKENS, double_model, resid_sae
from torch import nn

from monoseme.attribution import (
    Readout,
    ablate_firings,
    agreement,
    gradient_times_activation,
    integrated_gradients,
    logit_difference,
)
from monoseme.core.errors import ConfigError


def test_twice_the_size_in_the_right_order_has_slope_two():
    attributed = torch.tensor([0.5, -1.0, 2.0, 0.25])
    found = agreement(attributed, 2 * attributed)
    assert (found.n, found.why_missing) == (4, "")
    assert found.spearman == pytest.approx(1.0)
    assert found.pearson == pytest.approx(1.0)
    assert found.slope == pytest.approx(2.0)
    assert found.same_sign == found.top_overlap == 1.0


def test_opposite_signs_have_slope_minus_one():
    attributed = torch.tensor([1.0, -2.0, 3.0])
    found = agreement(attributed, -attributed)
    assert (found.same_sign, found.slope) == (0.0, pytest.approx(-1.0))
    assert found.spearman == pytest.approx(-1.0)


def test_ranks_do_not_see_a_bend():
    found = agreement(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 8.0, 27.0, 64.0]))
    assert found.spearman == pytest.approx(1.0)
    assert found.pearson is not None
    assert found.pearson < 0.96


def test_signs_of_zeros_do_not_count():
    assert agreement(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([-1.0, 1.0, 1.5])).same_sign == 1.0


def test_what_cannot_be_said_is_missing():
    assert agreement(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])).why_missing == "2 pairs are too few for a correlation"
    constant = agreement(torch.zeros(5), torch.arange(5.0))
    assert (constant.spearman, constant.slope) == (None, None)
    assert constant.why_missing == "all attributions are equal"
    with pytest.raises(ConfigError, match="pairs"):
        agreement(torch.zeros(3), torch.zeros(4))


def test_on_a_linear_head_gradients_and_integrated_gradients_are_ablation():
    model = double_model()
    modules: Any = model._model
    modules.model.norm = nn.Identity()
    placed = resid_sae(2, width=model.spec.d_model)
    readout = Readout(TOKENS, torch.tensor([5, 4]), logit_difference(torch.tensor([3, 17]), torch.tensor([11, 5])))
    ablated = ablate_firings(model, placed, readout)
    made = torch.zeros(2, 6, placed.sae.n_latents, dtype=torch.float64)
    made[ablated.prompt, ablated.position, ablated.latent] = ablated.effect
    (site,) = placed.sites
    for sign, found in (
        (1, integrated_gradients(model, readout, {site: placed})[site]),
        (-1, gradient_times_activation(model, readout, {site: placed})[site]),
    ):
        expected = made[found.prompt, found.position]
        assert torch.allclose(sign * found.scores.to_dense(), expected, atol=1e-10)
        assert bool((expected.abs() > 1e-3).any())
        agreed = agreement(sign * found.scores.to_dense()[expected != 0], expected[expected != 0])
        assert (agreed.slope, agreed.spearman) == (pytest.approx(1.0), pytest.approx(1.0))
