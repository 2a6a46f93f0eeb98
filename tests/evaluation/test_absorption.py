"""Absorption by ablation and by projection: each rule flips a case, and what is planted is found at its rate."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.evaluation._absorption_by_ablation import AblationRule, judge_ablations
from monoseme.evaluation._absorption_by_projection import ProjectionRule, ProjectionVerdict, judge_projections
from monoseme.evaluation._absorption_rates import letter_rates, over_letters, trusted_letters
from monoseme.testing.absorbed import PlantedAbsorption, planted_absorption

SLOPES = (1.0, 0.6, 0.2, 0.2, 0.02)
"""The last points along the probe by less than full absorption asks."""
RATE = 35 / 120
"""Of the letter S in the planted dictionary: 20, 10 and 5 of the 20 rows of three of its six words."""


def ablated(*, main: float = 0.0, scores: tuple[float, ...] = (9.0, -3.0, -1.0), cosine: float = 0.5, **rule: Any):
    """One word; latent 0 is the letter's, latent 1 the one that may absorb it."""
    codes = torch.tensor([[main, 1.0, 1.0]])
    cosines = torch.tensor([0.9, cosine, 0.0], dtype=torch.float64)
    return judge_ablations(codes, torch.tensor([scores]), cosines, main=[0], rule=AblationRule(**rule))


def test_a_word_that_passes_every_rule_of_the_original_is_absorbed():
    assert ablated().is_absorbed.tolist() == [True]
    assert ablated().is_partial.tolist() == [False]


@pytest.mark.parametrize(
    ("case", "mended"),
    [
        ({"main": 0.1}, {"silent": 0.2}),
        ({"scores": (9.0, 0.5, 4.0), "least_lead": -9.0}, {"highest_score": 0.5}),
        ({"scores": (9.0, -3.0, -2.1)}, {"least_lead": 0.8}),
        ({"cosine": 0.02}, {"least_cosine": 0.01}),
    ],
    ids=["a main latent fires", "the first helps the answer", "no clear first", "the first does not point along the probe"],
)
def test_each_rule_of_the_original_flips_a_case(case: dict[str, Any], mended: dict[str, Any]):
    assert not ablated(**case).is_absorbed
    assert ablated(**{**case, **mended}).is_absorbed


@pytest.mark.parametrize(("third", "absorbed"), [(-2.0, True), (2.0, True), (2.5, False), (-2.0625, False)])
def test_the_lead_is_of_sizes_and_just_enough_is_enough(third: float, absorbed: bool):
    """|-3| - |third| against 1: a second score above 0 is as near to the first as one below."""
    assert ablated(scores=(9.0, -3.0, third)).is_absorbed.tolist() == [absorbed]


def test_ranking_by_size_puts_a_large_positive_score_first():
    scores = (0.0, -3.0, 3.5)
    assert ablated(scores=scores).ranked.latents.tolist() == [[1, 0, 2]]
    assert ablated(scores=scores, rank_by="size").ranked.latents.tolist() == [[2, 1, 0]]
    assert ablated(scores=scores).is_absorbed
    assert not ablated(scores=scores, rank_by="size").is_absorbed


def test_a_word_whose_main_latent_still_fires_is_partly_absorbed():
    assert ablated(main=0.1).is_partial
    assert not ablated(main=0.1, scores=(-9.0, -3.0, -1.0)).is_partial  # the main latent itself is first
    assert not ablated(main=0.1, cosine=0.0).is_partial


def test_equal_scores_rank_by_the_number_of_the_latent():
    assert ablated(scores=(-1.0, -1.0, -1.0)).ranked.latents.tolist() == [[0, 1, 2]]


def test_what_cannot_be_judged_is_refused():
    with pytest.raises(UndefinedMetricError, match="main latents"):
        judge_ablations(torch.ones(1, 3), torch.ones(1, 3), torch.ones(3), main=[])
    with pytest.raises(UndefinedMetricError, match="main latents"):
        judge_projections(torch.ones(1, 2), torch.ones(1, 3), torch.ones(3, 2), torch.ones(2), main=[])
    with pytest.raises(UndefinedMetricError, match="1 latent"):
        judge_ablations(torch.ones(2, 1), torch.ones(2, 1), torch.ones(1), main=[0])
    with pytest.raises(ConfigError, match="at least 2"):
        AblationRule(n_ranked=1)
    with pytest.raises(ConfigError, match="at least 1"):
        ProjectionRule(n_absorbers=0)


def projected(
    f: tuple[float, ...], *, x: float = 10.0, slopes: tuple[float, ...] = (1.0, 0.6, 0.2, 0.2, 0.05), **rule: Any
) -> ProjectionVerdict:
    """One word in the plane; the probe is the first axis, latent 0 is the letter's, and a latent of slope c has cosine c."""
    cosines = torch.tensor(slopes, dtype=torch.float64)
    writes = torch.stack([cosines, (1 - cosines.square()).sqrt()], dim=1)
    activation = torch.tensor([[x, 3.0]], dtype=torch.float64)
    return judge_projections(
        activation, torch.tensor([f]), writes, torch.tensor([7.0, 0.0]), main=[0], rule=ProjectionRule(**rule)
    )


