"""A note holds until its tensor changes, by whose hand ever."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from monoseme.tensors.notes import changed, last_noted, note, noted

D, F = 7, 11


def noted_parameter(*, transposed: bool = False) -> nn.Parameter:
    parameter = nn.Parameter(torch.ones(D, F).t() if transposed else torch.ones(F, D))
    note(parameter, "size", 3)
    return parameter


def test_a_note_is_kept_beside_others() -> None:
    parameter = noted_parameter()
    note(parameter, "shape", "square")
    assert (noted(parameter, "size"), noted(parameter, "shape"), noted(parameter, "colour")) == (3, "square", None)


@pytest.mark.parametrize("transposed", [False, True])
def test_a_change_past_torch_is_said(transposed: bool) -> None:
    parameter = noted_parameter(transposed=transposed)
    parameter.detach().t().numpy()[0] = 2.0
    assert noted(parameter, "size") == 3
    changed(parameter)
    assert noted(parameter, "size") is None
    assert last_noted(parameter, "size") == 3


def test_an_operation_in_place_ends_it() -> None:
    parameter = noted_parameter()
    with torch.no_grad():
        parameter.add_(1.0)
    assert noted(parameter, "size") is None


@pytest.mark.parametrize("settings", [{}, {"fused": True}, {"foreach": True}], ids=["plain", "fused", "foreach"])
@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_an_optimiser_ends_it(kind: type[torch.optim.Optimizer], settings: dict[str, Any]) -> None:
    updated, passed_over = noted_parameter(), noted_parameter()
    updated.grad = torch.ones_like(updated)
    kind([updated, passed_over], lr=0.1, **settings).step()  # pyright: ignore[reportCallIssue]
    assert noted(updated, "size") is None
    assert noted(passed_over, "size") == 3


def test_other_memory_ends_it() -> None:
    layer = nn.Linear(D, F)
    note(layer.weight, "size", 3)
    layer.bfloat16().float()
    assert noted(layer.weight, "size") is None


def test_a_copy_has_none() -> None:
    assert noted(copy.deepcopy(noted_parameter()), "size") is None
