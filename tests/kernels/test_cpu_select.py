"""The compiled kernels select exactly what every float32 score would select, whatever the screen, the sizes and the ties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.kernels import Encoder, kernels_named
from monoseme.kernels._certificate import certified_latents, certified_rows
from monoseme.kernels._cpu_above import collect_latents
from monoseme.kernels._cpu_topk import every_pre_activation, scores
from monoseme.kernels._measured import Fastest, taking
from monoseme.kernels._screen_product import SCREEN_PRODUCTS
from monoseme.kernels._screening import counted
from monoseme.kernels._threads import launch
from monoseme.kernels.cpu import NumbaKernels
from monoseme.kernels.reference import batch_topk_by_sort, topk_by_sort
from monoseme.tensors.sparse import SparseCodes

_NUMBA = NumbaKernels()
_SELECTORS = ("topk", "batch_topk", "threshold", "thresholds")
_SIZES = st.sampled_from([3, 11, 64, 97, 160, 272, 1031])


def _draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _case(n_rows: int, width: int, n_latents: int, *, seed: int) -> tuple[torch.Tensor, Encoder]:
    x, weight = _draw(n_rows, width, seed=seed), _draw(n_latents, width, seed=seed + 1).t()
    return x, Encoder(weight, 0.3 * _draw(n_latents, seed=seed + 2), _draw(width, seed=seed + 3))


def _whole(x: torch.Tensor, encoder: Encoder) -> tuple[torch.Tensor, Encoder]:
    """The same in small whole numbers: float32 sums are exact in any order, and ties are everywhere."""
    centre = None if encoder.centre is None else encoder.centre.round()
    weight = (encoder.weight.t() * 1.5).round().t()
    return (x * 1.5).round(), Encoder(weight, encoder.bias.round(), centre)


def _select(kernels: NumbaKernels, selector: str, x: torch.Tensor, encoder: Encoder, k: int = 3) -> SparseCodes:
    n_latents, width = encoder.weight.shape[1], encoder.weight.shape[0]
    if selector == "topk":
        return kernels.encode_topk(x, encoder, k)
    if selector == "batch_topk":
        return kernels.encode_batch_topk(x, encoder, k * x.shape[0])
    if selector == "threshold":
        return kernels.encode_threshold(x, encoder, torch.tensor(2.5 * width**0.5))
    return kernels.encode_threshold(x, encoder, torch.linspace(2, 4, n_latents) * width**0.5)


def _from_all_scores(selector: str, x: torch.Tensor, encoder: Encoder, k: int = 3) -> torch.Tensor:
    """What the selector must give, dense: the kernels' own scores of everything, and full stable sorts."""
    centred = x if encoder.centre is None else x - encoder.centre
    pre = torch.cat(list(every_pre_activation(centred, encoder)))
    keep = torch.zeros_like(pre, dtype=torch.bool)
    if selector == "topk":
        keep.scatter_(1, topk_by_sort(pre, k), True)
    elif selector == "batch_topk":
        keep.view(-1)[batch_topk_by_sort(pre, k * x.shape[0])] = True
    elif selector == "threshold":
        keep = pre > 2.5 * x.shape[1] ** 0.5
    else:
        keep = pre > torch.linspace(2, 4, pre.shape[1]) * x.shape[1] ** 0.5
    return pre.where(keep, 0)


@settings(deadline=None, max_examples=60)
@given(n_rows=st.integers(1, 70), width=st.integers(1, 70), n_latents=_SIZES, k=st.integers(1, 20),
       selector=st.sampled_from(_SELECTORS), seed=st.integers(0, 99))  # fmt: skip
def test_with_exact_sums_codes_equal_the_references(n_rows, width, n_latents, k, selector, seed) -> None:
    x, encoder = _whole(*_case(n_rows, width, n_latents, seed=seed))
    codes = _select(_NUMBA, selector, x, encoder, k)
    expected = _select(kernels_named("reference"), selector, x, encoder, k)
    assert torch.equal(codes.offsets, expected.offsets)
    assert torch.equal(codes.indices, expected.indices)
    assert torch.equal(codes.values, expected.values)
    assert codes.fixed_k == expected.fixed_k


@settings(deadline=None, max_examples=60)
@given(n_rows=st.integers(32, 80), width=st.integers(1, 130), n_latents=_SIZES, k=st.integers(1, 40),
       selector=st.sampled_from(_SELECTORS), seed=st.integers(0, 99))  # fmt: skip
