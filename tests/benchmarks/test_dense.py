"""The dense references compute what our SAEs do: one step's loss and gradients agree with the reference kernels."""

import pytest
import torch
from torch import Tensor

from monoseme.benchmarks._data import in_view, synthetic_activations
from monoseme.benchmarks._dense import DenseSAE
from monoseme.benchmarks._dense_losses import DENSE, WITH_AUXK, DenseJumpReLU
from monoseme.benchmarks._own import Task, build_sae, dead_latents
from monoseme.benchmarks._sizes import Sizes
from monoseme.saes import SAE

SIZES = Sizes("test", 7, 67, 3, 44)


def _settings(architecture: str) -> tuple[tuple[str, object], ...]:
    """Our SAEs in the units of the dense ones: nothing is scaled (MLSAE standardises by itself), AuxK asks every token."""
    every_token = (("auxk_one_in", 1),) if architecture in WITH_AUXK else ()
    return every_token if architecture == "mlsae" else (("normalise", {"kind": "none"}), *every_token)


def _twins(architecture: str, x: Tensor, *, dead_fraction: float) -> tuple[SAE, DenseSAE]:
    """Ours and the dense one with the same weights."""
    task = Task(sizes=SIZES, architecture=architecture, kernel="reference", settings=_settings(architecture))
    sae = build_sae(task, x)
    dense = DENSE[architecture](SIZES, variance=float(sae.input_variance))
    with torch.no_grad():
        sae.W_enc += 0.1 * torch.randn(7, 67, generator=torch.Generator().manual_seed(1))
        dense.W_enc.copy_(sae.W_enc.t())
        for name in ("b_enc", "W_dec", "b_dec"):
            getattr(dense, name).copy_(getattr(sae, name))
        if isinstance(dense, DenseJumpReLU):
            dense.log_threshold.copy_(sae.get_parameter("log_threshold"))
        dead = dead_latents(67, dead_fraction)
        sae.W_enc[:, dead] *= 0.3
        dense.W_enc[dead] *= 0.3
    sae.tokens_since_fired[dead] = sae.config.dead_after_tokens
    dense.tokens_since_fired[dead] = dense.dead_after_tokens
    return sae, dense


@pytest.mark.parametrize("dead_fraction", [0.0, 0.4])
@pytest.mark.parametrize("architecture", DENSE)
def test_loss_and_gradients_are_those_of_our_sae(architecture: str, dead_fraction: float) -> None:
    task = Task(sizes=SIZES, architecture=architecture)
    x = in_view(synthetic_activations(SIZES.batch, SIZES.d_model), task.view)
    sae, dense = _twins(architecture, x, dead_fraction=dead_fraction)
    losses = sae.loss(x)
    losses.total.backward()
    found = dense.loss(x)
    found.total.backward()
    if dead_fraction and architecture in WITH_AUXK:
        assert losses.parts["auxk"] > 0
    # float32 sums of at most 44 x 67 terms in another order
    torch.testing.assert_close(found.total, losses.total, rtol=2e-6, atol=1e-6)
    pairs = [(dense.W_enc, sae.W_enc), (dense.W_dec, sae.W_dec), (dense.b_dec, sae.b_dec)]
    if dense.has_encoder_bias:
        pairs.append((dense.b_enc, sae.b_enc))
    if isinstance(dense, DenseJumpReLU):
        pairs.append((dense.log_threshold, sae.get_parameter("log_threshold")))
    for own, ours in pairs:
        assert own.grad is not None
        expected = ours.grad
        assert expected is not None
        torch.testing.assert_close(own.grad, expected.t() if ours is sae.W_enc else expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("architecture", DENSE)
def test_a_dense_reference_learns_and_keeps_unit_rows(architecture: str) -> None:
    task = Task(sizes=SIZES, architecture=architecture)
    x = in_view(synthetic_activations(SIZES.batch, SIZES.d_model), task.view)
    dense = DENSE[architecture](SIZES, variance=float(SIZES.d_model))
    losses = [dense.step(x) for _ in range(60)]
    assert losses[-1] < losses[0]
    torch.testing.assert_close(dense.W_dec.norm(dim=1), torch.ones(67))


def test_a_latent_that_fires_is_no_longer_counted_as_silent() -> None:
    x = synthetic_activations(SIZES.batch, SIZES.d_model)
    dense = DENSE["topk"](SIZES)
    fired = dense.loss(x).fired
    dense.step(x)
    assert fired.any()
    assert not fired.all()
    assert dense.tokens_since_fired[fired].eq(0).all()
    assert dense.tokens_since_fired[~fired].eq(SIZES.batch).all()
