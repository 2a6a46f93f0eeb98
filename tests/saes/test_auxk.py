"""AuxK on a part of the rows: those that are reconstructed worst, in every architecture that has it."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.saes import SAE, SAES, AuxK, AuxKConfig, Losses, build
from monoseme.saes._dead import Chosen
from monoseme.saes.clt import CLT
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.tensors.processes import Mesh
from monoseme.testing.processes import in_threads
from tests.saes._subjects import subject

WITH_AUXK = [name for name in SAES.names() if issubclass(SAES.get(name).Config, AuxKConfig) and name != "lensed_topk"]
ONE_IN, N_ROWS = 3, 7
_INT_LISTS = st.lists(st.integers(0, 5), min_size=1, max_size=40)


def _with_dead(name: str, x: Tensor, *, one_in: int) -> SAE:
    """Started, in float64; what does not fire on x is dead, and something is."""
    small = subject(name).build().config
    sae = build(replace(small, k=1, k_aux=2, auxk_coefficient=0.5, auxk_one_in=one_in)).double()
    sae.start(x)
    active = sae.loss(x).active
    assert active is not None
    silent = (active.to_dense().reshape(-1, *sae.tokens_since_fired.shape) == 0).all(0)
    assert bool(silent.any())
    sae.tokens_since_fired[silent] = sae.config.dead_after_tokens
    return sae


def _batch(name: str) -> Tensor:
    return subject(name).batch(N_ROWS, SAES.get(name).learns_from).double()


def _chosen(squares: list[int], *, one_in: int) -> list[int]:
    return torch.arange(len(squares))[AuxK(2, 0.5, one_in).worst(torch.tensor(squares, dtype=torch.float64)).rows].tolist()


def _seen_by_auxk(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The squared errors that each loss chooses by."""
    seen: list[Tensor] = []
    worst = AuxK.worst

    def noted(self: AuxK, squares: Tensor, **others: object) -> object:
        seen.append(squares.detach())
        return worst(self, squares, **others)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(AuxK, "worst", noted)
    return seen


def _row_errors(sae: SAE, losses: Losses) -> Tensor:
    """||x - x_hat||^2 of each row in the space in which the SAE learns, from the reconstruction in raw activations."""
    error = (losses.x - losses.x_hat).detach()
    if sae.learns_from == "layers" and sae.plugin_name != "mlsae":
        error = error.reshape(len(error), -1, sae.d_in) * sae.get_buffer("output_factor").unsqueeze(1)
        return error.square().sum((1, 2))
    rows = sae.normalise(losses.x.reshape(-1, sae.d_in))
    scale = sae.input_factor if rows.scale is None else 1 / rows.scale.reshape(-1, 1)
    return (error.reshape(-1, sae.d_in) * scale).square().sum(1).reshape(len(error), -1).sum(1)


def test_the_rows_with_the_largest_error_are_taken_in_their_order() -> None:
    assert _chosen([3, 9, 1, 7, 8, 2], one_in=3) == [1, 4]
    assert _chosen([3, 9, 1, 7, 8, 2], one_in=2) == [1, 3, 4]
    assert _chosen([3, 9, 1, 7, 8, 2], one_in=1) == [0, 1, 2, 3, 4, 5]


def test_a_part_that_is_not_whole_is_rounded_up() -> None:
    assert _chosen([3, 9, 1, 7, 8], one_in=4) == [1, 4]
    assert _chosen([3, 9, 1], one_in=4) == [1]


def test_of_equal_errors_the_first_rows_are_taken() -> None:
    assert _chosen([5, 2, 5, 5, 9, 5, 5, 1], one_in=2) == [0, 2, 3, 4]


@given(squares=_INT_LISTS, one_in=st.integers(1, 9))
def test_so_many_are_taken_and_none_left_out_is_worse(squares: list[int], one_in: int) -> None:
    rows = _chosen(squares, one_in=one_in)
    assert rows == sorted(set(rows))
    assert len(rows) == math.ceil(len(squares) / one_in)
    left = [squares[i] for i in range(len(squares)) if i not in rows]
    assert not left or max(left) <= min(squares[i] for i in rows)


