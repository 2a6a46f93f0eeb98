"""Cosines between layers and norms against numpy on all tokens at once."""

import numpy as np
import pytest
import torch

from monoseme.evaluation import DocumentWeights
from monoseme.evaluation import _layer_vectors as layer_vectors
from monoseme.evaluation._chunks import document_rows
from monoseme.evaluation._layer_vectors import CentreSums, LayerVectors, cosines

_T, _L, _D = 101, 3, 7
_WEIGHTS = DocumentWeights(n_replicates=20, seed=0)


def _x(seed: int = 0) -> torch.Tensor:
    gen = torch.Generator().manual_seed(seed)
    x = torch.randn(_T, _L, _D, generator=gen) + 3 * torch.randn(_L, _D, generator=gen)
    x[:, 2] += 0.5 * x[:, 1]
    x[5, 1] = 0.0  # a vector without a direction
    return x


def _documents() -> torch.Tensor:
    return torch.arange(_T) // 23


def _measured(x: torch.Tensor, *, step: int) -> LayerVectors:
    first = CentreSums(_L, _D)
    for part in x.split(step):
        first.update(part)
    second = LayerVectors(first.centres(), _WEIGHTS)
    for part, documents in zip(x.split(step), _documents().split(step), strict=True):
        second.update(part, document_rows(documents))
    return second


@pytest.mark.parametrize(("step", "numbers"), [(_T, 1 << 22), (13, 1 << 22), (_T, 2 * _L * _D)])
def test_cosines_and_norms_are_those_of_all_tokens_at_once(step: int, numbers: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layer_vectors, "_MOST_NUMBERS", numbers)
    x = _x().double().numpy()
    sums = _measured(_x(), step=step).sums()
    norm = np.linalg.norm(x, axis=2)
    np.testing.assert_allclose(sums["norm"][0].numpy() / _T, norm.mean(0), rtol=1e-12)
    np.testing.assert_allclose(sums["norm_gap"][0].numpy() / _T, norm.var(0), rtol=1e-12)
    for kind, vectors in (("raw", x), ("centred", x - x.mean(0))):
        found = cosines(sums, kind)
        for i in range(_L):
            for j in range(_L):
                has = (np.linalg.norm(vectors[:, i], axis=1) > 0) & (np.linalg.norm(vectors[:, j], axis=1) > 0)
                a, b = vectors[has, i], vectors[has, j]
                cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
                assert float(found.mean[0, i, j]) == pytest.approx(cosine.mean(), rel=1e-12)
                assert float(found.var[i, j]) == pytest.approx(cosine.var(), rel=1e-9, abs=1e-14)
                assert int(found.n[i, j]) == has.sum()
    assert int(cosines(sums, "raw").n[1, 2]) == _T - 1


def test_replicates_count_each_document_as_often_as_it_was_drawn():
    x, found = _x(), _measured(_x(), step=13)
    times = _WEIGHTS.of(list(range(5)))[_documents(), 7].numpy()
    unit = torch.nn.functional.normalize(x.double(), dim=2).numpy()
    expected = (times * (unit[:, 0] * unit[:, 2]).sum(1)).sum() / times.sum()
    assert float(cosines(found.sums(), "raw").mean[7, 0, 2]) == pytest.approx(expected, rel=1e-12)
    assert found.n_documents == 5


def test_a_mean_that_all_layers_share_is_not_taken_for_likeness():
    gen = torch.Generator().manual_seed(0)
    x = torch.randn(500, 2, 32, generator=gen) + 10.0
    first = CentreSums(2, 32)
    first.update(x)
    second = LayerVectors(first.centres(), _WEIGHTS)
    second.update(x, document_rows(torch.arange(500) // 50))
    assert float(cosines(second.sums(), "raw").mean[0, 0, 1]) > 0.95
    assert abs(float(cosines(second.sums(), "centred").mean[0, 0, 1])) < 0.05
