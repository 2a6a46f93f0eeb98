"""Numbers read off logits: by hand, against golden values, and row by row."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from monoseme.attribution.metrics import LogitMetric, Readout, letter_metric, log_probability, logit_difference
from monoseme.core.errors import ConfigError


def test_the_letter_metric_is_that_of_the_original(shared: Path) -> None:
    golden = load_file(shared / "vectors" / "sae_spelling.safetensors")
    correct = golden["letter_metric.letter_index"].expand(2)
    value = letter_metric(torch.arange(26), correct)(golden["letter_metric.logits"][:, -1])
    torch.testing.assert_close(value, golden["letter_metric.value"], atol=1e-5, rtol=1e-5)


def test_metrics_by_hand() -> None:
    logits = torch.tensor([[1.0, 4.0, 2.0, 0.0], [0.0, 0.0, 6.0, 1.0]])
    assert logit_difference(torch.tensor([1, 3]), torch.tensor([2, 2]))(logits).tolist() == [2.0, -5.0]
    assert letter_metric(torch.tensor([1, 2, 3]), torch.tensor([0, 2]))(logits).tolist() == [3.0, -2.0]
    expected = [logits[0].softmax(-1)[1].log(), logits[1].softmax(-1)[0].log()]
    assert log_probability(torch.tensor([1, 0]))(logits).tolist() == pytest.approx([float(e) for e in expected])
    assert LogitMetric(lambda logits: logits[:, 3])(logits).tolist() == [0.0, 1.0]


def test_rows_can_be_taken_out_and_repeated() -> None:
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    index = torch.tensor([2, 0, 0])
    for metric in (log_probability(torch.tensor([1, 5, 6])), letter_metric(torch.arange(5), torch.tensor([1, 4, 0]))):
        assert torch.equal(metric.rows(index)(logits[index]), metric(logits)[index])


def test_half_precision_is_summed_in_float32() -> None:
    metric = letter_metric(torch.arange(7), torch.tensor([1]))
    assert metric(torch.ones(1, 7, dtype=torch.bfloat16)).dtype == torch.float32
    assert metric(torch.ones(1, 7, dtype=torch.float64)).dtype == torch.float64


def test_what_does_not_fit_is_refused() -> None:
    logits = torch.zeros(3, 7)
    with pytest.raises(ConfigError, match="2 rows was given the logits of 3"):
        log_probability(torch.tensor([1, 5]))(logits)
    with pytest.raises(ConfigError, match="one number for each of 3 rows"):
        LogitMetric(lambda logits: logits)(logits)
    with pytest.raises(ConfigError, match="two letters or more"):
        letter_metric(torch.tensor([1]), torch.tensor([0]))
    with pytest.raises(ConfigError, match="counted from 0 to 4"):
        letter_metric(torch.arange(5), torch.tensor([0, 5]))
    tokens, metric = torch.ones(3, 5, dtype=torch.int64), LogitMetric(lambda logits: logits[:, 0])
    with pytest.raises(ConfigError, match="positions 0 to 4"):
        Readout(tokens, torch.tensor([0, 5, 1]), metric)
    with pytest.raises(ConfigError, match="3 positions"):
        Readout(tokens, torch.tensor([0, 1]), metric)
    with pytest.raises(ConfigError, match="at padding"):
        Readout(tokens, torch.tensor([0, 4, 1]), metric, torch.arange(5) < torch.tensor([[5], [4], [5]]))