@given(squares=_INT_LISTS, one_in=st.integers(2, 5), cuts=st.lists(st.integers(0, 40), min_size=2, max_size=2))
def test_ranks_choose_the_rows_of_the_batch_and_weigh_their_share(squares: list[int], one_in: int, cuts: list[int]) -> None:
    first, second = sorted(min(cut, len(squares)) for cut in cuts)
    bounds, values = [0, first, second, len(squares)], torch.tensor(squares, dtype=torch.float64)

    def run(mesh: Mesh) -> tuple[list[int], float]:
        start, stop = bounds[mesh.rows.rank], bounds[mesh.rows.rank + 1]
        chosen = AuxK(2, 0.5, one_in).worst(values[start:stop], ranks=mesh.rows)
        rows = torch.arange(start, stop)[chosen.rows]
        part = chosen.share * values[rows].mean() * (stop - start) / len(squares) if len(rows) else 0.0
        return rows.tolist(), float(part)

    found = in_threads(run, rows=3)
    wanted = _chosen(squares, one_in=one_in)
    assert [row for rows, _ in found for row in rows] == wanted
    assert sum(part for _, part in found) == pytest.approx(values[wanted].mean().item())


@pytest.mark.parametrize("name", WITH_AUXK)
def test_every_architecture_tells_the_error_of_its_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = _batch(name)
    sae, seen = _with_dead(name, x, one_in=ONE_IN), _seen_by_auxk(monkeypatch)
    losses = sae.loss(x)
    assert len(seen) == 1
    assert seen[0].shape == (losses.n_rows,)
    torch.testing.assert_close(seen[0], _row_errors(sae, losses), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", WITH_AUXK)
def test_the_loss_is_the_mean_over_the_rows_that_are_taken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of the losses that are taken on each of the worst rows alone."""
    x = _batch(name)
    sae = _with_dead(name, x, one_in=ONE_IN)
    seen = _seen_by_auxk(monkeypatch)
    value = sae.loss(x).parts["auxk"].item()
    squares = seen[0]
    worst = squares.topk(math.ceil(len(squares) / ONE_IN)).indices.tolist()
    monkeypatch.undo()
    alone: list[float] = []
    for row in worst:
        monkeypatch.setattr(AuxK, "worst", lambda _self, _squares, row=row, **_: Chosen(torch.tensor([row])))
        alone.append(sae.loss(x).parts["auxk"].item())
    assert value > 0
    assert value == pytest.approx(sum(alone) / len(alone), rel=1e-9)


@pytest.mark.parametrize("name", WITH_AUXK)
def test_dead_latents_alone_are_moved(name: str) -> None:
    x = _batch(name)
    sae = _with_dead(name, x, one_in=ONE_IN)
    dead, moved = sae.dead_mask().reshape(-1), sae.moves["auxk"]
    sae.loss(x).parts["auxk"].backward()
    assert any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in sae.parameters())
    for parameter_name, parameter in sae.named_parameters():
        if parameter.grad is not None and parameter_name not in moved:
            assert not parameter.grad.any()
    if {"W_enc", "W_dec"} <= {n for n, _ in sae.named_parameters()} and sae.W_dec.shape[0] == len(dead):
        assert sae.W_dec.grad is not None
        assert not sae.W_dec.grad[~dead].any()
        assert sae.W_dec.grad[dead].any()


def test_encoder_bias_and_decoder_of_dead_latents_have_a_gradient_and_no_others() -> None:
    x = _batch("topk")
    sae = _with_dead("topk", x, one_in=ONE_IN)
    sae.loss(x).parts["auxk"].backward()
    dead = sae.dead_mask()
    for grad in (sae.W_enc.grad.t(), sae.b_enc.grad, sae.W_dec.grad):
        assert grad[dead].any()
        assert not grad[~dead].any()
    assert sae.b_dec.grad is None or not sae.b_dec.grad.any()


def test_masked_rows_are_never_taken() -> None:
    x = _batch("topk")
    sae = _with_dead("topk", x, one_in=ONE_IN)
    loud = torch.cat([x, 1e3 * x[:2]])
    mask = torch.arange(len(loud)) < len(x)
    assert torch.equal(sae.loss(loud, mask=mask).parts["auxk"], sae.loss(x).parts["auxk"])


def test_the_rest_of_the_loss_does_not_know_of_the_part() -> None:
    x = _batch("topk")
    every, some = _with_dead("topk", x, one_in=1), _with_dead("topk", x, one_in=ONE_IN)
    assert torch.equal(every.loss(x).parts["reconstruction"], some.loss(x).parts["reconstruction"])
    assert not torch.equal(every.loss(x).parts["auxk"], some.loss(x).parts["auxk"])


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


def test_the_rule_is_told_where_it_holds_alone() -> None:
    assert TopK.Config().rules == {"auxk_rows": "worst"}
    assert TopK.Config(auxk_one_in=1).rules == {}
    assert TopK.Config(auxk_coefficient=0.0).rules == {}
    assert CLT.Config().rules == {"auxk_rows": "worst"}
    assert CLT.Config(codes="relu").rules == {}
