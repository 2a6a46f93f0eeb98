"""The fast kernels equal the reference in values and gradients; both match finite differences in float64."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monoseme.kernels import Encoder, Kernels, kernels_named, why_not
from monoseme.tensors.factored import emit_factors, materialise_factors, take_factors
from monoseme.tensors.sparse import SparseCodes

_NAMES = ("reference", "torch", pytest.param("numba", marks=pytest.mark.skipif(why_not("numba") is not None, reason="no Numba")))
"""Sets for a CPU; in float64 the numba set is the torch set, so that what its loops do is tested in float32."""
_SELECTORS = ("topk", "among", "batch_topk", "threshold", "thresholds")


def _tensors(n_rows: int, width: int, n_latents: int, *, seed: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=stream, dtype=torch.float64).to(dtype)

    made = {"x": draw(n_rows, width), "W_enc": draw(n_latents, width).t(), "b_enc": draw(n_latents)}
    return made | {"b_dec": draw(width), "W_dec": draw(n_latents, width)}


def _encode(kernels: Kernels, selector: str, x: torch.Tensor, encoder: Encoder) -> SparseCodes:
    n_latents = encoder.weight.shape[1]
    if selector == "topk":
        return kernels.encode_topk(x, encoder, 3)
    if selector == "among":
        return kernels.encode_topk(x, encoder, 3, among=torch.arange(0, n_latents, 2))
    if selector == "batch_topk":
        return kernels.encode_batch_topk(x, encoder, 3 * x.shape[0])
    if selector == "threshold":
        return kernels.encode_threshold(x, encoder, torch.tensor(0.5, dtype=x.dtype))
    return kernels.encode_threshold(x, encoder, torch.linspace(0, 1, n_latents, dtype=x.dtype))


def _reconstruct(kernels: Kernels, selector: str) -> Callable[..., torch.Tensor]:
    def run(x, W_enc, b_enc, b_dec, W_dec):
        codes = _encode(kernels, selector, x, Encoder(W_enc, b_enc, b_dec))
        return kernels.decode(codes.with_values(codes.values.relu()), W_dec, b_dec)

    return run


@pytest.mark.parametrize("selector", _SELECTORS)
@pytest.mark.parametrize("name", _NAMES[:2])
def test_gradients_match_finite_differences(name: str, selector: str) -> None:
    tensors = [t.requires_grad_() for t in _tensors(5, 7, 11, seed=0, dtype=torch.float64).values()]
    assert torch.autograd.gradcheck(_reconstruct(kernels_named(name), selector), tensors)


@settings(deadline=None, max_examples=40)
@given(n_rows=st.integers(1, 40), width=st.integers(1, 17), n_latents=st.sampled_from([4, 11, 64, 97, 160, 512]),
       selector=st.sampled_from(_SELECTORS), seed=st.integers(0, 99))  # fmt: skip
def test_fast_equals_reference(n_rows: int, width: int, n_latents: int, selector: str, seed: int) -> None:
    results = []
    for name in _NAMES[:2]:
        # float64: the two add in different orders, which in float32 could swap near ties
        tensors = _tensors(n_rows, width, n_latents, seed=seed, dtype=torch.float64)
        leaves = {key: tensor.requires_grad_() for key, tensor in tensors.items()}
        kernels = kernels_named(name)
        encoder = Encoder(leaves["W_enc"], leaves["b_enc"], leaves["b_dec"])
        codes = _encode(kernels, selector, leaves["x"], encoder)
        x_hat = kernels.decode(codes.with_values(codes.values.relu()), leaves["W_dec"], leaves["b_dec"])
        (x_hat - leaves["x"]).square().sum().backward()
        results.append((codes, x_hat, leaves))
    (codes, x_hat, leaves), (fast_codes, fast_x_hat, fast_leaves) = results
    assert torch.equal(codes.indices, fast_codes.indices)
    assert torch.equal(codes.offsets, fast_codes.offsets)
    assert torch.allclose(codes.values, fast_codes.values, rtol=1e-10)
    assert torch.allclose(x_hat, fast_x_hat, rtol=1e-10)
    for key, leaf in leaves.items():
        assert torch.allclose(leaf.grad, fast_leaves[key].grad, rtol=1e-9, atol=1e-9), key


@pytest.mark.parametrize("selector", _SELECTORS)
@pytest.mark.parametrize("name", _NAMES[1:])
@pytest.mark.parametrize("sizes", [(5, 7, 11), (67, 29, 277)], ids=str)
def test_in_whole_numbers_codes_and_gradients_are_the_references_in_float32_too(
    sizes: tuple[int, int, int], name: str, selector: str
) -> None:
    """Sums of small whole numbers are exact in any order, so that nothing but an entry or a term left out makes a difference."""
    results = []
    for which in ("reference", name):
        kernels = kernels_named(which)
        leaves = {key: t.round().requires_grad_() for key, t in _tensors(*sizes, seed=7, dtype=torch.float32).items()}
        leaves["W_enc"] = leaves["W_enc"].detach().t().contiguous().t().requires_grad_()  # as SAEs keep it, which loops ask for
        codes = _encode(kernels, selector, leaves["x"], Encoder(leaves["W_enc"], leaves["b_enc"], leaves["b_dec"]))
        x_hat = kernels.decode(codes.with_values(codes.values.relu()), leaves["W_dec"], leaves["b_dec"])
        (x_hat * (torch.arange(x_hat.numel()) % 3 - 1).view_as(x_hat)).sum().backward()
        results.append([codes.indices, codes.offsets, codes.values, x_hat, *(leaf.grad for leaf in leaves.values())])
        assert all(leaf.grad.any() for leaf in leaves.values())
    assert all(torch.equal(found, wanted) for wanted, found in zip(*results, strict=True))


@pytest.mark.parametrize("name", _NAMES)
def test_selectors_on_a_matrix_pass_the_gradient_to_the_chosen_entries(name: str) -> None:
    kernels = kernels_named(name)
    pre = torch.randn(5, 512, generator=torch.Generator().manual_seed(0), requires_grad=True)
    limit = torch.tensor(1.0)
    for select in (lambda p: kernels.topk(p, 3), lambda p: kernels.batch_topk(p, 15), lambda p: kernels.threshold(p, limit)):
        codes = select(pre)
        (grad,) = torch.autograd.grad(codes.values.sum(), pre)
        assert torch.equal(grad != 0, codes.to_dense() != 0)
        assert torch.equal(codes.values, pre[codes.rows(), codes.indices.long()])


@pytest.mark.parametrize("name", _NAMES)
def test_batch_topk_keeps_exactly_n(name: str) -> None:
    kernels = kernels_named(name)
    pre = torch.zeros(13, 512)
    for n in (1, 13 * 5, 13 * 512, 13 * 512 + 1):
        assert kernels.batch_topk(pre, n).nnz == min(n, 13 * 512)


@pytest.mark.parametrize("name", _NAMES)
def test_entries_of_a_row_are_ordered_by_latent(name: str) -> None:
    tensors = _tensors(5, 7, 512, seed=1, dtype=torch.float32)
    encoder = Encoder(tensors["W_enc"], tensors["b_enc"], tensors["b_dec"])
    for selector in _SELECTORS:
        codes = _encode(kernels_named(name), selector, tensors["x"], encoder)
        keys = codes.rows() * 512 + codes.indices
        assert (keys.diff() > 0).all(), selector


def test_many_rows_are_encoded_in_chunks_like_few(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = _tensors(37, 7, 11, seed=2, dtype=torch.float64)
    encoder = Encoder(tensors["W_enc"], tensors["b_enc"], tensors["b_dec"])
    whole = kernels_named("torch").encode_topk(tensors["x"], encoder, 3)
    monkeypatch.setattr("monoseme.kernels.torch_fast._CHUNK_ELEMENTS", 22)
    monkeypatch.setattr("monoseme.kernels.torch_fast._CHUNK_ROWS", 2)
    chunked = kernels_named("torch").encode_topk(tensors["x"], encoder, 3)
    assert torch.equal(whole.indices, chunked.indices)
    assert torch.allclose(whole.values, chunked.values, rtol=1e-12)
    above = kernels_named("torch").encode_threshold(tensors["x"], encoder, torch.tensor(0.5, dtype=torch.float64))
    assert above.n_rows == 37


@pytest.mark.parametrize("name", _NAMES)
def test_nothing_selected_decodes_to_the_bias_and_still_differentiates(name: str) -> None:
    kernels = kernels_named(name)
    tensors = {k: t.requires_grad_() for k, t in _tensors(5, 7, 11, seed=3, dtype=torch.float32).items()}
    encoder = Encoder(tensors["W_enc"], tensors["b_enc"], tensors["b_dec"])
    codes = kernels.encode_threshold(tensors["x"], encoder, torch.tensor(1e9))
    x_hat = kernels.decode(codes, tensors["W_dec"], tensors["b_dec"])
    assert torch.equal(x_hat, tensors["b_dec"].expand(5, 7))
    x_hat.sum().backward()
    assert tensors["W_dec"].grad is not None
    assert not tensors["W_dec"].grad.any()


@pytest.mark.parametrize("name", _NAMES[1:])
def test_factors_stand_for_the_dense_gradients(name: str) -> None:
    dense = {k: t.requires_grad_() for k, t in _tensors(5, 7, 11, seed=4, dtype=torch.float32).items()}
    factored = {k: t.requires_grad_() for k, t in _tensors(5, 7, 11, seed=4, dtype=torch.float32).items()}
    run = _reconstruct(kernels_named(name), "topk")
    run(*dense.values()).square().sum().backward()
    with emit_factors():
        x_hat = run(*factored.values())
    x_hat.square().sum().backward()
    weights = [factored["W_enc"], factored["W_dec"]]
    assert [w.grad for w in weights] == [None, None]
    materialise_factors(weights)
    for key, tensor in factored.items():
        assert torch.equal(tensor.grad, dense[key].grad), key
    assert take_factors(factored["W_enc"]) == []


@pytest.mark.parametrize("name", _NAMES[1:])
def test_encoder_gradients_keep_the_memory_layout_of_the_encoder(name: str) -> None:
    tensors = {k: t.requires_grad_() for k, t in _tensors(5, 7, 11, seed=5, dtype=torch.float32).items()}
    _reconstruct(kernels_named(name), "topk")(*tensors.values()).sum().backward()
    assert tensors["W_enc"].stride() == tensors["W_enc"].grad.stride() == (1, 7)


def test_under_autocast_values_stay_float32_and_close() -> None:
    tensors = _tensors(5, 7, 11, seed=6, dtype=torch.float32)
    encoder = Encoder(tensors["W_enc"], tensors["b_enc"], tensors["b_dec"])
    full = kernels_named("torch").encode_threshold(tensors["x"], encoder, torch.tensor(-1e9))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = kernels_named("torch").encode_threshold(tensors["x"], encoder, torch.tensor(-1e9))
    assert low.values.dtype == torch.float32
    assert torch.allclose(low.values, full.values, atol=0.2)  # bfloat16 has 8 bits; the values are near 3
    assert not torch.equal(low.values, full.values)
