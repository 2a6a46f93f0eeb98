"""Standard errors: the Poisson bootstrap, its sums, and what it gives where the answer is known."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from monoseme.evaluation._base import EvalSubject
from monoseme.evaluation._bootstrap import DocumentWeights, WeightedSums, estimate, ratio
from monoseme.evaluation.fidelity import Fidelity


def test_weights_belong_to_the_document_not_to_the_batch():
    together = DocumentWeights(n_replicates=17, seed=5).of([3, 8, 2])
    apart = DocumentWeights(n_replicates=17, seed=5)
    for i, document in enumerate([3, 8, 2]):
        assert torch.equal(apart.of([document])[0], together[i])
    assert together.shape == (3, 18)
    assert torch.equal(together[:, 0], torch.ones(3, dtype=torch.float64))
    assert not torch.equal(DocumentWeights(n_replicates=17, seed=6).of([3])[0], together[0])


def test_weights_are_poisson_with_mean_one():
    weights = DocumentWeights(n_replicates=400, seed=0).of(list(range(50)))[:, 1:]
    n = weights.numel()
    # 20,000 draws: the mean has standard deviation 1/sqrt(n) = 0.007, the share of zeros sqrt(p(1-p)/n) = 0.0034.
    assert float(weights.mean()) == pytest.approx(1.0, abs=5 / math.sqrt(n))
    assert float((weights == 0).double().mean()) == pytest.approx(math.exp(-1), abs=5 * 0.0034)


@settings(deadline=None)
@examples(cut=st.integers(0, 6), seed=st.integers(0, 100))
def test_merged_sums_equal_the_whole(cut: int, seed: int):
    values = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    weights = DocumentWeights(n_replicates=5, seed=seed)
    whole, left, right = WeightedSums(), WeightedSums(), WeightedSums()
    whole.add_documents({"v": values}, weights.of(list(range(6))))
    left.add_documents({"v": values[:cut]}, weights.of(list(range(cut))))
    right.add_documents({"v": values[cut:]}, weights.of(list(range(cut, 6))))
    left.merge(right)
    torch.testing.assert_close(left["v"], whole["v"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whole["v"][0], values.sum(0), rtol=1e-12, atol=1e-12)


def test_estimate_leaves_out_replicates_without_the_number():
    nan = math.nan
    found = estimate(torch.tensor([2.0, 1.0, 3.0, nan], dtype=torch.float64), n_documents=4)
    assert found.value == 2.0
    assert found.standard_error == pytest.approx(math.sqrt(2))
    assert estimate(torch.tensor([2.0, 1.0, nan, nan]), n_documents=4).standard_error is None
    assert estimate(torch.tensor([2.0, 1.0, 3.0]), n_documents=1).standard_error is None


def test_ratio_is_nan_unless_the_denominator_is_positive():
    found = ratio(torch.tensor([1.0, 1.0, 1.0, 0.0]), torch.tensor([2.0, 0.0, -1.0, math.nan]))
    assert found[0] == 0.5
    assert found[1:].isnan().all()


def _fidelity_of_rows(given: SimpleNamespace, x: torch.Tensor, e: torch.Tensor, documents: torch.Tensor, n: int):
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    codes = torch.zeros(x.shape[0] * x.shape[1], 2)
    sae = given.Sae([(codes, (x - e).flatten(0, 1))], n_latents=2)
    source = given.source_of(x, mask, documents)
    config = Fidelity.Config(batch_contexts=len(x), n_replicates=n)
    return Fidelity(config).run(EvalSubject(name="given", sae=sae, sites=(given.SITE,), source=source))


def test_standard_error_of_a_mean_is_the_spread_of_documents(given: SimpleNamespace):
    # One token per document: the bootstrap of a mean must give s / sqrt(n).
    gen = torch.Generator().manual_seed(1)
    x, e = (torch.randn(397, 1, 3, generator=gen, dtype=torch.float64) for _ in range(2))
    found = _fidelity_of_rows(given, x, e, torch.arange(397)[:, None], 1500)
    errors = e.norm(dim=-1).flatten()
    # 1,500 replicates know a standard deviation to 1 / sqrt(2 * 1500) = 1.8 %; five of these.
    assert found["l2_error"].standard_error == pytest.approx(float(errors.std() / math.sqrt(397)), rel=0.09)


def test_standard_error_of_fvu_equals_a_plain_bootstrap(given: SimpleNamespace):
    gen = torch.Generator().manual_seed(2)
    documents = torch.arange(31)[:, None].expand(31, 5)
    x, e = (torch.randn(31, 5, 3, generator=gen, dtype=torch.float64) * (1 + documents[..., None] % 4) for _ in range(2))
    found = _fidelity_of_rows(given, x, e, documents, 2000)
    values = []
    for _ in range(2000):  # the multinomial bootstrap, all tokens of the drawn documents at once
        drawn = torch.randint(0, 31, (31,), generator=gen)
        rows, errors = x[drawn].flatten(0, 1), e[drawn].flatten(0, 1)
        values.append(errors.pow(2).sum() / (rows - rows.mean(0)).pow(2).sum())
    # Both know it to 1.6 %; the two bootstraps agree to the order 1/n_documents = 3 %.
    assert found["fvu"].standard_error == pytest.approx(float(torch.stack(values).std()), rel=0.12)


def test_tokens_of_one_document_do_not_count_as_independent(given: SimpleNamespace):
    # Every token repeated 5 times within its document: the naive error would fall by sqrt(5), the honest one stays.
    gen = torch.Generator().manual_seed(3)
    x, e = (torch.randn(97, 1, 3, generator=gen, dtype=torch.float64) for _ in range(2))
    once = _fidelity_of_rows(given, x, e, torch.arange(97)[:, None], 50)
    repeated = (t.expand(97, 5, 3) for t in (x, e))
    five = _fidelity_of_rows(given, *repeated, torch.arange(97)[:, None].expand(97, 5), 50)
    assert five["l2_error"].standard_error == pytest.approx(once["l2_error"].standard_error, rel=1e-9)