def test_screened_codes_are_those_of_all_scores_bit_for_bit(n_rows, width, n_latents, k, selector, seed) -> None:
    x, encoder = _case(n_rows, width, n_latents, seed=seed)
    with counted() as screened:
        codes = _select(_NUMBA, selector, x, encoder, k)
    if selector.startswith("threshold") and screened.n_rows == 0:
        return  # so many that it was a plain product, whose last bits are its own
    assert torch.equal(codes.to_dense(), _from_all_scores(selector, x, encoder, k))


@pytest.mark.parametrize("selector", _SELECTORS)
@pytest.mark.parametrize("screen", ["onednn", "mkl"])
def test_the_screen_moves_no_bit(screen: str, selector: str) -> None:
    x, encoder = _case(601, 67, 1031, seed=5)
    results = []
    for name in ("bf16", screen):
        with taking(Fastest("mkl", name)):
            results.append(_select(_NUMBA, selector, x, encoder, 7))
    for field in ("indices", "values", "offsets"):
        assert torch.equal(getattr(results[0], field), getattr(results[1], field)), field


def test_among_chooses_from_those_latents_only() -> None:
    x, encoder = _whole(*_case(41, 13, 97, seed=6))
    latents = torch.arange(3, 97, 5)
    codes, expected = (k.encode_topk(x, encoder, 7, among=latents) for k in (_NUMBA, kernels_named("reference")))
    assert torch.equal(codes.to_dense(), expected.to_dense())
    few = _NUMBA.encode_topk(x, encoder, 50, among=latents)
    assert few.fixed_k == len(latents)
    assert few.indices[: len(latents)].tolist() == latents.tolist()


def _near_ties(n_rows: int, width: int, n_latents: int) -> tuple[torch.Tensor, Encoder]:
    """Latents that differ by a thousandth of their length: bfloat16 mixes their order up, float32 does not."""
    base = _draw(n_rows, width, seed=8)
    close = base[0] + 1e-3 * _draw(n_latents, width, seed=9)
    return base + base[0], Encoder(close.t(), torch.zeros(n_latents))


@pytest.mark.parametrize("selector", ["topk", "batch_topk"])
def test_order_that_rounding_flips_is_put_right(selector: str) -> None:
    x, encoder = _near_ties(40, 64, 1031)
    codes = _select(_NUMBA, selector, x, encoder, 7)
    assert torch.equal(codes.to_dense(), _from_all_scores(selector, x, encoder, 7))


def _without_margin(*args, **kwargs):
    latents = certified_latents(*args, **kwargs)
    return latents._replace(reach=latents.reach * 0, wobble=latents.wobble * 0)


