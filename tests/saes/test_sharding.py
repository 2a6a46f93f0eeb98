"""An SAE that several processes share against the same SAE alone; processes are threads here."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.kernels import choose_kernels
from monoseme.saes import SAES, Knobs, own_tensors, sharded, whole, whole_tensors
from monoseme.saes._dictionary import orthogonal_rows, unit_rows
from monoseme.saes._multi_k import MultiKConfig
from monoseme.tensors.factored import emit_factors
from monoseme.tensors.processes import Group, Mesh
from monoseme.testing.processes import in_threads
from monoseme.training.config import TrainConfig
from monoseme.training.optimiser import Optimiser
from tests.saes._meshed import batches, same_everywhere, same_step
from tests.saes._subjects import subject

B = 13
_DEAD: dict[str, Any] = {"dead_after_tokens": 2 * B}
_AUX: dict[str, Any] = {"k_aux": 3, "auxk_one_in": 2, **_DEAD}
_CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "topk": ("topk", _AUX),
    "topk multi_k": ("topk", {"multi_k": MultiKConfig(coefficient=0.5), **_AUX}),
    "topk signed": ("topk", {"signed": True, **_AUX}),
    "topk k of all": ("topk", {"k": 11, **_AUX}),
    "batchtopk": ("batchtopk", _AUX),
    "batchtopk signed": ("batchtopk", {"signed": True, **_AUX}),
    "relu": ("relu", {"ghost_coefficient": 0.5, **_DEAD}),
    "relu lp norm": ("relu", {"p": 0.7, "lp_form": "norm", "weight_by_decoder_norm": True}),
    "relu annealed": ("relu", {"p_end": 0.5, "anneal_from": 0.0}),
    "jumprelu": ("jumprelu", {"pre_activation_coefficient": 0.1, **_DEAD}),
    "jumprelu target": ("jumprelu", {"penalty": "target_l0", "target_l0": 3.0}),
    "jumprelu tanh": ("jumprelu", {"penalty": "tanh", "weight_by_decoder_norm": True}),
    "gated": ("gated", {}),
    "normalized_topk": ("normalized_topk", {**_AUX}),
    "matryoshka": ("matryoshka", _AUX),
    "matryoshka relu": ("matryoshka", {"codes": "relu", "k": 32, **_AUX}),
    "matryoshka random": ("matryoshka", {"n_random_prefixes": 3, "group_fractions": None, **_AUX}),
    "tsae": ("tsae", _AUX),
    "tsae cosine": ("tsae", {"similarity": "cosine", **_AUX}),
    "tsae change": ("tsae", {"contrastive": False, **_AUX}),
    "thresholded": ("thresholded", {}),
}
_ROWS_ALONE = [name for name in SAES.names() if not SAES.get(name).latent_axes]


def compare(name: str, settings: dict[str, Any], *, rows: int, latents: int, n_steps: int = 2) -> None:
    given = subject(name)
    with choose_kernels("torch"):  # threads must not share Numba's
        alone = given.build(**settings)
    alone.tokens_since_fired.view(-1)[:: max(2, latents)] = 10**9  # where latents are divided, all the dead are on one process
    state = {key: tensor.clone() for key, tensor in alone.state_dict().items()}
    steps = batches(given, B, n_steps)

    def run(mesh: Mesh) -> None:
        mine, twin = sharded(alone.config, mesh.latents), type(alone)(alone.config)
        twin.load_state_dict(state)
        mine.load_state_dict(own_tensors(mine, state))
        for sae in (mine, twin):
            sae.use_kernels("torch")
        for step, x in enumerate(steps):
            same_step(mine, twin, x, mesh, step=step)
        same_everywhere(mine, mesh.rows)

    in_threads(run, rows=rows, latents=latents)


@pytest.mark.parametrize("case", _CASES)
def test_divided_latents_take_the_steps_of_the_whole(case: str) -> None:
    name, settings = _CASES[case]
    compare(name, settings, rows=1, latents=3)


@pytest.mark.parametrize("case", _CASES)
def test_divided_rows_take_the_steps_of_the_batch(case: str) -> None:
    name, settings = _CASES[case]
    compare(name, settings, rows=3, latents=1)


@pytest.mark.parametrize("name", _ROWS_ALONE)
def test_architectures_whose_latents_stay_together_divide_rows(name: str) -> None:
    settings = _AUX if "auxk_one_in" in set(SAES.get(name).Config.__dataclass_fields__) and name != "tfa" else {}
    compare(name, settings, rows=2, latents=1, n_steps=2)


@pytest.mark.parametrize("case", ["topk", "batchtopk", "jumprelu target", "matryoshka", "tsae cosine"])
def test_rows_and_latents_may_both_be_divided(case: str) -> None:
    name, settings = _CASES[case]
    compare(name, settings, rows=2, latents=2)


def test_what_depends_on_all_latents_is_refused_by_name() -> None:
    for name in _ROWS_ALONE:
        with pytest.raises(ConfigError, match=name):
            sharded(subject(name).small, Group(0, 2))
    with pytest.raises(ConfigError, match="groups"):
        sharded(replace(subject("topk").small, groups=True), Group(0, 2))
    with pytest.raises(ConfigError, match="12 processes"):
        sharded(subject("topk").small, Group(0, 12))


@pytest.mark.parametrize("n_rows", [1, 4095, 4097, 8192, 8195, 3 * 4096 + 5])
def test_the_start_by_blocks_is_that_of_one_draw(n_rows: int) -> None:
    from torch.nn import functional

    from monoseme.core.seeds import generator

    drawn = functional.normalize(torch.randn(n_rows, 3, generator=generator(7, "dictionary")), dim=1)
    assert torch.equal(unit_rows(n_rows, 3, seed=7), drawn)
    for rank in range(5):
        assert torch.equal(unit_rows(n_rows, 3, seed=7, part=Group(rank, 5)), drawn[rank::5])
        assert torch.equal(orthogonal_rows(11, 3, seed=7, part=Group(rank, 5)), orthogonal_rows(11, 3, seed=7)[rank::5])


@pytest.mark.parametrize("name", [name for name in SAES.names() if SAES.get(name).latent_axes])
def test_every_process_starts_with_its_latents_and_gathers_the_whole(name: str) -> None:
    config = subject(name).small
    alone = SAES.get(name)(config)
    state = {key: tensor.clone() for key, tensor in alone.state_dict().items()}
    moved = {key: tensor + 1 for key, tensor in state.items() if tensor.is_floating_point()}

    def run(mesh: Mesh) -> None:
        mine = sharded(config, mesh.latents)
        found, made = whole_tensors(mine, mine.state_dict()), whole(mine)
        mine.load_state_dict(own_tensors(mine, {**state, **moved}))
        again = whole_tensors(mine, mine.state_dict())
        if mesh.latents.rank:
            assert (found, made, again) == ({}, None, {})
            return
        assert made is not None
        for key, tensor in state.items():
            assert torch.equal(found[key], tensor), key
            assert torch.equal(made.state_dict()[key], tensor), key
            assert torch.equal(again[key], moved.get(key, tensor)), key

    in_threads(run, latents=3)


def test_moments_are_gathered_by_the_names_of_their_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoseme.saes._sharding._BLOCK_ELEMENTS", 15)  # two latents of D 7 at once
    config = subject("topk").small
    alone = {"W_enc.exp_avg": torch.randn(7, 11), "W_dec.exp_avg": torch.randn(11, 7), "b_dec.exp_avg": torch.randn(7)}
    alone |= {"W_dec.step": torch.tensor(3.0), "life.fired": torch.arange(11)}

    def run(mesh: Mesh) -> dict[str, torch.Tensor]:
        mine = sharded(config, mesh.latents)
        here = own_tensors(mine, alone, others={"fired": 0})
        assert here["W_dec.exp_avg"].shape == mine.W_dec.shape
        return whole_tensors(mine, here, others={"fired": 0})

    first, *others = in_threads(run, latents=3)
    assert others == [{}, {}]
    assert first.keys() == alone.keys()
    assert all(torch.equal(first[key], tensor) for key, tensor in alone.items())


def test_updates_by_rows_stay_in_use_where_latents_are_divided() -> None:
    given = subject("topk")
    with choose_kernels("torch"):
        alone = given.build(**_AUX)
    state = {key: tensor.clone() for key, tensor in alone.state_dict().items()}
    x = given.batch(B, "tokens")

    def run(mesh: Mesh) -> dict[str, torch.Tensor]:
        mine = sharded(alone.config, mesh.latents)
        mine.load_state_dict(own_tensors(mine, state))
        mine.use_kernels("torch")
        adam = Optimiser(
            mine.named_parameters(),
            TrainConfig(n_steps=10),
            peak_rate=0.01,
            unit_norm=mine.unit_norm,
            sharded=mine.sharded_parameters,
            latents=mine.shard,
        )
        for step in range(3):
            adam.zero_grad()
            with emit_factors():
                losses = mine.loss(x, Knobs(step=step))
            losses.total.backward()
            assert mine.W_dec.grad is None
            adam.gather(mine.kernels.rows)
            adam.update(1.0)
            mine.after_step(losses)
        return whole_tensors(mine, {**mine.state_dict(), **adam.state()})

    (wanted,) = in_threads(run)
    found, *_ = in_threads(run, latents=3)
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
