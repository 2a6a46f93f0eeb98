"""Strengths, directions and measured facts."""

import pytest
import torch
from tests.steering.conftest import SITE, small_sae
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.models import LanguageModel
from monoseme.probes.linear import LinearProbe
from monoseme.splice import Placed
from monoseme.steering import (
    LatentFacts,
    Strength,
    decoder_direction,
    difference_in_means,
    mean_norm,
    measured_facts,
    probe_direction,
    random_direction,
)


@pytest.mark.parametrize(
    ("text", "strength"),
    [
        ("2max", Strength(2.0, "max")),
        ("-0.5 norm", Strength(-0.5, "norm")),
        ("1e-1raw", Strength(0.1, "raw")),
        (" 3 ", Strength(3.0, "max")),
    ],
)
def test_strengths_are_read_as_they_are_written(text: str, strength: Strength) -> None:
    assert Strength.parse(text) == strength
    assert Strength.parse(str(strength)) == strength


@pytest.mark.parametrize("text", ["", "max", "2maximum", "1.2.3", "nan", "2max raw", "1e999"])
def test_other_words_are_no_strength(text: str) -> None:
    with pytest.raises(ConfigError, match="strength"):
        Strength.parse(text)


def test_a_bare_number_has_the_unit_that_is_usual() -> None:
    assert Strength.parse("0", unit="raw") == Strength(0.0, "raw")


def test_a_fact_that_is_missing_is_asked_for_where_it_is_needed() -> None:
    assert Strength(2.0, "raw").amount(LatentFacts(), written_norm=0.5, what="latent 1") == 2.0
    assert Strength(2.0, "max").amount(LatentFacts(maximum=7.0), written_norm=0.5, what="latent 1") == 14.0
    assert Strength(2.0, "norm").amount(LatentFacts(mean_norm=3.0), written_norm=0.5, what="latent 1") == 12.0
    with pytest.raises(ConfigError, match=r"2max of latent 1 needs its largest activation"):
        Strength(2.0, "max").amount(LatentFacts(mean_norm=3.0), written_norm=0.5, what="latent 1")
    with pytest.raises(ConfigError, match=r"the mean norm at its site: .* as max or raw$"):
        Strength(2.0, "norm").amount(LatentFacts(maximum=3.0), written_norm=0.5, what="latent 1")
    with pytest.raises(ConfigError, match=r"the mean norm at its site: .* as raw$"):  # max would be refused too
        Strength(2.0, "norm").amount(LatentFacts(), written_norm=0.5, what="latent 1")
    with pytest.raises(ConfigError, match="writes nothing"):
        Strength(2.0, "norm").amount(LatentFacts(mean_norm=3.0), written_norm=0.0, what="latent 1")


def test_directions_are_what_their_names_say() -> None:
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    found = difference_in_means(rows[:3], rows[3:], name="cats")
    torch.testing.assert_close(found.vector, rows[:3].mean(0) - rows[3:].mean(0))
    with pytest.raises(ConfigError, match="cats"):
        difference_in_means(rows[:0], rows, name="cats")
    probe = LinearProbe(rows[:2], torch.zeros(2), ("a", "b"))
    torch.testing.assert_close(probe_direction(probe, "b").vector, rows[1] / rows[1].norm())
    torch.testing.assert_close(decoder_direction(Placed(small_sae(), (SITE,)), 4).vector, small_sae().W_dec[4])
    drawn = random_direction(50, seed=1, length=3.0)
    assert drawn.vector.norm() == pytest.approx(3.0, rel=1e-6)
    assert torch.equal(drawn.vector, random_direction(50, seed=1, length=3.0).vector)
    assert not torch.equal(drawn.vector, random_direction(50, seed=2, length=3.0).vector)
    with pytest.raises(ConfigError, match="no direction"):
        difference_in_means(rows, rows, name="nothing").scaled_to(1.0)


def test_facts_are_measured_on_tokens_that_count(llama: LanguageModel, tokens: Tensor) -> None:
    x = llama.capture(tokens, [SITE])[SITE][:, 1:].flatten(0, 1)  # BOS left out
    assert mean_norm(llama, SITE, tokens) == pytest.approx(float(x.norm(dim=1).mean()), rel=1e-6)
    codes = small_sae().encode(x).dense()
    silent = int((codes.amax(0) == 0).nonzero()[0, 0])
    facts = measured_facts(llama, Placed(small_sae(), (SITE,)), [4, silent], tokens)
    assert facts[4].maximum == pytest.approx(float(codes[:, 4].max()), rel=1e-5)
    assert facts[silent].maximum is None
    assert facts[4].mean_norm == facts[silent].mean_norm == mean_norm(llama, SITE, tokens)
    with pytest.raises(ConfigError, match="Give more text"):
        mean_norm(llama, SITE, tokens[:, :1])