def test_a_word_that_passes_every_rule_of_saebench_is_fully_absorbed():
    found = projected((0.0, 10.0, 0.0, 0.0, 0.0))
    assert found.is_full
    assert found.fraction == 1.0
    assert (found.top.item(), found.top_projection.item(), found.projection.item()) == (1, 6.0, 10.0)


@pytest.mark.parametrize(
    ("f", "mended"),
    [
        ((0.1, 10.0, 0.0, 0.0, 0.0), {"silent": 0.2}),
        ((-0.1, 10.0, 0.0, 0.0, 0.0), {"silent": 0.2}),
        ((0.0, 0.0, 0.0, 0.0, 600.0), {"least_cosine": 0.01}),
        ((0.0, 6.0, 0.0, 0.0, 0.0), {"least_share": 0.3}),
    ],
    ids=["a main latent fires", "a main latent is negative", "the top does not point along the probe", "a small share"],
)
def test_each_rule_of_full_absorption_flips_a_case(f: tuple[float, ...], mended: dict[str, float]):
    assert not projected(f, slopes=SLOPES).is_full
    assert projected(f, slopes=SLOPES, **mended).is_full


@pytest.mark.parametrize("x", [0.0, -10.0])
def test_a_word_that_does_not_project_on_its_probe_is_not_absorbed(x: float):
    found = projected((0.0, 10.0, 0.0, 0.0, 0.0), x=x)
    assert not found.is_full
    assert found.fraction == 0.0


@pytest.mark.parametrize(
    ("f", "rule", "expected"),
    [
        ((0.0, 10.0, 0.0, 0.0, 0.0), {}, 1.0),  # the main latent adds nothing
        ((2.0, 10.0, 0.0, 0.0, 0.0), {}, 6 / 8),  # absorbers add 6 of the 8 that is not the main latent's
        ((5.0, 10.0, 0.0, 0.0, 0.0), {}, 5 / 10),  # 6, but only 5 is unaccounted for
        ((10.0, 10.0, 0.0, 0.0, 0.0), {}, 0.0),  # the main latent adds all
        ((2.0, 6.0, 0.0, 0.0, 0.0), {}, 0.0),  # absorbers add less than 0.4 of the whole
        ((2.0, 6.0, 0.0, 0.0, 0.0), {"least_share": 0.3}, 3.6 / 5.6),
        ((2.0, 0.0, 10.0, 15.0, 0.0), {}, 5 / 7),  # two absorbers together
        ((2.0, 0.0, 10.0, 15.0, 0.0), {"n_absorbers": 1}, 0.0),
        ((2.0, 0.0, 0.0, 0.0, 100.0), {}, 0.0),  # a cosine of 0.05 is none of an absorber
        ((2.0, 0.0, 0.0, 0.0, 100.0), {"least_absorber_cosine": 0.05}, 5 / 7),
        ((-1.0, 10.0, 0.0, 0.0, 0.0), {}, 1.0),  # the main latent works against the letter
    ],
)
def test_fractions_worked_by_hand(f: tuple[float, ...], rule: dict[str, Any], expected: float):
    found = projected(f, **rule)
    assert found.fraction.item() == pytest.approx(expected, abs=1e-12)
    assert bool(found.is_partial) == (0 < expected < 1)


def test_a_decoder_row_counts_with_its_length_unless_saebench_is_asked_for():
    x, writes = torch.tensor([[10.0, 0.0]]), torch.tensor([[1.0, 0.0], [4.0, 3.0]])
    codes, probe = torch.tensor([[0.0, 1.0]]), torch.tensor([2.0, 0.0])
    assert judge_projections(x, codes, writes, probe, main=[0]).top_projection.item() == pytest.approx(4.0)
    assert judge_projections(x, codes, writes, probe, main=[0], unit_rows=True).top_projection.item() == pytest.approx(0.8)


@given(seed=st.integers(0, 2**31), n_absorbers=st.integers(1, 4))
@settings(max_examples=25)
def test_projections_equal_a_loop_over_words(seed: int, n_absorbers: int):
    random = torch.Generator().manual_seed(seed)
    x, codes, writes = (torch.randn(n, m, generator=random, dtype=torch.float64) for n, m in ((5, 3), (5, 7), (7, 3)))
    codes = codes * (torch.rand(5, 7, generator=random) < 0.5)
    probe = torch.randn(3, generator=random, dtype=torch.float64)
    rule = ProjectionRule(n_absorbers=n_absorbers)
    found = judge_projections(x, codes, writes, probe, main=[2, 5], rule=rule, unit_rows=True)
    for i in range(5):
        full, fraction = _one_word(x[i], codes[i], writes, probe, [2, 5], n_absorbers)
        assert bool(found.is_full[i]) == full
        assert found.fraction[i].item() == pytest.approx(fraction, abs=1e-12)


