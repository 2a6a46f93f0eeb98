"""Matryoshka: prefixes decoded once equal prefixes decoded one by one; groups, weights, random prefixes, what export keeps.

Letters: B = 5 rows, D = 7, F = 11 latents in groups of 3, 2 and 6.
"""

from dataclasses import replace
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.saes import Knobs
from monoseme.saes._groups import added_by_groups, sizes_from
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.thresholded import Thresholded
from monoseme.testing import SAE_CHECKS, Subject, subject_of
from monoseme.testing.conformance import Check

_SIZES = (3, 2, 6)
_QUICK = SAE_CHECKS[:-1]  # the last one trains for seconds


def _subject(**settings: Any) -> Subject:
    groups = {} if "n_random_prefixes" in settings else {"group_sizes": _SIZES}
    k = {} if settings.get("codes") == "relu" else {"k": 2}
    return subject_of(Matryoshka, small=Matryoshka.Config(d_in=7, n_latents=11, **k, **groups, **settings))


@pytest.mark.parametrize("check", _QUICK, ids=lambda check: check.__name__)
@pytest.mark.parametrize("settings", [{"codes": "topk"}, {"n_random_prefixes": 4}, {"average": "sum"}], ids=str)
def test_every_kind_of_codes_keeps_the_contract(settings: dict[str, Any], check: Check) -> None:
    check(_subject(**settings))


@pytest.mark.parametrize(
    "name", ["gradients_match_finite_differences", "losses_add_up_to_the_total", "export_agrees_with_encode"]
)
def test_relu_codes_keep_the_contract(name: str) -> None:
    # what needs a latent that is silent on three rows is left out: about half of relu's are on
    next(check for check in SAE_CHECKS if check.__name__ == name)(_subject(codes="relu"))