@pytest.mark.parametrize("selector", ["topk", "batch_topk", "thresholds"])
def test_without_the_margin_the_selection_would_be_wrong(selector: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x, encoder = _case(300, 64, 1031, seed=10)
    expected = _from_all_scores(selector, x, encoder)
    with taking(Fastest("mkl", "bf16")):  # a screen of float32 is right by itself on most numbers
        assert torch.equal(_select(_NUMBA, selector, x, encoder).to_dense(), expected)
        for module in ("_cpu_topk", "_cpu_batch"):
            monkeypatch.setattr(f"monoseme.kernels.{module}.certified_latents", _without_margin)
        assert not torch.equal(_select(_NUMBA, selector, x, encoder).to_dense(), expected)


@pytest.mark.parametrize("screen", ["bf16", "onednn"])
def test_no_score_is_farther_from_its_pre_activation_than_the_bound(screen: str) -> None:
    product = SCREEN_PRODUCTS[screen]
    for scale, seed in ((1.0, 0), (1e-22, 1), (1e12, 2), (1e-30, 3)):
        x, encoder = _case(40, 129, 333, seed=seed)
        x[:, 7] *= 1000.0
        x, encoder = x * scale, encoder._replace(bias=encoder.bias * scale)
        latents = certified_latents(encoder.weight, encoder.bias, product)
        rows = certified_rows(x, latents, product)
        score = scores(rows, latents, product, slice(0, 40)).float()
        pre = torch.cat(list(every_pre_activation(x, encoder)))
        margin = float(latents.wobble) * score.abs() + rows.slacks.unsqueeze(1) * latents.reach
        off = (score.double() + encoder.bias - pre).abs()
        assert (off <= margin.double() + float(latents.give)).all()
        if scale == 1.0 and screen == "bf16":
            assert (off > 0.2 * margin).any()  # the bound is not so wide as to be idle


@pytest.mark.parametrize("selector", _SELECTORS)
def test_one_dimension_a_thousand_times_the_others_changes_nothing(selector: str) -> None:
    x, encoder = _case(300, 64, 1031, seed=11)
    x[:, 5] = 1000.0 + 10 * x[:, 5]
    encoder = encoder._replace(centre=x.mean(0))
    with counted() as screened:
        codes = _select(_NUMBA, selector, x, encoder)
    assert torch.equal(codes.to_dense(), _from_all_scores(selector, x, encoder))
    assert screened.uncertified_fraction == 0.0
    assert screened.candidates_per_row is not None
    assert screened.candidates_per_row < 300


def test_rows_of_which_every_latent_is_a_candidate_are_counted_and_right() -> None:
    x, encoder = _case(40, 16, 1031, seed=12)
    encoder = encoder._replace(bias=torch.zeros(1031), centre=None)
    x[:7] = 0.0
    with counted() as screened:
        codes = _NUMBA.encode_topk(x, encoder, 3)
    assert (screened.n_rows, screened.n_uncertified) == (40, 7)
    assert codes.indices.view(40, 3)[:7].tolist() == [[0, 1, 2]] * 7


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("selector", _SELECTORS)
def test_what_cannot_be_screened_is_selected_like_the_reference(selector: str, value: float) -> None:
    x, encoder = _whole(*_case(40, 16, 272, seed=13))
    x[3, 5] = value
    codes, expected = (_select(k, selector, x, encoder) for k in (_NUMBA, kernels_named("reference")))
    assert torch.equal(codes.offsets, expected.offsets)
    assert torch.equal(codes.indices, expected.indices)
    assert torch.equal(codes.values.isnan(), expected.values.isnan())
    assert torch.equal(codes.values.nan_to_num(0), expected.values.nan_to_num(0))


@pytest.mark.parametrize("selector", _SELECTORS)
def test_rows_too_long_to_be_screened_get_all_their_scores(selector: str) -> None:
    x, encoder = _case(40, 16, 272, seed=13)
    x[4] *= 1e37
    codes = _select(_NUMBA, selector, x, encoder)
    assert torch.equal(codes.to_dense(), _from_all_scores(selector, x, encoder))


def test_a_weight_that_is_nan_reaches_the_codes() -> None:
    x, encoder = _case(40, 16, 272, seed=14)
    weight = encoder.weight.t().clone()
    weight[77, 3] = torch.nan
    encoder = encoder._replace(weight=weight.t())
    assert (_NUMBA.encode_topk(x, encoder, 3).indices.view(40, 3) == 77).any(1).all()
    assert _NUMBA.encode_batch_topk(x, encoder, 120).values.isnan().sum() == 40


@pytest.mark.parametrize("screen", ["bf16", "mkl"])
@pytest.mark.parametrize("part", ["weight", "bias"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_no_row_is_screened_against_an_encoder_that_is_not_finite_not_even_zeros(screen: str, part: str, value: float) -> None:
    _, encoder = _whole(*_case(40, 16, 272, seed=15))
    numbers = getattr(encoder, part).t().clone()  # a weight as [F, D], a bias as it is
    numbers[77] = value
    encoder = encoder._replace(centre=None, **{part: numbers.t()})
    with taking(Fastest("mkl", screen)):
        found, expected = (k.encode_topk(torch.zeros(40, 16), encoder, 3) for k in (_NUMBA, kernels_named("reference")))
    assert torch.equal(found.indices, expected.indices)


def test_rows_unlike_the_sample_defeat_the_guess_of_the_cut_but_not_the_result() -> None:
    x, encoder = _case(1300, 32, 272, seed=15)
    x[::20] *= 1000.0  # among them rows that the first guess looks at
    for n in (1300 * 3, 65 * 100, 65 * 200, 5):
        codes = _NUMBA.encode_batch_topk(x, encoder, n)
        pre = torch.cat(list(every_pre_activation(x - encoder.centre, encoder)))
        assert torch.equal(codes.to_dense().view(-1).nonzero().squeeze(1), batch_topk_by_sort(pre, n))


def test_most_of_the_matrix_above_the_threshold_is_one_plain_product() -> None:
    x, encoder = _case(64, 32, 272, seed=16)
    with counted() as screened:
        codes = _NUMBA.encode_threshold(x, encoder, torch.tensor(0.0))
    assert screened.n_rows == 0
    assert torch.equal(codes.to_dense(), kernels_named("torch").encode_threshold(x, encoder, torch.tensor(0.0)).to_dense())


def test_thresholds_of_infinity_select_nothing_and_of_minus_infinity_everything() -> None:
    x, encoder = _case(64, 32, 272, seed=17)
    limits = torch.full((272,), torch.inf)
    assert _NUMBA.encode_threshold(x, encoder, limits).nnz == 0
    limits[40] = -torch.inf
    limits[41] = torch.nan
    assert _NUMBA.encode_threshold(x, encoder, limits).indices.tolist() == [40] * 64


def test_k_from_one_to_more_than_there_are() -> None:
    x, encoder = _whole(*_case(40, 16, 97, seed=18))
    for k in (1, 2, 47, 48, 49, 96, 97, 98):
        codes, expected = (s.encode_topk(x, encoder, k) for s in (_NUMBA, kernels_named("reference")))
        assert torch.equal(codes.indices, expected.indices), k
        for n in (40 * k, 40 * k - 39):
            codes, expected = (s.encode_batch_topk(x, encoder, n) for s in (_NUMBA, kernels_named("reference")))
            assert torch.equal(codes.indices, expected.indices), n


def test_a_matrix_that_exists_is_selected_from_like_the_reference() -> None:
    pre = (_draw(37, 272, seed=19) * 4).round() / 4
    pre[3, 100], pre[4, 7] = torch.nan, torch.inf
    for k in (1, 3, 200, 272, 300):
        codes, expected = _NUMBA.topk(pre, k), kernels_named("reference").topk(pre, k)
        assert torch.equal(codes.indices, expected.indices)
        assert torch.equal(codes.values.nan_to_num(9e9), expected.values.nan_to_num(9e9))


def test_inputs_the_loops_cannot_read_go_to_torch() -> None:
    x, encoder = _case(40, 16, 272, seed=20)
    wide = Encoder(*(t.double() for t in encoder))
    assert _NUMBA.encode_topk(x.double(), wide, 3).values.dtype == torch.float64
    strided = _NUMBA.encode_topk(torch.cat([x, x], 1)[:, :16], encoder, 3)
    assert torch.equal(strided.indices, _NUMBA.encode_topk(x, encoder, 3).indices)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _NUMBA.encode_topk(x, encoder, 3).values.dtype == torch.float32


def test_gradients_equal_the_references() -> None:
    grads = []
    for kernels in (_NUMBA, kernels_named("reference")):
        x, encoder = _whole(*_case(40, 16, 272, seed=21))
        leaves = [t.requires_grad_() for t in (x, *encoder)]
        codes = kernels.encode_topk(leaves[0], Encoder(*leaves[1:]), 3)
        (codes.values * torch.arange(120.0)).sum().backward()
        grads.append([leaf.grad for leaf in leaves])
    for ours, theirs in zip(*grads, strict=True):
        assert torch.equal(ours, theirs)  # whole numbers, so sums are exact


def test_what_is_collected_is_what_is_counted_at_any_floor() -> None:
    """Floors at upper bounds and one unit in the last place beside them: two loops that add in another order would disagree."""
    rng = np.random.default_rng(0)
    n_rows, n_latents, wobble = 64, 1031, np.float32(1.01 / 256)
    halves = torch.from_numpy(rng.standard_normal((n_rows, n_latents)).astype(np.float32)).bfloat16()
    bits = halves.view(torch.int16).numpy().view(np.uint16)
    raised, reach = (rng.standard_normal(n_latents).astype(np.float32) for _ in range(2))
    slacks, reach = np.full(n_rows, 0.02, np.float32), np.abs(reach) + np.float32(1)
    scores = halves.float().numpy()
    uppers = scores + raised + (wobble * np.abs(scores) + slacks[:, None] * reach)
    found, counts = np.full((n_rows, n_latents + 1), -1, np.int32), np.empty(n_rows, np.int64)
    for floor in rng.choice(uppers[uppers > 2].ravel(), 30):
        for near in (floor, np.nextafter(floor, np.float32(9)), np.nextafter(floor, np.float32(-9))):
            with launch():
                collect_latents(
                    bits, np.empty((0, 0), np.float32), raised, reach, slacks, wobble, np.float32(near), found, counts, 2
                )
            sure, possible = uppers >= near * (1 + 1e-5), uppers >= near * (1 - 1e-5)
            for row in range(n_rows):
                latents = found[row, : counts[row]]
                assert (np.diff(latents) > 0).all()
                assert np.isin(np.flatnonzero(sure[row]), latents).all()
                assert possible[row, latents].all()


def test_latents_far_below_the_others_do_not_crowd_a_row() -> None:
    """Dead latents have biases far below every score; what they make of a block's bound must not open the others."""
    stream = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(64, 48, generator=stream), dim=1)
    weight = torch.nn.functional.normalize(torch.randn(2048, 48, generator=stream), dim=1).t()
    bias = torch.zeros(2048)
    bias[::3] = -30.0
    with counted() as screened:
        codes = NumbaKernels().encode_topk(x, Encoder(weight, bias), 8)
    assert screened.n_uncertified == 0
    assert screened.candidates_per_row < 24
    assert torch.equal(codes.indices, kernels_named("reference").encode_topk(x, Encoder(weight, bias), 8).indices)
