"""AuxK on a part of the rows: on average over steps it is the loss on all of them, in every architecture that has it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.saes import SAE, SAES, AuxK, AuxKConfig, Knobs, build
from monoseme.saes.clt import CLT
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from tests.saes._subjects import subject

WITH_AUXK = [name for name in SAES.names() if issubclass(SAES.get(name).Config, AuxKConfig) and name != "lensed_topk"]
ONE_IN, N_ROWS = 3, 6


def _with_dead(name: str, x: Tensor, *, one_in: int) -> SAE:
    """Started, in float64; what does not fire on x is dead, and something is."""
    small = subject(name).build().config
    sae = build(replace(small, k=1, k_aux=2, auxk_one_in=one_in)).double()
    sae.start(x)
    active = sae.loss(x).active
    assert active is not None
    silent = (active.to_dense().reshape(-1, *sae.tokens_since_fired.shape) == 0).all(0)
    assert bool(silent.any())
    sae.tokens_since_fired[silent] = sae.config.dead_after_tokens
    return sae


def _gradient(sae: SAE, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, [*sae.parameters()], allow_unused=True, materialize_grads=True)
    return torch.cat([g.reshape(-1) for g in found])


@pytest.mark.parametrize("name", WITH_AUXK)
def test_the_mean_over_steps_is_the_loss_of_all_rows_and_so_is_its_gradient(name: str) -> None:
    x = subject(name).batch(N_ROWS, SAES.get(name).learns_from).double()
    every, some = _with_dead(name, x, one_in=1), _with_dead(name, x, one_in=ONE_IN)
    whole = every.loss(x, Knobs(step=5)).parts["auxk"]
    turns = [some.loss(x, Knobs(step=step)).parts["auxk"] for step in range(7, 7 + ONE_IN)]
    assert len({turn.item() for turn in turns}) == ONE_IN
    assert sum(turn.item() for turn in turns) / ONE_IN == pytest.approx(whole.item(), rel=1e-9)
    mean = sum(_gradient(some, turn) for turn in turns) / ONE_IN
    assert torch.allclose(torch.as_tensor(mean), _gradient(every, whole), rtol=1e-9, atol=1e-12)


@given(one_in=st.integers(1, 9), n_rows=st.integers(1, 40), first=st.integers(0, 100))
def test_every_row_has_its_turn_once_in_so_many_steps(one_in: int, n_rows: int, first: int) -> None:
    aux = AuxK(2, 0.5, one_in)
    turns = [list(range(n_rows))[aux.turn(n_rows, step).rows] for step in range(first, first + one_in)]
    assert all(turns)
    if n_rows >= one_in:
        assert sorted(row for turn in turns for row in turn) == list(range(n_rows))


def test_the_rest_of_the_loss_does_not_know_of_the_turns() -> None:
    x = subject("topk").batch(N_ROWS, "tokens").double()
    every, some = _with_dead("topk", x, one_in=1), _with_dead("topk", x, one_in=ONE_IN)
    assert torch.equal(every.loss(x).parts["reconstruction"], some.loss(x, Knobs(step=2)).parts["reconstruction"])


def test_settings_of_auxk_are_checked() -> None:
    with pytest.raises(ConfigError, match="auxk_one_in is 0; it must be at least 1"):
        TopK.Config(auxk_one_in=0)
    with pytest.raises(ConfigError, match="k_aux is 0; it must be at least 1"):
        TopK.Config(k_aux=0)
    with pytest.raises(ConfigError, match="auxk_one_in is 1, which nothing uses: auxk_coefficient is 0"):
        TopK.Config(auxk_coefficient=0.0, auxk_one_in=1)
    with pytest.raises(ConfigError, match="auxk_one_in is 1, which nothing uses"):
        TFA.Config(n_latents=12, auxk_one_in=1)
    with pytest.raises(ConfigError, match="auxk_one_in is 2, which nothing uses"):
        CLT.Config(codes="relu", auxk_one_in=2)
