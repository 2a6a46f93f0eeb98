"""Explanations in a report: scores beside their controls, by tenth, and no text that breaks out."""

import json
from dataclasses import replace

import pytest

from monoseme.atlas.said import Score
from monoseme.atlas.score_summary import MeanScore, ScoreSummary
from monoseme.reports import RunReport, figures_of, render_html, report_json
from monoseme.reports._explained import chosen_by, controls_of, explained_rows


def _mean(value: float) -> MeanScore:
    return MeanScore(mean=value, low=value - 0.05, high=value + 0.05, n_latents=11)


@pytest.fixture
def explained(report: RunReport, evil: str) -> RunReport:
    summary = ScoreSummary(
        explanations=evil,
        scorer="llm_detection",
        name="balanced_accuracy",
        definition=evil,
        own=_mean(0.875),
        controls={"other": _mean(0.5), "lookup": _mean(0.75)},
        deciles={0: _mean(0.625), 9: _mean(0.9375)},
        n_missing=3,
    )
    first, *rest = report.saes
    controls = tuple(
        Score(latent=17, name=f"balanced_accuracy_{name}", value=v)
        for name, v in (("lookup", 0.7), ("empty", None), ("other", 0.4))
    )
    sample = replace(first.samples[0], score=Score(latent=17, name="balanced_accuracy", value=0.9), controls=controls)
    return replace(report, saes=(replace(first, scores=(summary,), samples=(sample,)), *rest))


def test_the_table_has_each_score_with_what_it_is_held_against(explained: RunReport) -> None:
    (row,) = explained_rows(explained)
    assert [cell.text for cell in row.cells] == ["0.875", "0.500", "\u2013", "0.750"]
    assert row.cells[0].spread == "\u00b1 0.05"
    assert "3 do not" in row.latents_tip


def test_a_latent_shows_its_score_and_controls(explained: RunReport) -> None:
    sample = explained.saes[0].samples[0]
    assert controls_of(sample) == [("another latent's explanation", 0.4), ("table of tokens", 0.7)]
    page = render_html(explained)
    assert "balanced accuracy 0.90 (another latent&#39;s explanation 0.40, table of tokens 0.70)" in page


def test_the_page_says_how_its_latents_were_chosen(explained: RunReport) -> None:
    first, second = explained.saes
    sure = replace(first.samples[0], score=Score(latent=17, name="balanced_accuracy", value=0.9, low=0.8, high=1.0))
    told = [chosen_by(sae) for sae in (replace(first, samples=(sure,)), first, second)]
    assert ["lower end" in told[0], "score highest" in told[1], "largest activations" in told[2]] == [True] * 3
    page = render_html(replace(explained, saes=(first, second)))
    assert told[1] in page
    assert told[2] in page
    assert "lower end" not in page
    assert "the strongest need not follow it" in page


def test_the_page_escapes_what_explanations_are_called(explained: RunReport, evil: str) -> None:
    page = render_html(explained)
    assert 'id="explanations"' in page
    assert evil not in page


def test_a_report_without_scores_has_no_such_section(report: RunReport) -> None:
    assert 'id="explanations"' not in render_html(report)
    assert "explained" not in {figure.name for figure in figures_of(report)}


def test_the_figure_has_a_point_for_each_tenth(explained: RunReport) -> None:
    figure = next(figure for figure in figures_of(explained) if figure.name == "explained")
    assert '"decile": 10' in json.dumps(figure.spec())


def test_the_numbers_are_in_report_json(explained: RunReport) -> None:
    found = report_json(explained)["saes"]["topk"]["explanations"]
    assert found[0]["own"]["mean"] == 0.875
    assert found[0]["deciles"]["9"]["n_latents"] == 11
    assert set(found[0]["controls"]) == {"other", "lookup"}
