"""The Triton kernels choose what the reference chooses, with its values and gradients, in every type and at odd sizes."""

import pytest
import torch
from tests.kernels._gpu_cases import DEVICE, ONE_TILE, REASON, RUNS, SIZES, TWO_TILES, WHICH, Case, Sizes, case, exact

from monoseme.kernels import Encoder, Kernels
from monoseme.kernels._half import known_half_copy
from monoseme.kernels._screening import counted
from monoseme.kernels.reference import ReferenceKernels
from monoseme.tensors.factored import emit_factors, materialise_factors
from monoseme.tensors.sparse import SparseCodes

if not RUNS:
    pytest.skip(REASON, allow_module_level=True)

from monoseme.kernels.gpu import TritonKernels

_TRITON, _REFERENCE = TritonKernels(), ReferenceKernels()
_SELECTORS = ("topk", "among", "batch_topk", "threshold", "thresholds")


def _encode(kernels: Kernels, selector: str, given: Case, k: int) -> SparseCodes:
    x, encoder, n_latents = given.x, given.encoder, given.weight.shape[1]
    if selector == "topk":
        return kernels.encode_topk(x, encoder, k)
    if selector == "among":
        return kernels.encode_topk(x, encoder, k, among=torch.arange(0, n_latents, 2, device=DEVICE))
    if selector == "batch_topk":
        return kernels.encode_batch_topk(x, encoder, k * x.shape[0])
    limit = torch.tensor(2.0 if n_latents < 1000 else 4.0, device=DEVICE)
    if selector == "threshold":
        return kernels.encode_threshold(x, encoder, limit)
    return kernels.encode_threshold(x, encoder, limit + torch.linspace(0, 1, n_latents, device=DEVICE))


def _gradients(kernels: Kernels, codes: SparseCodes, given: Case) -> tuple[torch.Tensor, ...]:
    x_hat = kernels.decode(codes.with_values(codes.values.relu()), given.decoder, given.centre)
    return x_hat, *torch.autograd.grad((x_hat - given.x).square().sum(), list(given))


def _like(codes: SparseCodes, pre: torch.Tensor) -> SparseCodes:
    """The entries of `codes` with the values of `pre` there, which carry a gradient."""
    return codes.with_values(pre[codes.rows(), codes.indices.long()])


def _dense(given: Case) -> torch.Tensor:
    return (given.x - given.centre) @ given.weight + given.bias


