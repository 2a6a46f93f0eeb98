"""What the Triton kernels are made of: numbers in order, the n-th largest, intervals that hold, sums by latent."""

import pytest
import torch
from tests.kernels._gpu_cases import DEVICE, ODD, REASON, RUNS, TWO_TILES, WHICH, Sizes, case, exact

from monoseme.tensors.sparse import SparseCodes

if not RUNS:
    pytest.skip(REASON, allow_module_level=True)

from monoseme.kernels._gpu_candidates import ends, row_candidates
from monoseme.kernels._gpu_choice import choose
from monoseme.kernels._gpu_encode import Problem
from monoseme.kernels._gpu_products import TritonProducts
from monoseme.kernels._gpu_screen import kept_per_tile
from monoseme.kernels._gpu_threshold import nth_largest

_BIG = pytest.param(ODD, marks=pytest.mark.gpu)


def _numbers(n: int, *, levels: int | None) -> torch.Tensor:
    x = torch.randn(n, generator=torch.Generator().manual_seed(n))
    return (x if levels is None else (x * levels).round() / levels).to(DEVICE)


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("n", [1, 7, 4099, pytest.param(3_000_017, marks=pytest.mark.gpu)])
def test_nth_largest_equals_the_sort(n: int, levels: int | None) -> None:
    numbers = _numbers(n, levels=levels)
    falling = numbers.sort(descending=True).values
    for rank in sorted({1, n // 3 + 1, n}):
        assert nth_largest(numbers, rank) == falling[rank - 1]


def test_nth_largest_takes_what_is_not_a_number_for_the_largest() -> None:
    numbers = torch.tensor([-torch.inf, 2.0, torch.nan, -3.0, torch.inf, -0.0], device=DEVICE)
    assert nth_largest(numbers, 1).isnan()
    assert [float(nth_largest(numbers, rank)) for rank in range(2, 7)] == [torch.inf, 2.0, 0.0, -3.0, -torch.inf]


def test_the_choice_breaks_ties_by_latent_and_passes_over_what_is_missing() -> None:
    latents = torch.full((3, 32), -1, dtype=torch.int32, device=DEVICE)
    values = torch.full((3, 32), 100.0, device=DEVICE)
    latents[:, [4, 9, 20, 31]] = torch.tensor([8, 2, 5, 3], dtype=torch.int32, device=DEVICE)
    values[:, [4, 9, 20, 31]] = torch.tensor([[1.0, 1.0, -1.0, 2.0], [0.0, -0.0, -1.0, -2.0], [torch.nan, -1.0, 9.0, torch.inf]],
                                             device=DEVICE)  # fmt: skip
    chosen = choose(latents, values, 2)
    assert chosen.latents.tolist() == [[2, 3], [2, 8], [3, 8]]
    assert chosen.values[:2].tolist() == [[1.0, 2.0], [0.0, 0.0]]
    assert chosen.values[2].isinf().tolist() == [True, False]


def _problem(sizes: Sizes, *, outlier: float = 1.0) -> tuple[Problem, torch.Tensor]:
    given = case(sizes, seed=21)
    x = given.x.detach().clone()
    x[:, 0] *= outlier
    given = given._replace(x=x)
    bias = given.bias.detach()
    return Problem(x - given.centre.detach(), given.weight, bias, bias, bias.abs()), exact(given)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("outlier", [1.0, 300.0, 1e-30])
@pytest.mark.parametrize("sizes", [TWO_TILES, _BIG], **WHICH)
def test_the_interval_of_every_kept_latent_holds_its_pre_activation(sizes: Sizes, outlier: float, dtype: torch.dtype) -> None:
    problem, pre = _problem(sizes, outlier=outlier)
    found = ends(problem.screened(dtype, 8))
    real = found.latents >= 0
    assert real.any()
    at = pre.gather(1, found.latents.clamp(min=0).long())
    assert (found.lower <= at)[real].all()
    assert (found.upper >= at)[real].all()
    if outlier == 1.0:  # and it is narrow: a bound that holds everything proves nothing
        widths = (found.upper - found.lower)[real]
        assert widths.max() < pre.std() * (0.5 if dtype == torch.bfloat16 else 0.02)


@pytest.mark.parametrize("sizes", [TWO_TILES, _BIG], **WHICH)
def test_certified_rows_have_all_of_their_largest_among_the_candidates(sizes: Sizes) -> None:
    problem, pre = _problem(sizes)
    kept = kept_per_tile(sizes.k, sizes.n_latents)
    assert kept is not None
    found = row_candidates(problem.screened(torch.bfloat16, kept), sizes.k, 256)
    assert found.certified.all()
    for latents, wanted in zip(found.latents[:50], pre.topk(sizes.k, dim=1).indices[:50], strict=False):
        assert torch.isin(wanted, latents).all()


def test_a_row_without_room_for_its_candidates_is_not_certified() -> None:
    problem, _ = _problem(TWO_TILES)
    screened = problem.screened(torch.bfloat16, 8)
    assert not row_candidates(screened, 4, 2).certified.any()
    narrow = problem.screened(torch.bfloat16, 2)  # two of each tile kept, and nine wanted
    assert not row_candidates(narrow, 9, 32).certified.any()


def test_k_too_large_for_tiles_is_said_so() -> None:
    assert kept_per_tile(32, 8192) == 8
    assert kept_per_tile(32, 24576) == 8
    assert kept_per_tile(64, 2048) == 32
    assert kept_per_tile(100, 128) is None


def _crowded(n_rows: int, width: int) -> tuple[SparseCodes, torch.Tensor]:
    """Latent 1 is active in every row, latents 0, 3 and 4 in some, latent 2 in none."""
    rows = torch.randn(n_rows, width, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    dense = torch.zeros(n_rows, 5, device=DEVICE)
    dense[:, 1] = torch.linspace(-1, 2, n_rows, device=DEVICE) + 0.01
    dense[::7, 0] = 0.5
    dense[3::5, 3] = -2.0
    dense[-1, 4] = 3.0
    return SparseCodes.from_dense(dense), rows


@pytest.mark.parametrize("n_rows", [1, 64, 131, 300, pytest.param(100_003, marks=pytest.mark.gpu)])
def test_sums_by_latent_equal_the_dense_product_where_one_latent_is_everywhere(n_rows: int) -> None:
    codes, rows = _crowded(n_rows, 5)
    products = TritonProducts()
    dense = codes.to_dense().double()
    sums, totals = products.latent_sums(codes, rows), products.latent_totals(codes)
    assert torch.allclose(sums.double(), dense.t() @ rows.double(), rtol=1e-4, atol=1e-6 * n_rows)
    assert torch.allclose(totals.double(), dense.sum(0), rtol=1e-4, atol=1e-6 * n_rows)
    assert torch.equal(sums, products.latent_sums(codes, rows))
    assert not sums[2].any()


def test_products_of_codes_with_any_number_of_entries_per_row() -> None:
    codes, rows = _crowded(13, 11)
    weight = torch.randn(5, 11, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    bias = torch.arange(11.0, device=DEVICE)
    products = TritonProducts()
    x_hat = codes.to_dense() @ weight + bias
    assert torch.allclose(products.weighted_rows(codes, weight, bias), x_hat, rtol=1e-5, atol=1e-5)
    wanted = (rows[codes.rows()] * weight[codes.indices.long()]).sum(1)
    assert torch.allclose(products.dots(codes, rows, weight), wanted, rtol=1e-5, atol=1e-5)
