"""Scores of many latents in a few numbers, by hand."""

from pathlib import Path

import pytest
from atlas_fakes import planted_atlas
from score_fakes import Desks, kept_evidence, reader

from monoseme.atlas import SCORERS, Explanation, Score, open_atlas
from monoseme.atlas.annotations import Annotation, read_judgements, read_scores, write_scores
from monoseme.atlas.score_summary import MeanScore, summaries_of

DEFINITIONS = {"hits": "share", "hits_other": "control", "hits_lookup": "bar", "rest": "more"}
SCORES = (
    Score(latent=0, name="hits", value=0.5),
    Score(latent=1, name="hits", value=0.75),
    Score(latent=2, name="hits", value=None, why_missing="dead"),
    Score(latent=0, name="hits_other", value=0.25),
    Score(latent=0, name="hits", value=1.0, decile=9),
    Score(latent=1, name="hits", value=0.5, decile=9),
    Score(latent=1, name="hits", value=None, why_missing="none", decile=0),
    Score(latent=1, name="rest", value=0.0),
)


@pytest.fixture
def scored(tmp_path: Path) -> Annotation:
    planted_atlas(tmp_path)
    atlas = open_atlas(tmp_path)
    source = next(part for part in atlas.annotations("topk") if part.holds == "explanations")
    config = {"scorer": "made_up", "definitions": DEFINITIONS, "headline": "hits"}
    path = tmp_path / "annotations" / "topk" / "x"
    write_scores(path, SCORES, about=atlas.latents("topk"), explanations=source, config=config)
    return next(part for part in open_atlas(tmp_path).annotations("topk") if part.label == "x")


def test_a_score_stands_beside_its_controls(scored: Annotation) -> None:
    (found,) = summaries_of(scored)
    assert (found.scorer, found.explanations, found.name, found.n_missing) == ("made_up", "offline", "hits", 1)
    # standard deviation of 0.5 and 0.75 is 0.1768, of their mean 0.125
    half = 1.96 * 0.125
    assert found.own == MeanScore(mean=0.625, low=pytest.approx(0.625 - half), high=pytest.approx(0.625 + half), n_latents=2)
    assert found.controls == {"other": MeanScore(mean=0.25, low=None, high=None, n_latents=1)}
    assert {decile: mean.mean for decile, mean in found.deciles.items()} == {9: 0.75}


def test_judgements_are_kept_beside_the_scores_they_made(tmp_path: Path) -> None:
    planted_atlas(tmp_path / "atlas")
    atlas = open_atlas(tmp_path / "atlas")
    source = next(part for part in atlas.annotations("topk") if part.holds == "explanations")
    scorer = SCORERS.get("llm_detection")(desk=Desks(tmp_path)(reader(lambda _, text: 9 if " cat" in text else 0)))
    found = scorer.score(kept_evidence(atlas), [Explanation(latent=0, text="cats"), Explanation(latent=3, text="more")])
    config = {"scorer": "llm_detection", "definitions": dict(scorer.definitions)}
    path = tmp_path / "atlas" / "annotations" / "topk" / "y"
    write_scores(path, found, about=atlas.latents("topk"), explanations=source, config=config, judgements=scorer.judgements)
    part = next(part for part in open_atlas(tmp_path / "atlas").annotations("topk") if part.label == "y")
    assert read_judgements(part) == scorer.judgements
    own = [row for row in read_judgements(part, latent=0) if row.told == "own"]
    fires, silent = ([row.says for row in own if row.truth == truth] for truth in (1.0, 0.0))
    value = next(score.value for score in read_scores(part, latent=0) if score.name == "balanced_accuracy")
    assert value == pytest.approx((fires.count(True) / len(fires) + silent.count(False) / len(silent)) / 2)
    assert read_judgements(source) == []
