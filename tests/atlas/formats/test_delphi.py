"""delphi's cache is the codes of whole contexts; its scores are balanced accuracies of single judgements."""

import json
from pathlib import Path

import numpy as np
import pytest
from atlas_fakes import SITE, planted_source
from safetensors.numpy import save_file

from monoseme.atlas import Atlas, open_atlas
from monoseme.atlas.annotations import write_scores
from monoseme.atlas.choice import LatentChoice
from monoseme.atlas.formats import ATLAS_FORMATS, ExportChoice, export_atlas, read_notes
from monoseme.atlas.formats._delphi_cache import cache_grid, read_cache
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.said import Score
from monoseme.core.errors import ForeignError

CONTEXTS, LENGTH = 77, 17


def _export(atlas: Atlas, out: Path, **settings: object) -> tuple[str, ...]:
    return export_atlas(atlas, "topk", out, format="delphi", config=ATLAS_FORMATS.get("delphi").Config(**settings)).lost


def test_the_cache_is_every_code_of_every_context(planted: Atlas, tmp_path: Path) -> None:
    lost = _export(planted, tmp_path / "run", n_splits=2, pad=9)
    folder = tmp_path / "run" / "latents" / "layers.1"
    assert sorted(path.name for path in folder.iterdir()) == ["0_1.safetensors", "2_4.safetensors", "config.json"]
    blocks = planted_source().given
    tokens = np.concatenate([block.tokens.numpy() for block in blocks])
    x = np.concatenate([block.activations[SITE].numpy() for block in blocks])
    x *= np.concatenate([block.mask.numpy() for block in blocks])[..., None]
    found = np.zeros_like(x)
    for split in read_cache(folder):
        assert split.tokens is not None
        assert split.tokens.shape == (CONTEXTS, 32)  # a multiple of delphi's windows
        assert np.array_equal(split.tokens[:, :LENGTH], tokens)
        assert (split.tokens[:, LENGTH:] == 9).all()
        found[tuple(split.locations.T)] = split.activations
    assert np.array_equal(found, x)  # eighths: float16 holds them
    assert any(f"{CONTEXTS * (32 - LENGTH):,} tokens at the end of contexts are padding" in line for line in lost)
    assert json.loads((folder / "config.json").read_text())["cache_ctx_len"] == 32


