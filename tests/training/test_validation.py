"""Validation numbers against their definitions, written out on dense tensors in float64."""

from types import ModuleType

import pytest
import torch

from monoseme.saes import Knobs
from monoseme.training.feed import Rows
from monoseme.training.validation import HeldOut


def test_fvu_l0_and_silence_are_those_of_the_definitions(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()
    batches = [tiny.TinyFeed().batch(step) for step in range(3)]
    x = torch.cat([batch.x for batch in batches])
    sae.start(x)
    with torch.no_grad():
        sae.b_enc[:3] = -100.0  # latents that cannot fire
        codes, x_hat = sae.encode(x).dense(), sae(x).double()
    x = x.double()
    wanted = {
        "fvu": float((x - x_hat).square().sum() / (x - x.mean(0)).square().sum()),
        "l0": float((codes != 0).sum(1).double().mean()),
        "silent_fraction": float((codes == 0).all(0).double().mean()),
    }
    numbers = HeldOut(batches, batches).measure(sae, knobs=Knobs())
    assert {key: numbers[key] for key in wanted} == pytest.approx(wanted, rel=1e-6)
    assert numbers["silent_fraction"] >= 3 / 11


def test_losses_are_means_over_rows_not_over_batches(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()
    x = torch.cat([tiny.TinyFeed().batch(step).x for step in range(3)])
    sae.start(x)
    uneven, whole = [Rows(x[:2]), Rows(x[2:])], [Rows(x)]
    assert HeldOut(uneven, uneven).measure(sae, knobs=Knobs()) == pytest.approx(HeldOut(whole, whole).measure(sae, knobs=Knobs()))


def test_masked_vectors_do_not_count(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()
    x = torch.cat([tiny.TinyFeed().batch(step).x for step in range(2)])
    sae.start(x)
    mask = torch.rand(2, 5, generator=torch.Generator().manual_seed(0)) < 0.6
    masked, plain = [Rows(x.reshape(2, 5, -1), mask)], [Rows(x[mask.flatten()])]
    assert HeldOut(masked, masked).measure(sae, knobs=Knobs()) == pytest.approx(HeldOut(plain, plain).measure(sae, knobs=Knobs()))


def test_measuring_changes_nothing(tiny: ModuleType) -> None:
    sae = tiny.tiny_sae()
    batches = [tiny.TinyFeed().batch(0)]
    sae.start(batches[0].x)
    before = {name: tensor.clone() for name, tensor in sae.state_dict().items()}
    HeldOut(batches, batches).measure(sae, knobs=Knobs())
    assert all(torch.equal(tensor, before[name]) for name, tensor in sae.state_dict().items())
