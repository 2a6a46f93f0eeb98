"""Of each letter the latents nearest to its probe are taken, and each says the letter where it fires."""

import numpy as np
import scipy.sparse as sp
import torch

from monoseme.probes import LinearProbe
from monoseme.studies._latent_evaluation.ranks import Directions, HeldOutWords, ranked_latents

PROBE = LinearProbe(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), torch.zeros(2), ("A", "B"))
WRITES = np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [3.0, 0.1, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
READS = WRITES[[1, 2, 0, 3, 4]]
TRUTH = np.array([[True, False], [True, False], [False, True], [False, False]])
WORDS = HeldOutWords(
    x=np.array([[1.0, 0.0, 0.0], [0.5, 0.2, 0.0], [0.1, 1.0, 0.0], [0.0, 0.0, 1.0]]),
    codes=sp.csr_array(np.array([[0, 1.0, 2.0, 0, 0], [0, 0, 0, 0, 0], [1.0, 1.0, 0, 0, 0], [0, 0, 0, 1.0, 0]])),
    truth=TRUTH,
)


def test_latents_come_by_the_cosine_of_what_they_read_else_of_what_they_write() -> None:
    written = ranked_latents(PROBE, Directions(None, WRITES), WORDS, n_latents=2)
    assert [(each.letter, each.rank, each.latent) for each in written] == [("A", 0, 2), ("A", 1, 1), ("B", 0, 0), ("B", 1, 1)]
    assert {each.cos_enc for each in written} == {None}
    assert {each.auc_read for each in written} == {None}
    read = ranked_latents(PROBE, Directions(READS, WRITES), WORDS, n_latents=1)
    assert [(each.letter, each.latent) for each in read] == [("A", 1), ("B", 2)]
    np.testing.assert_allclose([each.cos_enc for each in read], [3 / np.hypot(3, 0.1), 1.0])
    np.testing.assert_allclose([each.cos_dec for each in read], [2**-0.5, 0.1 / np.hypot(3, 0.1)])


def test_a_latent_says_its_letter_where_it_fires_and_its_reading_tells_more() -> None:
    (of_a, of_b) = ranked_latents(PROBE, Directions(READS, WRITES), WORDS, n_latents=1)
    # Latent 1 fires on the first word, which is an A, and on the third, which is not.
    assert (of_a.scores.precision, of_a.scores.recall, of_a.scores.f1) == (0.5, 0.5, 0.5)
    assert of_a.scores.auroc == 0.5  # 1 beats 0 once, loses to it once, ties twice
    assert of_a.auc_read == 1.0, "it reads more on both As than elsewhere, though it is silent on one"
    # Latent 2 fires on the first word alone, which is no B.
    assert (of_b.scores.precision, of_b.scores.recall, of_b.scores.f1) == (0.0, 0.0, 0.0)
