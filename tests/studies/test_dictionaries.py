"""Planted dictionaries whose answer is known: permuted with noise, with latents more, with one split; and the whole study."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy import sparse

from monoseme.cli.main import main
from monoseme.core.artifact import check_artifact
from monoseme.evaluation import columns_of, largest_cosines
from monoseme.models import Site
from monoseme.pipeline import RunFolder
from monoseme.saes import SAE
from monoseme.saes.clt import CLT
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.matryoshka import Matryoshka
from monoseme.saes.tfa import TFA
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK
from monoseme.studies._dictionaries.families import Family, seed_families, width_families
from monoseme.studies._dictionaries.figures import best_cosines, criteria_map, density_map
from monoseme.studies._dictionaries.intervals import Resampling
from monoseme.studies._dictionaries.members import Dictionary, Space, as_compared, dictionary_of, latents_of, why_refused
from monoseme.studies._dictionaries.pairs import CORRELATION, COSINE, Pair, compare, match_rows, pair_row, share_rows
from monoseme.studies._dictionaries.splits import count_rows, new_rows, step_row, steps_of, strongest_rows
from monoseme.studies._dictionaries.two import example_rows, unmatched_rows
from monoseme.studies._dictionaries.universality import curve_rows, universality_rows
from monoseme.studies._dictionaries.words import Words
from monoseme.studies._explained import Explained
from monoseme.studies._workbench import Subject

T, D, F = 2_003, 48, 23
SITE = Site("resid_post", 1)


def subject(sae: SAE, *sites: Site, name: str = "s", part: str | None = None, word: str = "all") -> Subject:
    return Subject(name, name, sae, sites or (SITE,), part, word)


def planted(name: str, rows: torch.Tensor, codes: np.ndarray, *, seed: int = 0) -> Dictionary:
    """Given directions and codes, as an SAE of that width."""
    sae = TopK(TopK.Config(d_in=rows.shape[1], n_latents=len(rows), k=1, seed=seed))
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    space = Space((SITE,), rows.shape[1], is_joined=False)
    return Dictionary(subject(sae, name=name), "topk", space, np.arange(len(rows)), unit, columns_of(sparse.csc_array(codes)))


def firing(n: int, *, seed: int, share: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((T, n)) < share, 0.5 + rng.exponential(size=(T, n)), 0.0)


class World:
    """A dictionary, the same one shuffled with noise and five latents more, and a wider one in which latent 3 is two."""

    def __init__(self) -> None:
        stream = torch.Generator().manual_seed(0)
        rows, codes = torch.randn(F, D, generator=stream), firing(F, seed=0)
        self.order = torch.randperm(F, generator=stream)
        noise = torch.randn(F, D, generator=stream)
        self.a = planted("a", rows, codes)
        extra_rows, extra_codes = torch.randn(5, D, generator=stream), firing(5, seed=1)
        noisy = codes[:, self.order.numpy()] * np.random.default_rng(2).uniform(0.9, 1.1, (T, F))
        self.b = planted("b", torch.cat([(rows + 0.1 * noise)[self.order], extra_rows]), np.hstack([noisy, extra_codes]), seed=1)
        first = np.random.default_rng(3).random(T) < 0.5
        halves = np.stack([codes[:, 3] * first, codes[:, 3] * ~first], axis=1)
        sides = torch.randn(1, D, generator=stream) * 0.5
        kept = [i for i in range(F) if i != 3]
        split_rows = torch.cat([rows[kept], rows[[3]] + sides, rows[[3]] - sides, extra_rows])
        self.wide = planted("wide", split_rows, np.hstack([codes[:, kept], halves, extra_codes]))


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def pairs(world: World) -> dict[tuple[str, str], Pair]:
    found: dict[tuple[str, str], Pair] = {}
    for one, other in ((world.a, world.b), (world.a, world.wide), (world.b, world.wide)):
        there, back = compare(one, other, most_assigned=100, seed=0)
        found |= {(one.name, other.name): there, (other.name, one.name): back}
    return found


WORDS = Words(Explained({"a": {3: "fires on three"}}), np.arange(T) % 7, lambda ids: [f"t{i}" for i in ids])
SURE = Resampling(100, 0)


def test_a_permutation_is_found_by_both_criteria_and_extra_latents_match_nothing(world: World, pairs: Any) -> None:
    pair: Pair = pairs["a", "b"]
    place = world.order.argsort().numpy()
    for criterion in (COSINE, CORRELATION):
        matching = pair.by[criterion]
        assert np.array_equal(matching.nearest.partner, place)
        assert matching.assigned is not None
        assert np.array_equal(matching.assigned.partner, place)
        assert (matching.nearest.similarity > 0.9).all()
        assert (matching.back.similarity[F:] < 0.6).all()
    row = pair_row(pair, SURE)
    assert (row["same_nearest"], row["same_assigned"], row["n_assigned"]) == (1.0, 1.0, F)
    alone = unmatched_rows(pairs["b", "a"], WORDS, below={COSINE: 0.7, CORRELATION: 0.5}, n=100)
    assert sorted(r["latent"] for r in alone) == list(range(F, F + 5))
    assert unmatched_rows(pair, WORDS, below={COSINE: 0.7, CORRELATION: 0.5}, n=100) == []


def test_equally_dense_latents_of_other_directions_are_not_matched() -> None:
    rows = torch.eye(2, D)
    one, other = planted("one", rows[:1], firing(1, seed=5)), planted("other", rows[1:], firing(1, seed=5)[::-1])
    assert one.density == other.density
    pair = compare(one, other, most_assigned=9, seed=0)[0]
    shares = share_rows(pair, {COSINE: (0.3,), CORRELATION: (0.3,)}, SURE)
    assert {row["share"] for row in shares if row["partner"] in ("nearest", "assigned")} == {0.0}


def test_chance_matches_nothing_and_keeps_what_codes_are_like(pairs: Any) -> None:
    rows = share_rows(pairs["a", "b"], {COSINE: (0.7,), CORRELATION: (0.5,)}, SURE)
    by_kind = {(row["criterion"], row["partner"]): row["share"] for row in rows}
    assert by_kind[COSINE, "nearest"] == by_kind[CORRELATION, "nearest"] == 1.0
    assert [by_kind[kind] for kind in ((COSINE, "random"), (COSINE, "shuffled"), (CORRELATION, "moved"))] == [0.0, 0.0, 0.0]


def test_the_split_latent_is_the_one_that_has_two_children(world: World, pairs: Any) -> None:
    (step,) = steps_of(Family("topk", (world.a, world.wide)), pairs, parent_cosine=0.7)
    assert step.n_children.tolist() == [2 if i == 3 else 1 for i in range(F)]
    row = step_row(step, SURE)
    assert (row["parents_split"], row["parents_with_one"], row["parents_without_child"]) == (1, F - 1, 0)
    assert row["new_share"] == pytest.approx(5 / (F + 6))
    # Each child fires only where its parent does, in the other SAE.
    assert row["parent_fires_with_child"] == 1.0
    assert row["parent_fires_anyway"] == pytest.approx(0.05, abs=0.01)
    children = strongest_rows(step, WORDS, n=9)
    assert {(r["parent"], r["child"]) for r in children} == {(3, F - 1), (3, F)}
    assert children[0]["parent_is"].startswith("fires on three; strongest on ")
    assert sorted(r["latent"] for r in new_rows(step, WORDS, n=9)) == list(range(F + 1, F + 6))
    assert [r["n_parents"] for r in count_rows(step)] == [0, F - 1, 1, 0, 0]


def test_seeds_are_counted_in_n_of_m(world: World, pairs: Any) -> None:
    family = Family("topk", (world.a, world.b, world.wide))
    rows = universality_rows(family, pairs, {COSINE: (0.9,)})
    share = {row["matched_in_n"]: row["share"] for row in rows}
    # All of a but the split latent are in both; the five extra ones of b are those of `wide`.
    a, b, wide = [0, 1, F - 1], [0, 6, F - 1], [2, 5, F - 1]
    expected = [
        np.mean([n / sum(c) for n, c in zip(column, (a, b, wide), strict=True)]) for column in zip(a, b, wide, strict=True)
    ]
    assert [share[n] for n in range(3)] == pytest.approx(expected)
    curve = [row for row in curve_rows(family, pairs) if (row["criterion"], row["threshold"]) == (COSINE, 0.9)]
    by_name = {row["matched_in"]: row for row in curve}
    assert by_name["every other"]["share"] == pytest.approx(expected[2])
    assert by_name["any other"]["share"] == pytest.approx(1 - expected[0])
    assert by_name["by chance"]["share"] == 0.0
    one = by_name["one other"]
    assert one["low"] < one["share"] < one["high"]


def test_every_latent_is_named_with_its_partners(world: World, pairs: Any) -> None:
    rows = match_rows(pairs["a", "b"])
    place = world.order.argsort().tolist()
    for name in ("nearest_by_cosine", "nearest_by_correlation", "assigned_by_cosine", "assigned_by_correlation"):
        assert [row[name] for row in rows] == place
    assert all(row["correlation_of_that"] == pytest.approx(row["correlation"], abs=1e-12) for row in rows)
    examples = example_rows(pairs["a", "b"], WORDS, n=5)
    assert [row["cosine"] for row in examples] == sorted((row["cosine"] for row in examples), reverse=True)
    assert all(row["latent_b"] == place[row["latent_a"]] for row in examples)


def test_latents_that_never_fire_count_in_mmcs_alone(world: World) -> None:
    codes = world.a.codes.codes.toarray()
    codes[:, 4] = 0.0
    quiet = planted("quiet", world.a.directions, codes)
    pair = compare(quiet, world.b, most_assigned=100, seed=0)[0]
    assert len(pair.mmcs.similarity) == F
    assert 4 not in pair.a.numbers.tolist()
    assert len(pair.a.numbers) == F - 1


def test_figures_show_pairs_and_stay_small(pairs: Any) -> None:
    shown = [pairs["a", "b"], pairs["a", "wide"]]
    own = {"a": largest_cosines(pairs["a", "b"].a.directions)}
    for figure in (best_cosines(shown, own), criteria_map(shown), density_map(shown, least_cosine=0.7)):
        assert figure is not None
        assert figure.spec()["concat"]
    assert density_map(shown, least_cosine=1.01) is None


def test_only_rows_of_one_space_are_compared() -> None:
    def space(*sites: str, width: int = 5, joined: bool = False) -> Space:
        return Space(tuple(map(Site.parse, sites)), width, joined)

    here = space("resid_post.1")
    assert here.why_apart(space("resid_post.3")) is None
    assert here.why_apart(space("mlp_out.2")) is None
    assert here.why_apart(space("resid_post.0", "resid_post.1")) is None
    for other, words in (
        (space("resid_post.1", width=7), "D=5"),
        (space("resid_post.1@beside"), "different models"),
        (space("attn_in.1"), "no basis in common"),
        (space("resid_post.1", "resid_post.2", joined=True), "different vectors"),
    ):
        assert words in (here.why_apart(other) or "")
        assert here.why_apart(other) is not None


def test_architectures_are_taken_by_what_they_write_or_refused_by_name() -> None:
    several = (Site("resid_post", 0), Site("resid_post", 1))
    crosscoder = subject(Crosscoder(Crosscoder.Config(d_in=5, n_latents=7, n_sites=2, k=2)), *several)
    codes = columns_of(sparse.csc_array(firing(7, seed=0)))
    joined = dictionary_of(crosscoder, codes, kind="crosscoder")
    assert joined.space.is_joined
    assert joined.directions.shape == (7, 10)
    clt = subject(CLT(CLT.Config(d_in=5, n_latents=7, n_sites=2, k=2)), *several)
    assert "none has one direction" in (why_refused(clt) or "")
    tfa = subject(TFA(TFA.Config(d_in=5, n_latents=8, k=2, n_heads=2)))
    assert as_compared(tfa).part == "novel"
    assert "dense" in (why_refused(tfa._replace(part="predicted", word="predicted")) or "")
    assert why_refused(as_compared(tfa)) is None


def test_a_part_has_the_latents_of_its_groups() -> None:
    sae = Matryoshka(Matryoshka.Config(d_in=5, n_latents=8, k=2, group_fractions=(0.25, 0.25, 0.5)))
    assert latents_of(subject(sae, part="group_0", word="high")).tolist() == [0, 1]
    assert latents_of(subject(sae, part="group_1+group_2", word="low")).tolist() == [2, 3, 4, 5, 6, 7]
    exported = Thresholded(Thresholded.Config(d_in=5, n_latents=8, group_sizes=(3, 5), group_names=("high", "low")))
    assert latents_of(subject(exported, part="high", word="high")).tolist() == [0, 1, 2]
    for whole in (sae, exported, TopK(TopK.Config(d_in=5, n_latents=8, k=2))):
        assert latents_of(subject(whole)).tolist() == list(range(8))


def test_families_differ_in_seed_or_width_alone(world: World) -> None:
    again = planted("again", world.a.directions, world.a.codes.codes.toarray(), seed=7)
    (seeds,) = seed_families([world.a, world.b, world.wide, again])
    assert [d.name for d in seeds.members] == ["a", "again"]
    (widths,) = width_families([world.wide, world.a, world.b, again])
    assert [d.name for d in widths.members] == ["a", "b", "wide"]


def test_the_whole_study_runs_and_resumes_without_the_model(
    studied_run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d"
    saes = ",".join(str(studied_run.sae(name)) for name in ("tsae", "tfa", "mlsae"))
    flags = ["--sae", saes, "--part", "all,high,predicted", "--max_tokens", "300", "--n_replicates", "40"]
    assert main(["study", "dictionaries", "--out", str(out), *flags, "--quiet"]) == 0
    assert check_artifact(out / "report") == []
    tables = {path.stem: pq.read_table(path).to_pylist() for path in (out / "report" / "tables").glob("*.parquet")}
    assert {row["sae"] for row in tables["dictionaries"]} == {"tsae", "tsae (high)", "tfa", "mlsae"}
    assert any(row["a"] == "tfa (predicted)" and "dense" in row["why"] for row in tables["left_out"])
    own = {row["sae"]: row for row in tables["dictionaries"]}
    assert own["tsae (high)"]["n_latents"] == 6
    made = (out / "work" / "codes" / "0.npz").stat().st_mtime_ns
    assert main(["study", "dictionaries", "--out", str(out), "--resume", "--quiet"]) == 0
    assert (out / "work" / "codes" / "0.npz").stat().st_mtime_ns == made
    again = {path.stem: pq.read_table(path).to_pylist() for path in (out / "report" / "tables").glob("*.parquet")}
    assert again == tables
    capsys.readouterr()


@pytest.mark.slow
def test_two_saes_give_the_page_of_one_against_the_other(studied_run: RunFolder, tmp_path: Path) -> None:
    out = tmp_path / "two"
    two = ",".join(str(studied_run.sae(name)) for name in ("topk", "matryoshka"))
    assert main(["study", "dictionaries", "--out", str(out), "--sae", two, "--max_tokens", "300", "--quiet"]) == 0
    assert json.loads((out / "report" / "report.json").read_text())["title"] == "topk against matryoshka"
    rows = pq.read_table(out / "report" / "tables" / "side_by_side.parquet").to_pylist()
    assert [row["metric"] for row in rows][:2] == ["fvu", "l0"]
    assert all(row["topk"] is not None for row in rows)
