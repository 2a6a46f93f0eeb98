"""T-SAE against numbers of the original code (golden vectors): codes, losses, gradients, the threshold, three steps.

Tolerance: absolute 1e-5 plus relative 1e-4, as the vectors' README suggests. V = 1, no normalisation: theirs divides by nothing.
Quirks of the original that our numbers share: weighted group losses are averaged (weight w / G); only slot 0 is reconstructed
and counted; counters are updated before AuxK, so that a latent firing in the batch is not dead in it; the non-contrastive term
has the first group's weight, the contrastive one does not. One deviation: AuxK works on post-ReLU activations, so theirs moves
b_dec through the encoder, ours holds it fixed there.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from monoseme.saes import NormaliseConfig
from monoseme.saes._groups import added_by_groups, sizes_from
from monoseme.saes.tsae import TSAE

Vectors = dict[str, torch.Tensor]
_WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec")
_CASES = [(kind, dead) for kind in ("l1cos", "contrastive") for dead in ("none", "small", "large")]


def _close(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def v(shared: Path) -> Vectors:
    return load_file(shared / "vectors" / "tsae.safetensors")


def _tsae(v: Vectors, **settings: Any) -> TSAE:
    config = TSAE.Config(
        d_in=12,
        n_latents=30,
        k=int(v["k"]),
        k_aux=int(v["top_k_aux"]),
        auxk_coefficient=float(v["auxk_alpha"]),
        auxk_one_in=1,
        temp_alpha=float(v["temp_alpha"]),
        contrastive_temperature=1.0,
        group_sizes=tuple(v["group_sizes"].tolist()),
        group_weights=tuple(v["group_weights"].tolist()),
        normalise=NormaliseConfig(kind="none"),
        **settings,
    )
    sae = TSAE(config)
    sae.load_state_dict({**sae.state_dict(), **{name: v[name] for name in _WEIGHTS}})
    sae.started.fill_(True)
    return sae


def test_each_slot_has_its_own_budget(v: Vectors) -> None:
    sae = _tsae(v)
    for slot, name in ((0, "curr"), (1, "prev")):
        codes = sae._training_codes(v["x"][:, slot], sae.config.k)
        assert codes.nnz == 13 * 5
        assert _close(codes.to_dense(), v[f"train.codes_{name}"])
    assert _close(sae.loss(v["x"]).active.to_dense(), v["train.codes_curr"])  # pyright: ignore[reportOptionalMemberAccess]


def test_prefixes_reconstruct_as_the_original_does(v: Vectors) -> None:
    sae = _tsae(v)
    x_hats = added_by_groups(sae, sae._training_codes(v["x"][:, 0], 5), sae.config.sizes).cumsum(0) + sae.b_dec
    for i in range(3):
        assert _close(x_hats[i], v[f"train.x_hat_group{i}"])
    logs = sae.loss(v["x"]).logs
    for i, weight in enumerate(sae.config.weights):
        assert _close(weight * logs[f"fvu/prefix_{i}"], v[f"train.l2_group{i}"])


@pytest.mark.parametrize(("kind", "dead"), _CASES)
def test_losses_gradients_and_counts_are_those_of_the_original(v: Vectors, kind: str, dead: str) -> None:
    group = f"loss.{kind}.dead_{dead}"
    sae = _tsae(v, contrastive=kind == "contrastive")
    if dead != "none":
        sae.tokens_since_fired[v[f"dead_mask_{dead}"].bool()] = sae.config.dead_after_tokens
    losses = sae.loss(v["x"])
    # "not computed" is -1 there where nothing is dead and the loss itself 0, as ours
    assert _close(losses.parts["auxk"] / sae.config.auxk_coefficient, v[f"{group}.auxk_loss"].clamp(min=0))
    assert _close(losses.parts["reconstruction"], v[f"{group}.l2_loss"])
    for name in ("min", "max"):
        assert _close(losses.logs[f"loss/groups_{name}"], v[f"{group}.{name}_l2_loss"])
    assert _close(losses.logs["loss/temporal"], v[f"{group}.temp_loss"])
    assert _close(losses.total, v[f"{group}.loss"])
    assert _close(losses.x_hat, v[f"{group}.x_hat"])
    if losses.parts["auxk"].requires_grad:
        losses.parts["auxk"].backward(retain_graph=True)
    through_encoder = torch.zeros(30) if sae.b_enc.grad is None else sae.b_enc.grad.clone()  # of AuxK, for their b_dec
    sae.zero_grad()
    losses.total.backward()
    for name in _WEIGHTS:
        grad = sae.get_parameter(name).grad
        assert grad is not None
        grad = grad - sae.W_enc.detach() @ through_encoder if name == "b_dec" else grad
        assert _close(grad, v[f"{group}.grad.{name}"]), name
    before = sae.tokens_since_fired.clone()
    sae.after_step(losses)
    assert torch.equal(sae.tokens_since_fired == 0, v[f"{group}.num_tokens_since_fired"] == 0)
    assert torch.equal(sae.tokens_since_fired, torch.where(v["train.active_curr"].bool(), 0, before + 13))
    assert _close(sae.threshold, v[f"{group}.threshold_after"])


def test_use_is_a_strict_comparison_and_unset_means_relu(v: Vectors) -> None:
    sae = _tsae(v)
    x = v["x"][:, 0]
    # their unset threshold is -1, ours 0: after the ReLU the same
    assert _close(sae.encode(x).dense(), v["infer.threshold_unset.codes"])
    sae.threshold.copy_(v["infer.threshold"])
    codes = sae.encode(x)
    assert _close(codes.dense(), v["infer.codes"])
    assert _close(sae.decode(codes), v["infer.x_hat"])
    assert _close(sae.export()(x), v["infer.x_hat"])
    assert torch.equal(codes.dense("high"), codes.dense() * (torch.arange(30) < 6))
    assert torch.equal(codes.dense("low"), codes.dense() - codes.dense("high"))


def test_the_threshold_follows_the_same_sequence(v: Vectors) -> None:
    sae = _tsae(v, threshold_decay=float(v["threshold_ema.beta"]))
    for scale, wanted in zip(v["threshold_ema.input_scales"], v["threshold_ema.sequence"], strict=True):
        sae.after_step(sae.loss(v["x"] * scale))
        sae.load_state_dict({**sae.state_dict(), **{name: v[name] for name in _WEIGHTS}})
        assert _close(sae.threshold, wanted)


def test_three_steps_end_at_the_same_weights(v: Vectors) -> None:
    sae = _tsae(v, threshold_decay=float(v["threshold_ema.beta"]))
    optimiser = torch.optim.Adam(sae.parameters(), lr=float(v["update.lr"]), betas=(0.9, 0.999))
    for step, wanted in enumerate(v["update.losses"]):
        optimiser.param_groups[0]["lr"] = float(v["update.lr"]) * step / 10  # warm-up of ten steps, from 0
        losses = sae.loss(v["x"])
        assert _close(losses.total, wanted)
        optimiser.zero_grad()
        losses.total.backward()
        sae.project_gradients()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()
        sae.after_step(losses)
    for name in _WEIGHTS:
        assert _close(sae.get_parameter(name), v[f"update.after3.{name}"]), name
    assert _close(sae.threshold, v["update.after3.threshold"])


def test_fractions_become_the_sizes_of_the_original(v: Vectors) -> None:
    fractions = v["group_size_rule.fractions"].tolist()
    assert sizes_from(16384, sizes=None, fractions=fractions) == tuple(v["group_size_rule.16384"].tolist())
