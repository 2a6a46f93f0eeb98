"""llama3-sae's files: meanings and answers of explanations that tell a certainty, and the best sentences by their numbers."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from atlas_fakes import WORDS, FakeSAE, FakeSource, make_block

from monoseme.atlas import Atlas, PassOptions, Target, TextNames, open_atlas, scan
from monoseme.atlas.annotations import write_explanations
from monoseme.atlas.formats import ATLAS_FORMATS, export_atlas, read_notes
from monoseme.atlas.formats.llama3 import read_top_sentences
from monoseme.atlas.said import Explanation
from monoseme.atlas.sentences import rank_sentences
from monoseme.models.site import Site


@pytest.fixture
def ranked(tmp_path: Path) -> Atlas:
    """Seven sentences of three words; latent 0 is stronger on each later one, 1 fires on the last word of the first two."""
    tokens = torch.tensor([[1, 2, 4]]).repeat(7, 1)
    x = torch.zeros(7, 3, 3)
    x[:, 1, 0] = torch.arange(7) + 1.0
    x[:2, 2, 1] = 100.0
    site = Site.parse("resid_post.1")
    source = FakeSource([make_block(tokens, torch.arange(7)[:, None].expand(7, 3), torch.arange(3).expand(7, 3), x)])
    names = TextNames(texts=lambda ids: [WORDS[i] for i in ids])
    options = PassOptions(gatherers=(rank_sentences(),))
    scan(source, [Target("topk", FakeSAE(3), (site,))], tmp_path / "atlas", names=names, options=options)
    return open_atlas(tmp_path / "atlas")


def _explain(atlas: Atlas, label: str = "llm") -> None:
    details = {"key_words": ["cat"], "reasoning": "it {always} says cat", "certainty": 0.9}
    said = [
        Explanation(latent=0, text='a "cat": {x}', details=json.dumps(details)),
        Explanation(latent=1, text="sitting", details=json.dumps({"certainty": 0.25})),
        Explanation(latent=2, text=None, why_missing="never fired"),
    ]
    path = atlas.path / "annotations" / "topk" / label
    write_explanations(path, said, about=atlas.latents("topk"), config={"explainer": "llm_sentences", "judge": {"model": "m-1"}})


def test_sentences_go_out_by_their_numbers_the_best_last(ranked: Atlas, tmp_path: Path) -> None:
    out = export_atlas(ranked, "topk", tmp_path / "out", format="llama3").out
    top = {name: read_top_sentences(out / f"top_sentences_{name}.yaml") for name in ("mean", "max", "last")}
    assert top["max"] == {0: [(float(i + 1), i) for i in range(7)], 1: [(100.0, 1), (100.0, 0)]}
    assert top["last"] == {1: [(100.0, 1), (100.0, 0)]}
    assert top["mean"][0] == [(pytest.approx((i + 1) / 3), i) for i in range(7)]


def test_meanings_and_answers_say_the_same(ranked: Atlas, tmp_path: Path) -> None:
    _explain(ranked)
    out = export_atlas(ranked, "topk", tmp_path / "out", format="llama3").out
    meanings = yaml.safe_load((out / "latent_index_meaning.yaml").read_text())
    expected = {0: {"common_semantic": 'a "cat": {x}', "certainty": 0.9}, 1: {"common_semantic": "sitting", "certainty": 0.25}}
    assert meanings == expected
    answers = yaml.safe_load((out / "responses" / "answers.yaml").read_text())
    assert {row["model"] for row in answers.values()} == {"m-1"}
    assert json.loads(re.findall(r"\{[^{}]*\}", answers[1]["content"])[-1]) == expected[1]  # as the original finds it
    assert "it (always) says cat" in answers[0]["content"]
    (out / "latent_index_meaning.yaml").unlink()
    assert [one.text for one in read_notes(out).explanations] == ['a "cat": {x}', "sitting"]


def test_uncertain_meanings_are_left_out_when_asked(ranked: Atlas, tmp_path: Path) -> None:
    _explain(ranked)
    config = ATLAS_FORMATS.get("llama3").Config(least_certainty=0.5)
    found = export_atlas(ranked, "topk", tmp_path / "out", format="llama3", config=config)
    assert [one.latent for one in read_notes(found.out).explanations] == [0]
    assert any(line.startswith("1 explanations without a certainty") for line in found.lost)
