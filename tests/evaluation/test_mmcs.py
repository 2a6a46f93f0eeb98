"""The largest cosine of each latent, against brute force; quirks, against MLSAE's own numbers; what latents write."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from monoseme.evaluation import directions_of, largest_cosines, largest_cosines_as_mlsae, mmcs, spread
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.topk import TopK


def directions(n: int, width: int = 11, *, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(n, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def by_brute_force(rows: torch.Tensor, others: torch.Tensor | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Every pair in float64, some rows at a time."""
    a = (rows.double() / rows.double().norm(dim=1, keepdim=True)).numpy()
    b = a if others is None else (others.double() / others.double().norm(dim=1, keepdim=True)).numpy()
    best, index = np.empty(len(a)), np.empty(len(a), dtype=np.int64)
    for start in range(0, len(a), 500):
        cosines = a[start : start + 500] @ b.T
        if others is None:
            cosines[np.arange(len(cosines)), start + np.arange(len(cosines))] = -np.inf
        index[start : start + 500], best[start : start + 500] = cosines.argmax(1), cosines.max(1)
    return best, index


@pytest.mark.parametrize("n", [7, 1_000, 6_007, pytest.param(20_000, marks=pytest.mark.slow)])
def test_the_largest_cosine_is_that_of_brute_force_at_every_size(n: int) -> None:
    rows = directions(n)
    found = largest_cosines(rows)
    best, index = by_brute_force(rows)
    assert np.array_equal(found.partner, index)
    # Two float64 products of 11 terms: they differ by a few roundings.
    np.testing.assert_allclose(found.similarity, best, rtol=0, atol=1e-14)
    assert mmcs(found).mean == pytest.approx(best.mean(), abs=1e-14)


def test_two_dictionaries_are_compared_in_both_directions() -> None:
    a, b = directions(53), directions(71, seed=1)
    for one, other in ((a, b), (b, a)):
        found = largest_cosines(one, other)
        best, index = by_brute_force(one, other)
        assert np.array_equal(found.partner, index)
        np.testing.assert_allclose(found.similarity, best, rtol=0, atol=1e-14)


@given(st.integers(1, 60), st.integers(1, 400), st.booleans())
@settings(max_examples=40)
def test_blocks_of_any_size_give_the_same_bits(n: int, block_entries: int, is_doubled: bool) -> None:
    rows = directions(n, 5, seed=n)
    rows = torch.cat([rows, rows]) if is_doubled else rows
    whole, chunked = largest_cosines(rows), largest_cosines(rows, block_entries=block_entries)
    assert np.array_equal(whole.similarity, chunked.similarity, equal_nan=True)
    assert np.array_equal(whole.partner, chunked.partner)


def test_equal_cosines_go_to_the_lowest_number() -> None:
    rows = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0], [3.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    found = largest_cosines(rows)
    assert found.partner.tolist() == [1, 2, 1, 1]
    assert found.similarity.tolist() == [0.0, 1.0, 1.0, 1.0]


def test_cosines_that_float32_cannot_tell_apart_are_told_apart() -> None:
    near = torch.tensor([[1.0, 0.0], [1.0, 2e-5], [1.0, 1e-5], [1.0, 3e-5]], dtype=torch.float64)
    assert largest_cosines(near[:1], near[[1, 2, 3]]).partner.tolist() == [1]


def test_signs_count_and_a_row_without_direction_is_no_ones_partner() -> None:
    found = largest_cosines(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]))
    assert found.similarity[:2].tolist() == [-1.0, -1.0]
    assert found.partner[:2].tolist() == [1, 0]
    assert found.exists.tolist() == [True, True, False]
    alone = largest_cosines(torch.ones(1, 3))
    assert not alone.exists.any()
    assert mmcs(alone) == (0, None, None, None, None)


def test_mean_variance_and_standard_error_are_over_what_exists() -> None:
    assert spread(np.array([1.0, np.nan, 2.0, 6.0])) == (3, 3.0, 7.0, pytest.approx(7**0.5), pytest.approx((7 / 3) ** 0.5))
    assert spread(np.array([4.0])) == (1, 4.0, None, None, None)


def test_the_published_definition_and_both_quirks_reproduce(shared: Path) -> None:
    v = load_file(shared / "vectors" / "mlsae.safetensors")
    rows = v["mmcs.W_dec"].T
    # Theirs are float32 products of unit columns.
    np.testing.assert_allclose(largest_cosines(rows).similarity, v["mmcs.brute_force"], rtol=0, atol=3e-7)
    np.testing.assert_allclose(largest_cosines_as_mlsae(rows), v["mmcs.full_branch"], rtol=0, atol=3e-7)
    np.testing.assert_allclose(largest_cosines_as_mlsae(rows, chunk=8), v["mmcs.chunked_branch_8"], rtol=0, atol=3e-7)


def test_the_quirk_leaves_out_what_was_read_off_the_indices() -> None:
    # Latent 4 of 8 in chunks of 4 is compared with nothing, latent 1 with 0 and 4 to 7.
    rows = torch.eye(8)
    rows[2] = rows[3] = rows[1]
    assert largest_cosines_as_mlsae(rows, chunk=4)[1] == 0.0
    rows[4] = rows[5] = rows[1]
    assert largest_cosines_as_mlsae(rows, chunk=4)[[1, 4]].tolist() == [1.0, 0.0]


def test_what_latents_write_is_the_decoder_whatever_the_bias() -> None:
    sae = TopK(TopK.Config(d_in=5, n_latents=13, k=2))
    with torch.no_grad():
        sae.b_dec.fill_(300.0)
    # A bias of 300 alone would leave three digits of a decoder entry in float32.
    torch.testing.assert_close(directions_of(sae, n_sites=1), sae.W_dec.double(), atol=1e-7, rtol=0)


def test_what_latents_write_to_several_sites_is_taken_where_it_is_most() -> None:
    sae = Crosscoder(Crosscoder.Config(d_in=5, n_latents=13, n_sites=3, k=2))
    rows = sae.W_dec.detach().double().reshape(13, 3, 5)
    strongest = rows[torch.arange(13), rows.norm(dim=2).argmax(1)]
    expected = torch.nn.functional.normalize(strongest, dim=1)
    torch.testing.assert_close(directions_of(sae, n_sites=3), expected, atol=1e-7, rtol=0)


def test_an_sae_with_one_dictionary_for_all_layers_writes_its_rows() -> None:
    sae = MLSAE(MLSAE.Config(d_in=5, n_latents=13, n_sites=3, k=2))
    expected = torch.nn.functional.normalize(sae.W_dec.detach().double(), dim=1)
    torch.testing.assert_close(directions_of(sae, n_sites=3), expected, atol=1e-7, rtol=0)
