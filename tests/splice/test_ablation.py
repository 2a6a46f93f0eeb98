"""Ablations put one vector where the mask says, and nowhere else."""

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import SiteError
from monoseme.models import KINDS, LanguageModel, Site
from monoseme.splice import mean_ablation, zero_ablation


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_stand_at_every_masked_position(model: LanguageModel, tokens: Tensor, kind: str) -> None:
    site = Site(kind, 1)
    x = model.capture(tokens, [site])[site]
    after = model.run(tokens, edits=[zero_ablation(site)], capture=[site]).captured[site]
    assert not after[:, 1:].any()
    assert torch.equal(after[:, 0], x[:, 0])  # BOS keeps its own


def test_the_mean_stands_at_every_masked_position(llama: LanguageModel, tokens: Tensor) -> None:
    site = Site("mlp_out", 2)
    x = llama.capture(tokens, [site])[site]
    mean = x.double().mean((0, 1))
    mask = tokens % 2 == 0
    for out in (
        llama.run(tokens, edits=[mean_ablation(site, mean)], mask=mask, capture=[site]),
        llama.run(tokens, edits=[mean_ablation(site, mean, mask=mask)], capture=[site]),
    ):
        after = out.captured[site]
        assert torch.equal(after[mask], mean.float().expand(int(mask.sum()), -1))
        assert torch.equal(after[~mask], x[~mask])


def test_a_mean_of_another_width_is_refused(llama: LanguageModel, tokens: Tensor) -> None:
    with pytest.raises(SiteError, match=r"does not fit mlp_out\.1"):
        llama.run(tokens, edits=[mean_ablation(Site("mlp_out", 1), torch.zeros(7))])