def test_prefixes_are_what_decoding_each_prefix_gives() -> None:
    sae = _subject(codes="topk").build().double()
    rows = torch.randn(5, 7, generator=generator(0, "prefixes"), dtype=torch.float64)
    assert isinstance(sae, Matryoshka)
    codes = sae._training_codes(rows, 4)
    x_hats = added_by_groups(sae, codes, _SIZES).cumsum(0) + sae.b_dec
    for i, stop in enumerate((3, 5, 11)):
        wanted = codes.to_dense()[:, :stop] @ sae.W_dec[:stop] + sae.b_dec
        torch.testing.assert_close(x_hats[i], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("average", ["mean", "sum"])
def test_the_loss_is_the_weighted_mean_or_sum_over_prefixes(average: str) -> None:
    subject = _subject(codes="topk", average=average, group_weights=(0.5, 0.0, 2.0))
    sae = subject.build().double()
    x = subject.batch(5, "tokens").double()
    losses = sae.loss(x)
    rows, code = sae.normalise(x).rows, sae.encode(x).dense() * sae.input_factor
    errors = [
        (rows - code[:, :stop] @ sae.W_dec[:stop] - sae.b_dec).square().sum(1).mean() / sae.input_variance for stop in (3, 5, 11)
    ]
    total = 0.5 * errors[0] + 2.0 * errors[2]
    wanted = total / 3 if average == "mean" else total
    torch.testing.assert_close(losses.parts["reconstruction"], wanted, rtol=0, atol=1e-9)
    for i in range(3):
        torch.testing.assert_close(losses.logs[f"fvu/prefix_{i}"], errors[i].detach(), rtol=0, atol=1e-9)
    l0 = (code != 0).double().sum(0) / 5
    assert losses.logs["l0/group_1"].item() == pytest.approx(l0[3:5].sum().item())
    assert losses.logs["l0/effective"].item() == pytest.approx(l0.sum().item())


def test_a_prefix_of_weight_zero_has_no_say() -> None:
    subject = _subject(codes="topk", group_weights=(1.0, 0.0, 0.0))
    sae = subject.build()
    sae.loss(subject.batch(5, "tokens")).parts["reconstruction"].backward()
    assert sae.W_dec.grad is not None
    assert bool(sae.W_dec.grad[:3].any())
    assert not bool(sae.W_dec.grad[3:].any())


def test_parts_of_a_code_add_up_and_survive_export() -> None:
    subject = _subject()
    sae = subject.build()
    sae.after_step(sae.loss(subject.batch(50, "tokens")))
    codes, exported = sae.encode(subject.batch(5, "tokens")), sae.export()
    assert sae.parts == exported.parts == ("all", "group_0", "group_1", "group_2")
    torch.testing.assert_close(sum(codes.dense(name) for name in sae.parts[1:]), codes.dense())
    assert not bool(codes.dense("group_1")[:, :3].any())
    assert isinstance(exported, Thresholded)
    assert exported.config.group_sizes == _SIZES
    for name in sae.parts:
        torch.testing.assert_close(exported.encode(subject.batch(5, "tokens")).dense(name), codes.dense(name))


def test_relu_codes_pay_for_their_sizes_and_topk_ones_do_not() -> None:
    subject = _subject(codes="relu", sparsity_coefficient=0.5)
    sae = subject.build()
    x = subject.batch(5, "tokens")
    losses = sae.loss(x, Knobs(sparsity=3.0))
    l1 = (sae.encode(x).dense() * sae.input_factor).sum(1).mean() / sae.input_variance.sqrt()
    assert losses.parts["sparsity"].item() == pytest.approx(1.5 * l1.item(), rel=1e-5)
    assert sae.sparsity == "penalty"
    assert _subject().build().sparsity == "k"
    with pytest.raises(ConfigError, match="no k"):
        sae.use_k(3)


@pytest.mark.parametrize("distribution", ["pareto", "uniform"])
def test_random_prefixes_repeat_for_a_step_and_end_with_the_whole(distribution: str) -> None:
    config = Matryoshka.Config(d_in=7, n_latents=1009, n_random_prefixes=10, prefix_distribution=distribution)  # pyright: ignore[reportArgumentType]
    sae = Matryoshka(config)
    drawn = [sae._prefixes(step).sizes for step in range(200)]
    assert drawn[7] == Matryoshka(config)._prefixes(7).sizes != drawn[8]
    assert all(sum(sizes) == 1009 and len(sizes) == 10 and min(sizes) >= 0 < sizes[0] for sizes in drawn)
    ends = torch.tensor(drawn).cumsum(1)[:, :-1].double()
    # medians of 1,800 draws. Uniform: F / 2. Pareto with exponent a: (1 - (1 - F^-a) / 2)^(-1/a), 3.8 for a = 1/2, rounded up
    low, high = (440, 570) if distribution == "uniform" else (4, 4)
    assert low <= ends.median().item() <= high


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_sizes": (3, 2)}, "together n_latents = 11"),
        ({"group_sizes": (0, 11)}, "at least 1"),
        ({"group_fractions": (0.5, 0.4)}, "must add up to 1"),
        ({"group_fractions": (0.05, 0.95)}, "at least 1"),
        ({"group_sizes": (3, 8), "group_fractions": (0.5, 0.5)}, "choose one"),
        ({"group_sizes": (3, 8), "group_weights": (1.0,)}, "2 groups need 2"),
        ({"group_sizes": (3, 8), "n_random_prefixes": 3}, "no groups"),
        ({"n_random_prefixes": 0}, "at least 1"),
        ({"group_sizes": (3, 8), "pareto_exponent": 0.0}, "above 0"),
        ({"group_sizes": (3, 8), "sparsity_coefficient": -0.5}, "at least 0"),
        ({"group_sizes": (3, 8), "sparsity_coefficient": 0.5}, 'codes is "batchtopk"'),
        ({"group_sizes": (3, 8), "codes": "topk", "threshold_decay": 0.5}, 'codes is "topk"'),
        ({"group_sizes": (3, 8), "codes": "relu"}, "k is 2, which nothing uses"),
        ({"group_sizes": (3, 8), "pareto_exponent": 2.0}, "groups are fixed"),
        ({"n_random_prefixes": 3, "prefix_distribution": "uniform", "pareto_exponent": 2.0}, "uniform"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Matryoshka.Config(n_latents=11, k=2, **settings)


def test_the_last_group_takes_the_rest() -> None:
    assert sizes_from(11, sizes=None, fractions=(0.3, 0.2, 0.5)) == (3, 2, 6)
    config = Matryoshka.Config()
    assert config.sizes == (128, 256, 512, 1024, 2176)
    assert replace(config, n_latents=64, k=8).sizes == (2, 4, 8, 16, 34)
