"""Options of TopK and BatchTopK: signed codes, the best of groups, a second budget, another k in use.

Letters: B = 5 rows, D = 7, F = 11 latents.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.kernels import Encoder, kernels_named
from monoseme.saes import SAE, Knobs
from monoseme.saes._budget import above, strongest, strongest_of_batch, strongest_of_groups
from monoseme.saes._multi_k import MultiKConfig
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.topk import TopK
from monoseme.saes.tsae import TSAE
from monoseme.testing import SAE_CHECKS, subject_of
from monoseme.testing.conformance import Check

_QUICK = SAE_CHECKS[:-1]  # the last one trains for seconds
_MULTI_K = MultiKConfig(coefficient=1 / 8)
_OPTIONS: dict[str, tuple[type[SAE], dict[str, Any]]] = {
    "topk-signed": (TopK, {"signed": True}),
    "topk-groups": (TopK, {"groups": True, "k": 3}),
    "topk-signed-groups": (TopK, {"signed": True, "groups": True}),
    "topk-multi_k": (TopK, {"multi_k": _MULTI_K}),
    "batchtopk-signed": (BatchTopK, {"signed": True}),
    "batchtopk-signed-multi_k": (BatchTopK, {"signed": True, "multi_k": _MULTI_K}),
    "batchtopk-k": (BatchTopK, {"inference": "k"}),
}


@pytest.mark.parametrize("check", _QUICK, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", _OPTIONS)
def test_every_option_keeps_the_contract(name: str, check: Check) -> None:
    architecture, options = _OPTIONS[name]
    small = replace(subject_of(architecture).small, **options)
    check(subject_of(architecture, small=small))


def _problem() -> tuple[torch.Tensor, Encoder, torch.Tensor]:
    """Rows, an encoder, and the dense pre-activations."""
    stream = generator(0, "options")
    x, weight = torch.randn(5, 7, generator=stream), torch.randn(11, 7, generator=stream).t()
    bias, centre = torch.randn(11, generator=stream), torch.randn(7, generator=stream)
    return x, Encoder(weight, bias, centre), (x - centre) @ weight + bias


@pytest.mark.parametrize("kernel", ["torch", "reference"])
@pytest.mark.parametrize("k", [1, 3, 11])
def test_signed_keeps_the_largest_in_absolute_value_with_their_sign(kernel: str, k: int) -> None:
    x, encoder, pre = _problem()
    kernels = kernels_named(kernel)
    cut = pre.abs().sort(dim=1, descending=True).values[:, k - 1 : k]
    wanted = torch.where(pre.abs() >= cut, pre, 0.0)
    codes = strongest(kernels, x, encoder, k, signed=True)
    assert codes.l0().tolist() == [k] * 5
    assert bool((wanted < 0).any())
    torch.testing.assert_close(codes.to_dense(), wanted)


@pytest.mark.parametrize("kernel", ["torch", "reference"])
def test_signed_over_a_batch_and_above_a_threshold(kernel: str) -> None:
    x, encoder, pre = _problem()
    kernels = kernels_named(kernel)
    cut = pre.abs().flatten().sort(descending=True).values[13 - 1]
    batch = strongest_of_batch(kernels, x, encoder, 13, signed=True)
    torch.testing.assert_close(batch.to_dense(), torch.where(pre.abs() >= cut, pre, 0.0))
    used = above(kernels, x, encoder, torch.tensor(0.7), signed=True)
    torch.testing.assert_close(used.to_dense(), torch.where(pre.abs() > 0.7, pre, 0.0))


@pytest.mark.parametrize("signed", [False, True])
def test_groups_keep_the_best_of_each_group(signed: bool) -> None:
    x, encoder, pre = _problem()
    codes = strongest_of_groups(kernels_named("torch"), x, encoder, 3, signed=signed).to_dense()
    for start, stop in ((0, 4), (4, 8), (8, 11)):  # 11 latents in 3 groups of neighbours
        group = pre[:, start:stop]
        best = (group.abs() if signed else group).argmax(1, keepdim=True)
        value = group.gather(1, best)
        wanted = torch.zeros_like(group).scatter(1, best, value if signed else value.relu())
        torch.testing.assert_close(codes[:, start:stop], wanted)


@pytest.mark.parametrize(("architecture", "n_kept"), [(TopK, 8), (BatchTopK, 8)])
def test_multi_k_adds_the_reconstruction_from_more_latents(architecture: Callable[..., Any], n_kept: int) -> None:
    def losses(k: int, multi_k: MultiKConfig) -> dict[str, float]:
        sae = architecture(architecture.Config(d_in=7, n_latents=11, k=k, multi_k=multi_k))  # pyright: ignore[reportFunctionMemberAccess]
        sae.start(_problem()[0])
        return {name: part.item() for name, part in sae.loss(_problem()[0]).parts.items()}

    plain, both, more = losses(2, MultiKConfig()), losses(2, _MULTI_K), losses(n_kept, MultiKConfig())
    assert "multi_k" not in plain
    assert both["reconstruction"] == plain["reconstruction"]
    assert both["multi_k"] == pytest.approx(more["reconstruction"] / 8)


@pytest.mark.parametrize("config", [TopK.Config, BatchTopK.Config])
def test_multi_k_refuses_what_is_no_larger_budget(config: type[TopK.Config]) -> None:
    with pytest.raises(ConfigError, match="multiple is 1"):
        config(multi_k=MultiKConfig(multiple=1))
    with pytest.raises(ConfigError, match="coefficient is"):
        config(multi_k=MultiKConfig(coefficient=-0.5))


@pytest.mark.parametrize(
    "config",
    [
        TopK.Config(d_in=7, n_latents=11, k=2),
        TopK.Config(d_in=7, n_latents=11, k=2, groups=True),
        BatchTopK.Config(d_in=7, n_latents=11, k=2),
        BatchTopK.Config(d_in=7, n_latents=11, k=2, signed=True),
        Matryoshka.Config(d_in=7, n_latents=11, k=2, group_fractions=(0.5, 0.5)),
        Matryoshka.Config(d_in=7, n_latents=11, k=2, group_fractions=(0.5, 0.5), codes="topk"),
        TSAE.Config(d_in=7, n_latents=11, k=2),
    ],
    ids=lambda config: f"{config.plugin_name}",
)
def test_another_k_in_use_is_k_of_each_row(config: Any) -> None:
    sae = subject_of(_owner(config), small=config).build()
    with torch.no_grad():
        sae.b_enc.add_(10.0)  # everything is positive
    x = torch.randn(5, 7, generator=generator(0, "use"))
    sae.use_k(4)
    codes = sae.encode(x)
    assert codes.sparse().l0().tolist() == [4] * 5
    exported = sae.export()
    torch.testing.assert_close(exported.encode(x).dense(), codes.dense())
    with pytest.raises(ConfigError, match="k is 12"):
        sae.use_k(12)


def _owner(config: Any) -> type[SAE]:
    return {"topk": TopK, "batchtopk": BatchTopK, "matryoshka": Matryoshka, "tsae": TSAE}[config.plugin_name]


def test_the_k_of_a_schedule_takes_the_place_of_the_configured_one() -> None:
    sae = subject_of(TopK, small=TopK.Config(d_in=7, n_latents=11, k=2, groups=True)).build()
    active = sae.loss(_problem()[0], Knobs(k=5)).active
    assert active is not None
    assert active.nnz == 5 * 5
