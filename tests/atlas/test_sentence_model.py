"""Sentence vectors of a local model, and the score that they give."""

from pathlib import Path

import numpy as np
import pytest
from score_fakes import kept_evidence

from monoseme.atlas import SCORERS, Atlas, Explanation
from monoseme.atlas.sentence_model import SentenceModel
from monoseme.bundled.places import model_folder
from monoseme.core.errors import ConfigError, ModelError, ModelNotFoundError

MODEL = model_folder()


def test_vectors_have_length_one_and_do_not_hang_on_their_batch() -> None:
    texts = ["a cat sat", "a", "the dog ran far away over the hills", "a cat sat"]
    found = SentenceModel(MODEL, batch_size=3).vectors(texts)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0)
    # padding is masked and the mean is over real tokens; float32 forwards of other shapes differ in their last bits
    alone = np.concatenate([SentenceModel(MODEL).vectors([text]) for text in texts[:2]])
    assert found[:2] == pytest.approx(alone, abs=1e-4)
    assert found[0] == pytest.approx(found[3], abs=1e-4)
    assert SentenceModel(MODEL).vectors([]).shape == (0, found.shape[1])


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no folder"):
        SentenceModel(tmp_path / "none")
    with pytest.raises(ModelError, match="holds no model"):
        SentenceModel(tmp_path)


def test_the_embedding_score_stands_beside_its_controls(planted: Atlas) -> None:
    kind = SCORERS.get("embedding")
    with pytest.raises(ConfigError, match=r"--scorer\.model"):
        kind()
    scorer = kind(kind.Config(model=str(MODEL), n_per_decile=1, n_silent=5, n_near_misses=5))
    said = [Explanation(latent=0, text=" cat"), Explanation(latent=1, text=" the")]
    found = {(score.latent, score.name): score for score in scorer.score(kept_evidence(planted), said) if score.decile is None}
    assert {name for _, name in found} == set(kind.definitions)
    assert found[0, "auroc_lookup"].value == 1.0
    assert all(0 <= (score.value if score.value is not None else -1) <= 1 for score in found.values())
    similar = [judgement.answer or 0 for judgement in scorer.judgements if judgement.told == "own" and judgement.latent == 0]
    assert all(-1.0001 <= value <= 1.0001 for value in similar)