def _one_word(x: Tensor, f: Tensor, writes: Tensor, probe: Tensor, main: list[int], n: int) -> tuple[bool, float]:
    """SAEBench's definition as its documentation words it, one word and one latent at a time."""
    p = probe / probe.norm()
    whole = float(x @ p)
    cosines = [float(w @ p / w.norm()) for w in writes]
    added = [float(f[j]) * cosines[j] for j in range(len(f))]
    top = max(range(len(f)), key=lambda j: added[j])
    full = all(f[j] == 0 for j in main) and cosines[top] >= 0.025 and whole > 0 and added[top] / whole >= 0.4
    m = sum(added[j] for j in main)
    absorbers = sorted((added[j] for j in range(len(f)) if j not in main and cosines[j] >= 0.1 and added[j] > 0), reverse=True)
    total = sum(absorbers[:n])
    if m >= whole or total / whole < 0.4:
        return full, 0.0
    if m <= 0:
        return full, 1.0
    b = min(total, whole - m)
    return full, b / (b + m)


def _rates(planted: PlantedAbsorption, letter: str) -> dict[str, float]:
    """Both measures of one letter, with the planted letter direction as the probe."""
    rows, main, probe = planted.rows(letter), [planted.letter_latents[letter]], planted.direction(letter)
    cosines = planted.writes @ probe
    by_ablation = judge_ablations(planted.codes[rows], planted.ablation_scores(letter)[rows], cosines, main=main)
    by_projection = judge_projections(planted.x[rows], planted.codes[rows], planted.writes, probe, main=main)
    values = {
        "ablation": by_ablation.is_absorbed,
        "ablation, partial": by_ablation.is_partial,
        "full": by_projection.is_full,
        "fraction": by_projection.fraction,
        "partial": by_projection.is_partial,
    }
    ones = torch.ones(int(rows.sum()), 1)
    return {name: float(letter_rates(value.double(), ones)[0]) for name, value in values.items()}


def test_planted_absorption_is_found_at_its_rates_by_both_measures():
    planted = planted_absorption()
    torch.testing.assert_close(planted.codes @ planted.writes, planted.x)
    assert _rates(planted, "S") == pytest.approx(
        {"ablation": RATE, "ablation, partial": 0.0, "full": RATE, "fraction": RATE, "partial": 0.0}
    )
    for letter in "AEIO":
        assert set(_rates(planted, letter).values()) == {0.0}


def test_the_latents_that_absorb_are_named():
    planted = planted_absorption()
    rows, main, probe = planted.is_absorbed, [planted.letter_latents["S"]], planted.direction("S")
    wanted = [planted.absorbers[word] for word, taken in zip(planted.words, rows, strict=True) if taken]
    scores = planted.ablation_scores("S")[rows]
    found = judge_ablations(planted.codes[rows], scores, planted.writes @ probe, main=main)
    assert found.ranked.latents[:, 0].tolist() == wanted
    assert judge_projections(planted.x[rows], planted.codes[rows], planted.writes, probe, main=main).top.tolist() == wanted


def test_a_dictionary_without_absorption_gives_zero():
    planted = planted_absorption({})
    for letter in "AEIOS":
        assert set(_rates(planted, letter).values()) == {0.0}


def test_planted_partial_absorption_is_reported_apart():
    found = _rates(planted_absorption({"S0": 1.0, "S4": 0.5}, strength=0.75), "S")
    n = 30 / 120
    assert found == pytest.approx({"ablation": 0.0, "ablation, partial": n, "full": 0.0, "fraction": 0.75 * n, "partial": n})


def test_a_rate_counts_the_candidates_that_were_not_sampled():
    values = torch.tensor([1.0, 0.0, 0.0, 0.0])
    weights = torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    found = letter_rates(values, weights, sample_portion=0.5)
    assert found[:2].tolist() == [0.5, 1.0]
    assert found[2].isnan()


def test_a_letter_counts_above_the_least_f1_only():
    assert trusted_letters({"A": 0.6, "B": 0.61, "C": None, "D": 1.0}) == ["B", "D"]


def test_letters_count_alike_and_too_few_give_no_number():
    rates = {"A": 0.1, "B": 0.3, "C": None, "D": float("nan")}
    found = over_letters(rates, least_letters=2)
    assert found.mean == pytest.approx(0.2)
    assert found.stdev == pytest.approx(0.1 * 2**0.5)  # of a sample: n - 1
    assert over_letters({"A": 0.1}, least_letters=1)[:3] == (0.1, None, 1)
    few = over_letters(rates)
    assert (few.mean, few.stdev) == (None, None)
    assert few.why_missing == "2 letters have a probe to be trusted and words to judge, of the 20 that it takes"
