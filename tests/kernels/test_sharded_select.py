"""Selections over processes equal those of one: with ties, NaN, too few entries and rows of any length."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monoseme.kernels import Encoder, MeshKernels, kernels_named
from monoseme.kernels._sharded_select import batch_largest
from monoseme.tensors.processes import Mesh
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing.processes import in_threads

B, D, F = 7, 5, 11
_TORCH = kernels_named("torch")


def matrix(seed: int, n_values: int, *, n_rows: int = B) -> Tensor:
    """Few different values, so that ties are everywhere."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(-n_values, n_values + 1, (n_rows, F), generator=rng).float()


def part(x: Tensor, mesh: Mesh) -> Tensor:
    return x[mesh.rows.part_of(len(x)), mesh.latents.rank :: mesh.latents.size]


def together(parts: list[Tensor], *, rows: int, latents: int, n_rows: int = B) -> Tensor:
    """The matrix whose parts these are."""
    out = torch.zeros(n_rows, F, dtype=parts[0].dtype)
    for place, own in enumerate(parts):
        row, latent = divmod(place, latents)
        start = sum(len(parts[i * latents]) for i in range(row))
        out[start : start + len(own), latent::latents] = own
    return out


def marked(codes: SparseCodes) -> Tensor:
    """Which entries there are, zeros included."""
    return codes.with_values(torch.ones_like(codes.values)).to_dense()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), n_values=st.integers(0, 4), k=st.integers(1, F), latents=st.sampled_from([2, 3, 5]))
def test_the_k_largest_of_a_row_are_those_of_one_process(seed: int, n_values: int, k: int, latents: int) -> None:
    pre = matrix(seed, n_values)
    parts = in_threads(lambda mesh: marked(MeshKernels(_TORCH, mesh).topk(part(pre, mesh), k)), latents=latents)
    assert torch.equal(together(parts, rows=1, latents=latents), marked(_TORCH.topk(pre, k)))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    n_values=st.integers(0, 4),
    share=st.integers(1, F),
    ways=st.sampled_from([(2, 1), (3, 1), (1, 3), (2, 2)]),
)
def test_the_largest_of_a_batch_are_those_of_one_process(seed: int, n_values: int, share: int, ways: tuple[int, int]) -> None:
    pre, (rows, latents) = matrix(seed, n_values), ways

    def run(mesh: Mesh) -> Tensor:
        own = part(pre, mesh)
        return marked(MeshKernels(_TORCH, mesh).batch_topk(own, share * len(own)))

    wanted = marked(_TORCH.batch_topk(pre, share * B))
    assert torch.equal(together(in_threads(run, rows=rows, latents=latents), rows=rows, latents=latents), wanted)


def test_a_process_that_holds_all_of_the_largest_is_asked_for_more() -> None:
    pre = torch.arange(float(B * F)).reshape(B, F)  # the last rows have the largest
    asked: list[list[int]] = [[], [], []]

    def run(mesh: Mesh) -> Tensor:
        own = part(pre, mesh)

        def propose(n: int) -> SparseCodes:
            asked[mesh.rows.rank].append(n)
            return _TORCH.batch_topk(own, n)

        return marked(batch_largest(propose, len(own), n_entries=own.numel(), mesh=mesh, device=own.device))

    found = together(in_threads(run, rows=3), rows=3, latents=1)
    assert torch.equal(found, marked(_TORCH.batch_topk(pre, B)))
    assert [len(each) for each in asked] == [3, 3, 3]
    assert asked[2][-1] == B  # no process need give more than all that is wanted


@pytest.mark.parametrize("latents", [2, 3])
def test_nan_is_taken_first_and_ends_nothing(latents: int) -> None:
    pre = matrix(3, 2)
    pre[1, 4] = pre[2, 0] = pre[2, 7] = torch.nan
    parts = in_threads(lambda mesh: marked(MeshKernels(_TORCH, mesh).topk(part(pre, mesh), 2)), latents=latents)
    assert torch.equal(together(parts, rows=1, latents=latents), marked(_TORCH.topk(pre, 2)))
    in_threads(lambda mesh: MeshKernels(_TORCH, mesh).batch_topk(part(pre, mesh), 2 * B), latents=latents)


@pytest.mark.parametrize("dead", [[], [3], [0, 3, 6, 9], [1, 2, 3, 4, 5]])
def test_a_choice_among_latents_of_one_process_is_made_by_all(dead: list[int]) -> None:
    rng = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(shape, generator=rng) for shape in ((B, D), (F, D), (F,)))
    among = torch.tensor(dead, dtype=torch.int64)

    def run(mesh: Mesh) -> Tensor:
        rank, size = mesh.latents.rank, mesh.latents.size
        own = Encoder(weight[rank::size].contiguous().t(), bias[rank::size].contiguous())
        here = among[among % size == rank] // size
        return marked(MeshKernels(_TORCH, mesh).encode_topk(x, own, 2, among=here))

    found = together(in_threads(run, latents=3), rows=1, latents=3)
    wanted = marked(_TORCH.encode_topk(x, Encoder(weight.t(), bias), 2, among=among)) if dead else torch.zeros(B, F)
    assert torch.equal(found, wanted)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), k=st.integers(1, 4))
def test_the_strongest_of_given_entries_are_those_of_one_process(seed: int, k: int) -> None:
    values = matrix(seed, 3)
    every = SparseCodes.from_topk(torch.arange(F).expand(B, -1), values, F)

    def run(mesh: Mesh) -> tuple[Tensor, Tensor]:
        own = part(values, mesh)
        kernels = MeshKernels(_TORCH, mesh)
        given_here = SparseCodes.from_topk(torch.arange(own.shape[1]).expand(len(own), -1), own, own.shape[1])
        return marked(kernels.strongest_of_rows(given_here, k)), marked(kernels.strongest_of_batch(given_here, k * len(own)))

    of_rows, of_batch = zip(*in_threads(run, latents=3), strict=True)
    assert torch.equal(together([*of_rows], rows=1, latents=3), marked(_TORCH.strongest_of_rows(every, k)))
    assert torch.equal(together([*of_batch], rows=1, latents=3), marked(_TORCH.strongest_of_batch(every, k * B)))
