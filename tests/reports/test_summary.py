"""What the page says of numbers: none lost, none invented, and no winner by chance."""

from dataclasses import replace

import pytest

from monoseme.evaluation import Metric
from monoseme.reports import LatentSample, RunReport, TokenExample
from monoseme.reports._shading import passages, visible
from monoseme.reports._summary import best_of, cell, domain_rows, headlines, number, tables


def _metric(value: float | None, error: float | None = 0.01, better: str = "lower", unit: str = "fraction") -> Metric:
    why = None if value is not None else "constant"
    settings = {"unit": unit, "better": better, "n": 1000, "n_documents": 20, "definition": "Test."}
    return Metric(name="fvu", value=value, why_missing=why, standard_error=error if value is not None else None, **settings)


def test_tables_hold_every_metric_exactly_once(report: RunReport):
    names = [row.name for table in tables(report) for row in table.rows]
    assert sorted(names) == sorted(m.name for m in report.saes[0].metrics())


def test_the_best_must_be_better_by_more_than_chance():
    assert best_of([_metric(0.20), _metric(0.30)]) == 0
    assert best_of([_metric(0.20), _metric(0.30, better="higher")]) == 0
    assert best_of([_metric(0.20, better="higher"), _metric(0.30, better="higher")]) == 1
    # The difference has a standard error of 0.0141, so 0.02 apart is chance and 0.03 is not.
    assert best_of([_metric(0.28), _metric(0.30)]) is None
    assert best_of([_metric(0.27), _metric(0.30)]) == 0


def test_there_is_no_best_of_one_of_neither_or_of_unknown_error():
    assert best_of([_metric(0.2), None]) is None
    assert best_of([_metric(0.2), _metric(None)]) is None
    assert best_of([_metric(0.2, better="neither"), _metric(0.9, better="neither")]) is None
    assert best_of([_metric(0.2, error=None), _metric(0.9)]) is None


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(0.17834, 0.0007, "0.17834"), (0.17834, 0.02, "0.178"), (2215.4, 12.0, "2,215"), (0.25, None, "0.25")],
)
def test_digits_follow_the_standard_error(value: float, error: float | None, text: str):
    assert number(_metric(value, error)) == text


def test_a_missing_number_shows_its_reason():
    assert cell(_metric(None)) == ("–", "", "missing: constant", False)
    assert cell(None).tip == "not measured"


def test_headlines_say_fractions_as_percentages(report: RunReport):
    sae = report.saes[0]
    found = {head.label: head for head in headlines(sae)}
    assert list(found) == ["CE recovered", "FVU", "L0", "Dead"]
    assert found["FVU"].value == f"{sae.metric('fvu').value:.1%}"
    assert "%" not in found["L0"].value
    assert found["Dead"].meaning == f"of the latents fire on none of the {sae.metric('dead_fraction').n:,} tokens measured"


def test_domains_are_shown_only_where_there_are_several(report: RunReport):
    assert len(domain_rows(report)) == 4
    one = replace(report.saes[0].results[0], tables={})
    assert domain_rows(replace(report, saes=(replace(report.saes[0], results=(one,)),))) == []


def test_shades_share_one_scale_and_negative_codes_shade_too():
    examples = (
        TokenExample(tokens=("a", "b"), values=(0.0, 4.0)),
        TokenExample(tokens=("c", "d"), values=(1.0, -2.0), source="stories"),
    )
    first, second = passages(LatentSample(latent=3, examples=examples))
    assert [span.heat for span in (*first.spans, *second.spans)] == [0.0, 1.0, 0.25, 0.5]
    assert (first.strongest, second.strongest, second.source) == ("4", "-2", "stories")


def test_a_latent_that_never_fires_has_no_shade():
    (passage,) = passages(LatentSample(latent=3, examples=(TokenExample(tokens=("a",), values=(0.0,)),)))
    assert passage.spans[0].heat == 0.0
    assert visible("a\nb") == "a↵\nb"


def test_tokens_and_values_must_agree_in_number():
    with pytest.raises(ValueError, match="2 tokens with 1 values"):
        TokenExample(tokens=("a", "b"), values=(1.0,))
