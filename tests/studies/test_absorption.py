"""The study of absorption: what is planted is found with trained probes, and every SAE stands beside its controls."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from monoseme.evaluation import DocumentWeights
from monoseme.models import Site
from monoseme.probes import Split, held_out, one_hot, train_multi_probe
from monoseme.studies._absorption.judged import Ablate, Judged, JudgeSettings, judge
from monoseme.studies._absorption.letters import Dictionary, Words
from monoseme.studies._absorption.rates import MEASURES, Rates, Trust, rates_of
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._first_letter.latent_probes import Labelled, probe_latents
from monoseme.testing.absorbed import PlantedAbsorption, planted_absorption

SITE = Site("resid_post", 1)


def planted_words(planted: PlantedAbsorption) -> Words:
    """Half of each letter's words are for the test, among them all that are absorbed: no word is on both sides."""
    is_test = np.array([int(word[1:]) < 3 for word in planted.words])
    x, classes = planted.x.float(), tuple(sorted(set(planted.letters)))
    probe = train_multi_probe(x, one_hot(planted.letters, classes), classes, rows=np.flatnonzero(~is_test))
    scores = tuple(held_out(probe, x, one_hot(planted.letters, classes), classes, rows=np.flatnonzero(is_test)))
    return Words(planted.words, planted.letters, planted.words, is_test, x, probe, scores)


def ablate_of(planted: PlantedAbsorption) -> Ablate:
    return lambda letter, rows: planted.ablation_scores(letter)[torch.from_numpy(rows)]


def judged_of(planted: PlantedAbsorption, **settings: object) -> tuple[Words, Judged]:
    words = planted_words(planted)
    codes, classes = sp.csr_array(planted.codes.numpy()), words.probe.classes
    data = Labelled(codes, one_hot(planted.letters, classes), classes, Split(words.is_test, seed=0, test_fraction=0.5))
    probes = probe_latents(data, FirstLetterConfig(), probe=words.probe)
    dictionary = Dictionary("planted", SITE, codes, planted.writes, probes)
    return words, judge(dictionary, words, JudgeSettings(**settings), ablate=ablate_of(planted))  # pyright: ignore[reportArgumentType]


def rates(judged: Judged) -> Rates:
    return rates_of(judged, DocumentWeights(n_replicates=50, seed=1), Trust(0.6, 5), measures=tuple(MEASURES))


def test_planted_absorption_is_found_with_trained_probes():
    planted = planted_absorption()
    _, judged = judged_of(planted)
    found = {row["letter"]: row for row in rates(judged).letters}
    rate = 35 / 60
    assert found["S"]["main_latents"] == json.dumps([planted.letter_latents["S"]])
    assert found["S"]["probe_f1"] == 1.0
    for measure in ("absorption_rate", "full_absorption", "absorption_fraction"):
        assert found["S"][measure] == pytest.approx(rate), measure
        assert found["S"][f"{measure}_low"] < rate < found["S"][f"{measure}_high"]
        assert rates(judged).over[measure].mean == pytest.approx(rate / 5)
    for letter in "AEIO":
        assert {found[letter][measure] for measure in MEASURES} == {0.0}
    absorbed = {row["token"]: row["top_ablation_feat"] for row in judged.ablations if row["is_absorption"]}
    assert absorbed == dict(planted.absorbers)
