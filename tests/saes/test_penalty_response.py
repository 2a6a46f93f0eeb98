"""A controller can turn the penalties: the L0 falls from far above what the data have to below it as the factor rises."""

from typing import Any

import pytest
import torch

from monoseme.saes import SAE, SAES, Knobs
from monoseme.testing import planted_dictionary

_FACTORS = (0.01, 1.0, 100.0)


def _l0_after_training(sae: SAE, factor: float, *, n_steps: int = 60) -> float:
    x = planted_dictionary(n_directions=128, width=48, n_active=12.0).sample(64 * 50).split(64)
    sae.start(x[0])
    optimiser = torch.optim.Adam(sae.parameters(), lr=1e-2)
    l0 = 0.0
    for step in range(n_steps):
        losses = sae.loss(x[step % 50], Knobs(step=step, progress=step / n_steps, sparsity=factor))
        optimiser.zero_grad()
        losses.total.backward()
        sae.project_gradients()
        optimiser.step()
        sae.after_step(losses)
        assert losses.active is not None
        l0 = losses.active.l0().double().mean().item()
    return l0


@pytest.mark.parametrize(
    ("name", "settings"),
    [("gated", {}), ("jumprelu", {}), ("jumprelu", {"penalty": "tanh"}), ("relu", {}), ("relu", {"p_end": 0.3})],
)
def test_l0_falls_as_the_factor_rises(name: str, settings: dict[str, Any]) -> None:
    config = SAES.get(name).Config(d_in=48, n_latents=256, **settings)
    found = [_l0_after_training(SAES.get(name)(config), factor) for factor in _FACTORS]
    assert found[0] > found[1] > found[2], found
    assert found[0] > 30  # 12 of the planted directions are on
    assert found[2] < 10