@pytest.mark.parametrize("selector", _SELECTORS)
@pytest.mark.parametrize("sizes", SIZES, **WHICH)
def test_the_choice_is_the_reference_s_but_for_near_ties(sizes: Sizes, selector: str) -> None:
    given = case(sizes)
    with torch.no_grad():
        codes = _encode(_TRITON, selector, given, sizes.k)
        wanted = _encode(_REFERENCE, selector, given, sizes.k)
    pre = exact(given)
    tolerance = 2e-6 * sizes.width**0.5 * pre.abs().max()  # two float32 sums of D terms in unlike orders
    assert torch.allclose(codes.values.double(), pre[codes.rows(), codes.indices.long()], rtol=0, atol=float(tolerance))
    keys, wanted_keys = (c.rows() * sizes.n_latents + c.indices for c in (codes, wanted))
    assert (keys.diff() > 0).all()
    odd = torch.cat([keys[~torch.isin(keys, wanted_keys)], wanted_keys[~torch.isin(wanted_keys, keys)]])
    assert odd.numel() <= codes.nnz // 5000
    assert codes.fixed_k == wanted.fixed_k
    if selector == "batch_topk":
        assert codes.nnz == wanted.nnz
    if odd.numel() and selector in ("topk", "batch_topk"):
        near = pre[odd // sizes.n_latents, odd % sizes.n_latents].sort().values
        assert near.diff().min() < 2 * tolerance


@pytest.mark.parametrize("selector", _SELECTORS)
@pytest.mark.parametrize("sizes", [size for size in SIZES if size is not TWO_TILES], **WHICH)  # tiles are no matter of products
def test_reconstructions_and_gradients_equal_those_of_dense_autograd(sizes: Sizes, selector: str) -> None:
    given, wide = case(sizes), case(sizes).as_(torch.float64)
    codes = _encode(_TRITON, selector, given, sizes.k)
    results = _gradients(_TRITON, codes, given)
    wanted = _gradients(_REFERENCE, _like(codes, _dense(wide)), wide)
    for name, ours, theirs in zip(("x_hat", *Case._fields), results, wanted, strict=True):
        assert (ours - theirs).norm() <= 2e-6 * theirs.norm(), name
        assert ours.stride() == getattr(given, name, ours).stride(), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("selector", ["topk", "batch_topk", "threshold"])
def test_16_bit_weights_are_chosen_among_in_float32(selector: str, dtype: torch.dtype) -> None:
    given = case(ONE_TILE, seed=1, dtype=dtype)
    codes = _encode(_TRITON, selector, given, ONE_TILE.k)
    # The centred row is rounded to 16 bits, as torch would; what follows is in float32.
    narrow = Case((given.x - given.centre).detach().float(), *(t.detach().float() for t in given[1:]))
    wanted = _encode(_REFERENCE, selector, narrow._replace(centre=torch.zeros_like(narrow.centre)), ONE_TILE.k)
    assert torch.equal(codes.indices, wanted.indices)
    assert torch.equal(codes.values, wanted.values.to(dtype))
    results = _gradients(_TRITON, codes, given)
    wide = given.as_(torch.float64)
    for ours, theirs in zip(results, _gradients(_REFERENCE, _like(codes, _dense(wide)), wide), strict=True):
        assert ours.dtype == dtype
        assert (ours - theirs).norm() <= 2e-2 * theirs.norm()  # some roundings to 8 bits one after the other


def test_16_bit_rows_meet_float32_weights() -> None:
    given = case(ONE_TILE, seed=2)
    x = given.x.detach().bfloat16().requires_grad_()
    codes = _TRITON.encode_topk(x, given.encoder, 3)
    wanted = _REFERENCE.encode_topk(x.detach().float(), given.encoder, 3)
    assert torch.equal(codes.indices, wanted.indices)
    (grad,) = torch.autograd.grad(codes.values.sum(), x)
    assert grad.dtype == torch.bfloat16


@pytest.mark.parametrize("selector", ["topk", "batch_topk", "threshold"])
def test_ties_go_to_the_lowest_latent(selector: str) -> None:
    stream = torch.Generator().manual_seed(3)
    small = [
        torch.randint(-1, 2, shape, generator=stream).float().to(DEVICE) for shape in ((5, 7), (11, 7), (11,), (7,), (11, 7))
    ]
    given = Case(small[0], small[1].t(), small[2], small[3], small[4])  # small integers: every sum is exact, ties are everywhere
    codes, wanted = (_encode(kernels, selector, given, 3) for kernels in (_TRITON, _REFERENCE))
    assert torch.equal(codes.indices, wanted.indices)
    assert torch.equal(codes.offsets, wanted.offsets)
    assert torch.equal(codes.values, wanted.values)


@pytest.mark.parametrize("selector", ["topk", "batch_topk"])
def test_massive_outlier_dimensions_are_screened_again_in_float32(selector: str) -> None:
    given = case(TWO_TILES, seed=4)
    x, weight = given.x.detach().clone(), given.weight.detach().clone()
    x[:, 13] *= 1000.0  # its rounding to 8 bits alone moves scores by more than the others' whole range
    weight[13] = 0.1
    given = given._replace(x=x, weight=weight)
    with counted() as screened:
        codes = _encode(_TRITON, selector, given, TWO_TILES.k)
    assert screened.n_uncertified > 0
    wanted = _encode(_REFERENCE, selector, given.as_(torch.float64), TWO_TILES.k)
    assert torch.equal(codes.indices, wanted.indices)


@pytest.mark.parametrize("selector", ["topk", "batch_topk", "threshold"])
def test_latents_that_all_tie_are_scored_one_and_all(selector: str) -> None:
    sizes = Sizes(2, 7, 300, 3)
    given = case(sizes, seed=5)
    twins = given.weight.detach()[:, :1].expand(-1, 300).t().contiguous().t()
    given = Case(
        given.x.detach().abs(), twins.abs(), torch.zeros(300, device=DEVICE), torch.zeros(7, device=DEVICE), given.decoder
    )
    with counted() as screened:
        codes = _encode(_TRITON, selector, given, 3)
    assert screened.n_uncertified > 0
    if selector == "topk":
        assert codes.indices.tolist() == [0, 1, 2] * 2
    elif selector == "batch_topk":
        best = int(codes.rows()[0])
        assert codes.indices.tolist() == [0, 1, 2, 3, 4, 5]
        assert (codes.rows() == best).all()
    else:
        assert set(codes.offsets.diff().tolist()) <= {0, 300}


def test_what_is_not_a_number_is_chosen_so_that_the_loss_shows_it() -> None:
    given = case(ONE_TILE, seed=6)
    x = given.x.detach().clone()
    x[2, 3] = torch.nan
    for selector in ("topk", "batch_topk"):
        codes = _encode(_TRITON, selector, given._replace(x=x), 3)
        assert codes.values.isnan().any()
        rows = _encode(_REFERENCE, selector, given._replace(x=x), 3)
        assert torch.equal(codes.indices, rows.indices)


def test_an_entry_has_the_same_bits_whoever_chose_it() -> None:
    given = case(TWO_TILES, seed=7)
    dense = [_encode(_TRITON, selector, given, TWO_TILES.k).to_dense() for selector in ("topk", "batch_topk", "threshold")]
    for one in dense:
        for other in dense:
            both = (one != 0) & (other != 0)
            assert both.any()
            assert torch.equal(one[both], other[both])


@pytest.mark.parametrize("sizes", [ONE_TILE, pytest.param(SIZES[2].values[0], marks=pytest.mark.gpu)], **WHICH)
def test_the_same_input_gives_the_same_bits(sizes: Sizes) -> None:
    runs = []
    for _ in range(2):
        given = case(sizes, seed=8)
        codes = _encode(_TRITON, "topk", given, sizes.k)
        runs.append((codes.indices, codes.values, *_gradients(_TRITON, codes, given)))
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first, second)