def test_a_text_stored_before_contexts_were_gives_what_reached_the_sae(planted: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = planted.latents("topk").kept_codes()
    assert kept is not None
    whole = cache_grid(kept, planted.text, pad=0)
    monkeypatch.setitem(planted.text.__dict__, "context_starts", None)
    found = cache_grid(kept, planted.text, pad=0)
    assert np.array_equal(found.position, whole.position - 1)  # without the token that begins each context
    assert np.array_equal(found.tokens[:, : LENGTH - 1], whole.tokens[:, 1:LENGTH])


def test_only_the_chosen_latents_are_cached(planted: Atlas, tmp_path: Path) -> None:
    config = ATLAS_FORMATS.get("delphi").Config(n_splits=1)
    export_atlas(
        planted, "topk", tmp_path / "run", format="delphi", config=config, choice=ExportChoice(which=LatentChoice(latents="1,4"))
    )
    (split,) = read_cache(tmp_path / "run" / "latents" / "layers.1")
    assert np.unique(split.locations[:, 2]).tolist() == [1, 4]
    assert [one.latent for one in read_notes(tmp_path / "run").explanations] == [1, 4]


@pytest.mark.parametrize("largest", [70_000.0, 1e-9])
def test_activations_that_float16_cannot_hold_stay_float32(tmp_path: Path, largest: float) -> None:
    from monoseme.atlas.formats._delphi_cache import _halved

    assert _halved(np.array([1.0, largest], np.float32)).dtype == np.float32
    assert _halved(np.array([1.0, 0.25], np.float32)).dtype == np.float16


@pytest.mark.parametrize(
    ("held", "told"),
    [
        ({"locations": np.zeros((2, 3), np.uint16), "activations": np.zeros(3, np.float16)}, "should hold"),
        ({"locations": np.full((2, 3), 4, np.uint16), "activations": np.zeros(2, np.float16)}, "not between 0 and 3"),
        (
            {
                "locations": np.full((2, 3), 3, np.uint16),
                "activations": np.zeros(2, np.float16),
                "tokens": np.zeros((1, 9), np.int64),
            },
            "does not have",
        ),
    ],
)
def test_a_cache_that_does_not_fit_together_is_refused(tmp_path: Path, held: dict[str, np.ndarray], told: str) -> None:
    save_file(held, tmp_path / "0_3.safetensors")
    with pytest.raises(ForeignError, match=told):
        list(read_cache(tmp_path))
    (tmp_path / "0_3.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(ForeignError, match="safetensors"):
        list(read_cache(tmp_path))


def _judged(activating: bool, prediction: object) -> dict[str, object]:
    return {"str_tokens": ["a"], "activating": activating, "prediction": prediction, "correct": None, "probability": None}


def test_scores_are_balanced_over_windows_with_an_answer(tmp_path: Path) -> None:
    for name in ("explanations", "scores/detection", "scores/simulation"):
        (tmp_path / name).mkdir(parents=True)
    for latent in (3, 11):
        (tmp_path / "explanations" / f"layers.1_latent{latent}.txt").write_text('"cats"')
    rows = [(True, 1), (True, True), (True, False), (True, None), (False, 0), (False, True)]
    notes = {3: [_judged(*row) for row in rows], 11: [_judged(True, True)]}
    for latent, judged in notes.items():
        (tmp_path / "scores" / "detection" / f"layers.1_latent{latent}.txt").write_text(json.dumps(judged))
    (tmp_path / "scores" / "simulation" / "layers.1_latent3.txt").write_text('[{"ev_correlation_score": 0.5}]')
    found = read_notes(tmp_path)
    assert [(score.latent, score.name, score.n) for score in found.scores] == [
        (11, "detection_balanced_accuracy", 1),
        (3, "detection_balanced_accuracy", 5),
    ]
    assert found.scores[0].why_missing == "no answer about a silent window"
    assert found.scores[1].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.lost == ("simulation: scores of 1 latents that are no judgements of windows",)
    (tmp_path / "explanations" / "layers.2_latent0.txt").write_text('"dogs"')
    with pytest.raises(ForeignError, match=r"layers\.1, layers\.2(.|\n)*--hookpoint"):
        read_notes(tmp_path)


def test_judgements_go_out_as_they_would_come_in(planted: Atlas, tmp_path: Path) -> None:
    from atlas_fakes import planted_atlas

    planted_atlas(tmp_path / "atlas")
    atlas = open_atlas(tmp_path / "atlas")
    explained = next(part for part in atlas.annotations("topk") if part.holds == "explanations")
    document, position = atlas.latent("topk", 3).top[0].document, atlas.latent("topk", 3).top[0].position
    common = {"latent": 3, "told_of": 3, "question": 0, "document": document, "position": position, "answer": None}
    judged = [
        Judgement(**common, told="own", kind="decile", decile=9, truth=1.0, says=True),
        Judgement(**common, told="own", kind="silent", decile=None, truth=0.0, says=True),
        Judgement(**common, told="own", kind="silent", decile=None, truth=0.0, says=False),
        Judgement(**common, told="other", kind="silent", decile=None, truth=0.0, says=False),
    ]
    config = {"scorer": "llm_detection", "definitions": {"balanced_accuracy": ""}, "headline": "balanced_accuracy"}
    path = tmp_path / "atlas" / "annotations" / "topk" / "llm"
    score = Score(latent=3, name="balanced_accuracy", value=0.75)
    write_scores(path, [score], about=atlas.latents("topk"), explanations=explained, config=config, judgements=judged)
    out = export_atlas(atlas, "topk", tmp_path / "run", format="delphi", choice=ExportChoice(scores="llm")).out
    items = json.loads((out / "scores" / "detection" / "layers.1_latent3.txt").read_text())
    assert [(item["activating"], item["prediction"], item["distance"]) for item in items] == [
        (True, True, 10),
        (False, True, -1),
        (False, False, -1),
    ]
    assert atlas.latent("topk", 3).top[0].texts[0] in items[0]["str_tokens"]
    assert [one.value for one in read_notes(out).scores] == [0.75]
