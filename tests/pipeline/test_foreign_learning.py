"""An SAE of another tool before its first step: its parameters are the file's, to the bit, and the loss has its scale."""

import pytest
import torch

from monoseme.core.display import use_display
from monoseme.saes import NormaliseConfig, build
from monoseme.training.foreign import measure_only
from tests.pipeline.conftest import Told
from tests.saes._subjects import subject


@pytest.mark.parametrize("name", ["topk", "jumprelu", "spade", "mlsae", "crosscoder", "tfa", "matching_pursuit"])
def test_parameters_before_the_first_step_are_those_of_the_file(name: str) -> None:
    kind = subject(name)
    sae = build(kind.small)
    for value in sae.parameters():
        value.data = value.data + 0.1 * torch.randn(value.shape)
    before = {key: value.clone() for key, value in sae.state_dict().items()}
    n_sites = getattr(kind.small, "n_sites", None)
    x = torch.randn(40, *([n_sites] if n_sites else []), sae.d_in) * 3 + 1
    with use_display(Told()):
        measure_only(sae, x)
    after = sae.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed <= {"started", "input_variance", "site_variance"}
    assert bool(sae.started)
    assert sae.config == kind.small


def test_the_variance_is_that_of_the_scale_that_the_parameters_are_in() -> None:
    config = subject("topk").small
    sae = build(config.__class__(d_in=7, n_latents=11, k=2, normalise=NormaliseConfig(kind="constant", constant=0.5)))
    sae.input_factor.fill_(0.5)
    x = torch.randn(40, 7, dtype=torch.float64).float() * 3 + 1
    measure_only(sae, x)
    assert torch.allclose(sae.input_variance, (x * 0.5).var(0, correction=0).sum(), rtol=1e-4)


def test_rows_that_training_will_bring_to_norm_one_are_told() -> None:
    sae = build(subject("topk").small)
    sae.W_dec.data[3] *= 2
    display = Told()
    with use_display(display):
        measure_only(sae, torch.randn(40, sae.d_in))
    assert any("1 of 11 rows of W_dec" in line for line in display.lines)