def test_the_16_bit_copy_is_made_once_per_value_of_the_weight() -> None:
    given = case(ONE_TILE, seed=9)
    _TRITON.encode_topk(given.x, given.encoder, 3)
    copy = known_half_copy(given.weight)
    _TRITON.encode_topk(given.x, given.encoder, 3)
    assert copy is not None
    assert known_half_copy(given.weight) is copy
    with torch.no_grad():
        given.weight.mul_(-1.0)
    codes = _TRITON.encode_topk(given.x, given.encoder, 3)
    assert torch.equal(codes.indices, _REFERENCE.encode_topk(given.x, given.encoder, 3).indices)


def test_nothing_chosen_decodes_to_the_bias_and_still_differentiates() -> None:
    given = case(ONE_TILE, seed=10)
    codes = _TRITON.encode_threshold(given.x, given.encoder, torch.tensor(1e9, device=DEVICE))
    x_hat = _TRITON.decode(codes, given.decoder, given.centre)
    assert torch.equal(x_hat, given.centre.expand(5, 7))
    x_hat.sum().backward()
    assert not given.decoder.grad.any()


def test_factors_stand_for_the_dense_gradients() -> None:
    dense, factored = case(ONE_TILE, seed=11), case(ONE_TILE, seed=11)
    _TRITON.decode(_TRITON.encode_topk(dense.x, dense.encoder, 3), dense.decoder).square().sum().backward()
    with emit_factors():
        x_hat = _TRITON.decode(_TRITON.encode_topk(factored.x, factored.encoder, 3), factored.decoder)
    x_hat.square().sum().backward()
    weights = [factored.weight, factored.decoder]
    assert [w.grad for w in weights] == [None, None]
    materialise_factors(weights)
    assert torch.allclose(factored.weight.grad, dense.weight.grad, rtol=1e-6, atol=1e-6)
    assert torch.allclose(factored.decoder.grad, dense.decoder.grad, rtol=1e-6, atol=1e-6)


def test_what_triton_does_not_take_goes_the_way_of_the_torch_kernels() -> None:
    given = case(ONE_TILE, seed=12, dtype=torch.float64)
    with counted() as screened:
        for selector in _SELECTORS:
            codes, wanted = (_encode(kernels, selector, given, 3) for kernels in (_TRITON, _REFERENCE))
            assert torch.equal(codes.indices, wanted.indices), selector
            assert codes.values.dtype == torch.float64
        odd = Encoder(case(ONE_TILE).weight.detach().contiguous(), case(ONE_TILE).bias.detach())
        _TRITON.encode_topk(case(ONE_TILE).x.detach(), odd, 3)
    assert screened.n_rows == 0
    pre = torch.randn(5, 512, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    assert torch.equal(_TRITON.topk(pre, 3).indices, _REFERENCE.topk(pre, 3).indices)
    assert torch.equal(_TRITON.batch_topk(pre, 9).indices, _REFERENCE.batch_topk(pre, 9).indices)
    limit = torch.tensor(1.0, device=DEVICE)
    assert torch.equal(_TRITON.threshold(pre, limit).indices, _REFERENCE.threshold(pre, limit).indices)
