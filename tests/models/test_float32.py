"""Captures multiply float32 by the quicker library, to the same numbers, and leave everything else alone."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from monoseme.kernels import Fastest, taking
from monoseme.models import LanguageModel, Site
from monoseme.models import _float32 as float32
from monoseme.testing.models import TINY_FAMILIES

ONEDNN, MKL = Fastest("onednn", "mkl"), Fastest("mkl", "mkl")

needs_onednn = pytest.mark.skipif(float32._onednn() is None, reason="this torch has no float32 oneDNN")


class Counting:
    """A plain product that remembers how often it was called."""

    def __init__(self) -> None:
        self.n_calls = 0

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        self.n_calls += 1
        return functional.linear(x, weight, bias)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Stands for oneDNN, for products of any size."""
    counting = Counting()
    monkeypatch.setattr(float32, "_onednn", lambda: counting)
    monkeypatch.setattr(float32, "_LEAST_WORK", 1)
    return counting


@needs_onednn
@pytest.mark.parametrize("family", TINY_FAMILIES)
def test_activations_are_those_of_the_plain_forward_to_1e_5(
    tiny: Callable[[str], LanguageModel], tokens: Tensor, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(float32, "_LEAST_WORK", 1)
    model, site = tiny(family), Site("resid_post", 1)
    with taking(MKL):
        plain = model.capture(tokens, [site])[site]
    with taking(ONEDNN):
        quick = model.capture(tokens, [site])[site]
    # Float32 rounds to 6e-8; a few layers of it come to some 1e-7, bfloat16 would to 3e-3.
    assert float((quick - plain).norm() / plain.norm()) < 1e-5


def test_captures_use_the_product_that_is_in_force(llama: LanguageModel, tokens: Tensor, counted: Counting) -> None:
    with taking(MKL):
        llama.capture(tokens, [Site("resid_post", 0)])
    assert counted.n_calls == 0
    with taking(ONEDNN):
        llama.capture(tokens, [Site("resid_post", 0)])
    assert counted.n_calls == 7  # query, key, value, output; gate, up, down


def test_transposed_weights_of_gpt2_go_the_same_way(
    tiny: Callable[[str], LanguageModel], tokens: Tensor, counted: Counting
) -> None:
    with taking(ONEDNN):
        tiny("gpt2").capture(tokens, [Site("resid_post", 0)])
    assert counted.n_calls == 4


def test_other_products_stay_as_they_are(counted: Counting) -> None:
    x, weight = torch.randn(5, 7), torch.randn(11, 7)
    with taking(ONEDNN), float32.quick_products():
        functional.linear(x, weight.clone().requires_grad_())  # may ask for a gradient
        with torch.no_grad():
            functional.linear(x.double(), weight.double())
            functional.linear(x.bfloat16(), weight.bfloat16())
            with torch.autocast("cpu", dtype=torch.bfloat16):
                functional.linear(x, weight)
            assert counted.n_calls == 0
            functional.linear(x, weight)
    assert counted.n_calls == 1


def test_an_exception_inside_leaves_nothing_behind(counted: Counting) -> None:
    with pytest.raises(ZeroDivisionError), taking(ONEDNN), float32.quick_products():
        raise ZeroDivisionError
    with taking(ONEDNN), torch.no_grad():
        functional.linear(torch.randn(5, 7), torch.randn(11, 7))
    assert counted.n_calls == 0
    assert torch.get_float32_matmul_precision() == "highest"


def test_another_thread_multiplies_as_ever(counted: Counting) -> None:
    def elsewhere() -> None:
        with torch.no_grad():
            functional.linear(torch.randn(5, 7), torch.randn(11, 7))

    with taking(ONEDNN), float32.quick_products():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert counted.n_calls == 0


def test_a_product_that_rounds_to_bfloat16_is_found_out() -> None:
    def rounded(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.linear(x.bfloat16(), weight.bfloat16(), None if bias is None else bias.bfloat16()).float()

    assert float32.rounding_error(functional.linear) < float32._MOST_ERROR < float32.rounding_error(rounded) / 100
