"""What other tools would show, mark, read and score, on values worked out by hand; their mistakes are facts here."""

import json
import math
import random
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from score_fakes import Desks, KeptEvidence, kept_codes, kept_evidence

from monoseme.atlas import SCORERS, Atlas, Explanation
from monoseme.atlas.kept_codes import KeptCodes
from monoseme.atlas.score import _as_delphi as delphi
from monoseme.atlas.score import _as_saebench as saebench
from monoseme.atlas.score._delphi_scorer import confusion
from monoseme.judges import Question, Reply, TokenChance

SMALL = saebench.Counts(n_top=3, n_weighted=3, n_random=5, n_top_to_explain=2, n_weighted_to_explain=2, buffer=2)


def _sparse(seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    acts = torch.rand((11, 29), generator=draw)
    return torch.where(torch.rand((11, 29), generator=draw) < 0.3, acts, 0.0)


def test_saebench_takes_the_largest_that_are_not_near_an_end_or_a_larger_one() -> None:
    acts = torch.zeros((2, 11))
    acts[0, [0, 4, 6, 7]] = torch.tensor([9.0, 5.0, 4.0, 3.0])
    acts[1, [5, 9]] = torch.tensor([2.0, 8.0])
    # 9 and 8 are within 2 of an end, 4 within 2 of 5; 3 is 3 away, so that its window shares tokens with that of 5
    assert saebench.largest(acts, 3, buffer=2).tolist() == [[0, 4], [0, 7], [1, 5]]


def test_saebench_draws_in_its_own_order() -> None:
    """A twin that takes torch's one generator, as SAEBench does."""
    acts, buffer = _sparse(), SMALL.buffer
    found = saebench.sample(acts, SMALL, draw=torch.Generator().manual_seed(5), shuffle=random.Random(5))
    assert found is not None
    with torch.random.fork_rng():
        torch.manual_seed(5)
        rows, columns = torch.randint(0, 11, (5,)), torch.randint(buffer, 29 - buffer, (5,))
        top = saebench.largest(acts, 3, buffer=buffer)
        below = acts.where(acts < acts[top[:, 0], top[:, 1]].min(), 0.0)[:, buffer:-buffer] ** 2
        drawn = torch.multinomial(below.flatten() / below.sum(), 3, replacement=False)
        top_order, weighted_order = torch.randperm(3), torch.randperm(3)
    weighted = [(int(i) // 25, int(i) % 25 + buffer) for i in drawn]
    expected = [tuple(top[top_order[2]].tolist()), weighted[int(weighted_order[2])]]
    expected += list(zip(rows.tolist(), columns.tolist(), strict=True))
    random.Random(5).shuffle(expected)
    assert [place[:2] for place in found.to_score] == expected
    assert {place[:2] for place in found.to_explain} == {tuple(top[i].tolist()) for i in top_order[:2]} | {
        weighted[int(i)] for i in weighted_order[:2]
    }


def test_saebench_labels_random_windows_without_a_look() -> None:
    acts = torch.rand((11, 29), generator=torch.Generator().manual_seed(1)) + 0.5  # a latent that fires everywhere
    found = saebench.sample(acts, SMALL, draw=torch.Generator().manual_seed(0), shuffle=random.Random(0))
    assert found is not None
    assert all(place.counts_as_active == (place.kind != "random") for place in found.to_score)
    strongest = [float(acts[place.row, place.middle - 2 : place.middle + 3].max()) for place in found.to_explain]
    assert strongest == sorted(strongest, reverse=True)
    assert found.threshold == pytest.approx(0.01 * float(acts[:, :].flatten().topk(40).values.max()), rel=0.05)


def test_saebench_passes_over_latents_with_few_firings() -> None:
    acts = torch.zeros((11, 29))
    acts[3, 5] = acts[4, 5] = acts[5, 5] = 1.0
    assert saebench.sample(acts, SMALL, draw=torch.Generator(), shuffle=random.Random(0)) is None


def test_saying_none_scores_ten_of_fourteen() -> None:
    counts = saebench.Counts()
    labels = [True] * 4 + [False] * 10
    assert counts.n_to_score == 14
    assert saebench.accuracy(saebench.numbers_in("None") or [], labels) == counts.floor == pytest.approx(0.714, abs=5e-4)
    assert saebench.accuracy([1, 2, 5], labels) == (2 + 9) / 14


@pytest.mark.parametrize(
    ("answer", "named"),
    [("1, 3 and 5.", [1, 3, 5]), ("None", []), (" 2 ", [2]), ("", []), ("the first", None), ("1-3", None), ("9" * 99, None)],
)
def test_saebench_reads_lists_and_gives_up_on_words(answer: str, named: list[int] | None) -> None:
    assert saebench.numbers_in(answer) == named


def test_the_explanation_is_what_follows_activates_on() -> None:
    assert saebench.explanation_in("This neuron activates on cats. ") == "cats. ".rstrip(".").strip()
    assert saebench.explanation_in("cats.") == "cats"


def test_delphi_explains_from_windows_that_it_tests_on() -> None:
    # 20 of 50 for a latent with 200 windows, 10 of 50 for one with many: as counted in its own code
    assert [delphi.n_shared(n) for n in (200, 5_000, 1_000_000)] == [20, 10, 10]
    chosen = delphi.of_quantiles(203, 50)
    assert len(chosen) == 50
    assert all(window.rank // 20 == window.quantile for window in chosen)


def test_delphi_marks_all_silent_windows_alike() -> None:
    silent = np.zeros(32, dtype=np.float32)
    marks = delphi.wrong_marks(silent, 3)
    assert 24 in marks
    assert marks == delphi.wrong_marks(silent, 3)
    assert delphi.wrong_marks(silent, 1) == [24]
    assert delphi.right_marks(np.array([0.0, 1.0, 0.29, 0.3], dtype=np.float32)) == [1, 3]
    assert delphi.n_wrong([np.array([1.0, 0.0, 2.0]), np.array([1.0, 0.0, 0.0])]) == 2
    assert delphi.marked((" a", " b", " c"), [0, 1]) == "<< a b>> c"


def test_delphi_loses_a_last_question_of_fewer_than_five() -> None:
    assert delphi.said_in("so: [1,0,0,1,1] as asked", n_windows=5) == [True, False, False, True, True]
    assert delphi.said_in("[1,0,0,1]", n_windows=4) is None
    for answer in ("[1,0]", "none", "[1,0,0,1,x]", "{}"):
        assert delphi.said_in(answer, n_windows=5) is None


def test_delphi_reads_chances_of_one_against_zero() -> None:
    one = TokenChance("1", {"1": math.log(0.6), "0": math.log(0.2), "x": math.log(0.2)})
    zero = TokenChance(" 0", {"0": math.log(0.5), " 1": math.log(0.5)})
    comma = TokenChance(",", {})
    found = delphi.probabilities_in([one, comma, zero, comma, one, zero, one])
    assert found == pytest.approx([0.75, 0.5, 0.75, 0.5, 0.75])
    assert delphi.probabilities_in([one, zero]) is None


def test_delphi_counts_by_hand() -> None:
    found = confusion([True, True, False, None, True, False], [True, True, True, True, False, False])
    assert found["accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["precision"] == found["recall"] == found["f1"] == pytest.approx(2 / 3)
    assert confusion([None], [True]) == {"accuracy": None, "f1": None, "precision": None, "recall": None}


class _WholeDocuments(KeptEvidence):
    """As if each document were one context: long enough for SAEBench's windows. Firings differ in strength."""

    @cached_property
    def kept(self) -> KeptCodes:
        kept = super().kept
        dense = np.zeros((kept.n_tokens, kept.n_latents), dtype=np.float32)
        for latent in range(kept.n_latents):
            rows, values = kept.of_latent(latent)
            dense[rows, latent] = values * (1 + rows % 7 / 10)  # SAEBench takes a latent of one activation only for dead
        return kept_codes(np.asarray(kept.document), np.asarray(kept.position), np.asarray(kept.document), dense)


CATS = [Explanation(latent=0, text="cats"), Explanation(latent=2, text=None, why_missing="never fired")]


def test_autointerp_as_saebench_of_a_judge_that_sees_cats(planted: Atlas, tmp_path: Path) -> None:
    evidence = _WholeDocuments(planted.latents("topk"), planted.text)

    def says(question: Question) -> str:
        if "random order" not in question.messages[0].text:
            return "This neuron activates on small cats."
        named = re.findall(r"^(\d+)\. .* cat", question.messages[1].text, re.MULTILINE)
        return ", ".join(named) or "None"

    desk = Desks(tmp_path)(says)
    scorer = SCORERS.get("autointerp_as_saebench")(desk=desk)
    found = {(score.latent, score.name): score for score in scorer.score(evidence, CATS)}
    asked: list[Question] = desk.judge.asked  # type: ignore[attr-defined]
    assert found[0, "floor"].value == pytest.approx(10 / 14)
    # every window with a cat is named, and random ones with a cat count as wrong: the share of them is the loss
    mislabelled = found[0, "mislabelled_fraction"].value or 0
    assert found[0, "score"].value == pytest.approx(1 - mislabelled * 10 / 14)
    assert 0 < mislabelled < 1
    assert "too few firings" in str(found[2, "score"].why_missing)
    assert "The neuron activates on small cats." in asked[1].messages[1].text
    assert len(re.findall(r"<< cat>>", asked[0].messages[1].text)) >= 15
    assert len(scorer.judgements) == 14
    assert {question.key({}) for question in scorer.questions(evidence, CATS)} >= {asked[0].key({})}


@pytest.mark.parametrize(("name", "cat"), [("detection_as_delphi", " cat"), ("fuzzing_as_delphi", "<< cat")])
def test_delphis_scorers_on_a_judge_that_sees_cats(planted: Atlas, tmp_path: Path, name: str, cat: str) -> None:
    def says(question: Question) -> Reply:
        found = [int(cat in part) for part in question.messages[1].text.split("\nExample ")[1:]]
        tokens = tuple(
            TokenChance(str(digit), {"1": math.log(0.1 + 0.8 * digit), "0": math.log(0.9 - 0.8 * digit)}) for digit in found
        )
        return Reply(text=json.dumps(found), tokens=tokens)

    kind = SCORERS.get(name)
    scorer = kind(kind.Config(window=8, fewest_activating=40), desk=Desks(tmp_path)(says))
    found = {(score.latent, score.name): score for score in scorer.score(kept_evidence(planted), CATS)}
    assert found[0, "accuracy"].value == found[0, "f1"].value == found[0, "auroc"].value == 1.0
    assert found[0, "lost_fraction"].value == 0.0
    assert (found[0, "n_explained_with"].value or 0) >= 10
    assert "not explained" in str(found[2, "accuracy"].why_missing)
    assert len(scorer.judgements) == 100


def test_delphi_passes_over_latents_with_few_windows(planted: Atlas, tmp_path: Path) -> None:
    scorer = SCORERS.get("detection_as_delphi")(desk=Desks(tmp_path)(lambda _: "[1,1,1,1,1]"))
    found = next(scorer.score(kept_evidence(planted), CATS))
    assert found.value is None
    assert "of 200 that are wanted" in str(found.why_missing)
