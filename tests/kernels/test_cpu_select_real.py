"""On activations of the bundled model every row's selection is that of all float32 scores."""

import pytest
import torch

from monoseme.activations import LiveSource
from monoseme.kernels import Encoder
from monoseme.kernels._cpu_topk import every_pre_activation
from monoseme.kernels._screening import counted
from monoseme.kernels.cpu import NumbaKernels
from monoseme.kernels.reference import batch_topk_by_sort, topk_by_sort
from monoseme.models import LanguageModel, Site
from monoseme.saes.topk import TopK
from monoseme.text import CorpusConfig, TokenStore

_NUMBA = NumbaKernels()


@pytest.fixture(scope="module")
def activations() -> torch.Tensor:
    """[B, D]: tokens of the bundled text at the model's middle."""
    model = LanguageModel.load("bundled")
    site = Site("resid_post", model.spec.n_layers // 2)
    store = TokenStore.build(CorpusConfig(), model.tokenizer, max_tokens=8_000)
    block = LiveSource(model, store.contexts("all"), [site], contexts_per_block=16).block(0)
    return block.activations[site][block.mask].contiguous()


@pytest.fixture(scope="module")
def encoder(activations: torch.Tensor) -> Encoder:
    """As training starts from, with a bias that is not zero."""
    sae = TopK(TopK.Config(d_in=activations.shape[1], n_latents=1031, k=32))
    sae.start(activations)
    weight = dict(sae.named_parameters())["W_enc"].detach()
    bias = 0.1 * torch.randn(1031, generator=torch.Generator().manual_seed(0))
    return Encoder(weight, bias, activations.mean(0))


def test_topk_of_every_row_is_exact(activations: torch.Tensor, encoder: Encoder) -> None:
    with counted() as screened:
        codes = _NUMBA.encode_topk(activations, encoder, 32)
    pre = torch.cat(list(every_pre_activation(activations - encoder.centre, encoder)))
    assert torch.equal(codes.indices.view(-1, 32).long(), topk_by_sort(pre, 32))
    assert screened.uncertified_fraction == 0.0
    assert screened.candidates_per_row is not None
    assert screened.candidates_per_row < 64


def test_batch_topk_is_exact(activations: torch.Tensor, encoder: Encoder) -> None:
    n = 32 * activations.shape[0]
    codes = _NUMBA.encode_batch_topk(activations, encoder, n)
    pre = torch.cat(list(every_pre_activation(activations - encoder.centre, encoder)))
    assert torch.equal(codes.rows() * 1031 + codes.indices, batch_topk_by_sort(pre, n))
