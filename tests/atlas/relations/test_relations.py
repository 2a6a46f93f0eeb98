"""Relations between latents: exact on the kept codes, the same however often the work was cut off, and found again by page."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from atlas_fakes import SITE, FakeLayersSAE, FakeSAE, planted_source
from kept_fakes import kept_of

from monoseme.atlas import ScanConfig, StateConfig, Target, open_atlas, scan
from monoseme.atlas.relations import RelationsConfig, Written, open_relations, relate_latents, relating, what_latents_write
from monoseme.atlas.relations import _pairs as pairs_module
from monoseme.atlas.relations._nearest import best, cosines, unit_rows
from monoseme.atlas.relations._pairs import pairs_of, sums_of
from monoseme.core.errors import ArtifactExistsError, ArtifactMissingError, ConfigError


@pytest.fixture
def random_codes() -> np.ndarray:
    """[M, F] float32: sparse, some negative; latent 2 never fires and latent 5 is constant."""
    draw = np.random.default_rng(0)
    dense = draw.normal(1, 1, size=(211, 71)).astype(np.float32)
    dense[draw.random(dense.shape) < 0.8] = 0
    dense[:, 2], dense[:, 5] = 0, 1.5
    dense[:, 7] = dense[:, 3] * 2
    return dense


def test_a_pair_worked_out_by_hand():
    # four tokens: 0 fires on the first two, 1 on the second and third
    kept = kept_of(np.array([[1, 0], [3, 2], [0, 4], [0, 0]], dtype=np.float32))
    pairs = pairs_of(kept, sums_of(kept), range(0, 2))
    assert pairs.n_together.tolist() == [[0, 1], [1, 0]]
    assert pairs.jaccard[0, 1] == pytest.approx(1 / 3)
    assert pairs.lift[0, 1] == pytest.approx(1 / (2 * 2 / 4))
    # means 1 and 1.5, sums of squares about them 6 and 11, of products 6 - 4 * 1.5 = 0
    assert pairs.correlation[0, 1] == pytest.approx(0, abs=1e-12)
    assert np.isnan(pairs.correlation[0, 0])


@pytest.mark.parametrize("at_once", [1 << 21, 13])
def test_pairs_equal_a_dense_computation(random_codes, monkeypatch, at_once):
    monkeypatch.setattr(pairs_module, "_PAIRS_AT_ONCE", at_once)
    kept, latents = kept_of(random_codes), range(3, 37)
    pairs = pairs_of(kept, sums_of(kept), latents)
    exact, fires = random_codes.astype(np.float64), (random_codes > 0).astype(np.int64)
    together = fires.T @ fires
    np.fill_diagonal(together, 0)
    assert (pairs.n_together == together[latents]).all()
    n = fires.sum(0)
    lift = np.divide(together * len(fires), np.outer(n, n), out=np.full(together.shape, np.nan), where=np.outer(n, n) > 0)
    np.testing.assert_allclose(pairs.lift, lift[latents], rtol=1e-12)
    with np.errstate(invalid="ignore"):
        r = np.corrcoef(exact.T)
    np.fill_diagonal(r, np.nan)
    # sums of some hundred products in float64
    np.testing.assert_allclose(pairs.correlation, r[latents], atol=1e-12)
    assert np.isnan(pairs.correlation[:, [2, 5]]).all(), "never fires, and constant: no correlation"
    assert pairs.correlation[0, 7] == pytest.approx(1), "a latent that fires twice as strongly"


def test_the_best_come_in_order_and_ties_by_number():
    ranked = best(np.array([[0.5, 0.9, 0.5, 0.5], [np.nan, 0, 0, 0.1]]), 3, above=0)
    assert ranked.row.tolist() == [0, 0, 0, 1]
    assert ranked.other.tolist() == [1, 0, 2, 3]
    assert ranked.rank.tolist() == [0, 1, 2, 0]


def test_cosines_of_silent_rows_are_unknown():
    unit = unit_rows(np.array([[3.0, 0], [4, 4], [0, 0]]))
    found = cosines(unit, range(0, 2))
    assert found[0, 1] == pytest.approx(np.sqrt(0.5))
    assert np.isnan(found[[0, 0, 1], [0, 2, 2]]).all()


def test_what_latents_write_is_the_decoder_of_each_site():
    assert (what_latents_write(FakeSAE(5), n_sites=1).vectors == np.eye(5)).all()
    assert what_latents_write(FakeLayersSAE(3), n_sites=2).vectors.shape == (3, 6)


@pytest.fixture
def scanned(tmp_path: Path):
    config = ScanConfig(keep=StateConfig(n_top=3, n_sampled=5, n_background=64), n_kept_tokens=500)
    scan(planted_source(), [Target("topk", FakeSAE(5), (SITE,))], tmp_path, config=config)
    return open_atlas(tmp_path)


def write(atlas, **kwargs):
    vectors = torch.arange(15.0).reshape(5, 3).numpy()
    return relate_latents(atlas, "topk", written=Written(vectors), config=RelationsConfig(**kwargs))


def test_relations_of_an_atlas_are_those_of_its_kept_codes(scanned):
    write(scanned, n_best=3)
    kept = scanned.latents("topk").kept_codes()
    found = open_relations(scanned.path, scanned.latents("topk"))
    pairs = pairs_of(kept, sums_of(kept), range(5))
    assert found.n_tokens == kept.n_tokens
    for latent in range(5):
        of = found.of(latent)
        by_jaccard = sorted((j for j in range(5) if pairs.jaccard[latent, j] > 0), key=lambda j: (-pairs.jaccard[latent, j], j))
        assert [related.other for related in of["coactivation_rank"]] == by_jaccard[:3]
        for related in of["correlation_rank"]:
            assert related.correlation == pytest.approx(pairs.correlation[latent, related.other])
            assert related.n_together == pairs.n_together[latent, related.other]
        assert len(of["cosine_rank"]) == 3
        assert of["cosine_rank"][0].cosine >= of["cosine_rank"][1].cosine
    assert found.of(2)["coactivation_rank"] == (), "it never fires"


def test_killed_between_slices_it_goes_on_and_ends_with_the_same_bits(scanned, tmp_path, monkeypatch):
    monkeypatch.setattr(relating, "LATENTS_PER_GROUP", 2)
    monkeypatch.setattr(relating, "_NUMBERS_AT_ONCE", 10)
    folder = write(scanned)
    whole = (folder / "relations.parquet").read_bytes()
    (folder / "manifest.json").unlink()
    (folder / "relations.parquet").unlink()
    folder.rmdir()
    done = []

    def killed(kept, sums, latents):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(latents)
        return pairs_of(kept, sums, latents)

    monkeypatch.setattr(relating, "pairs_of", killed)
    with pytest.raises(KeyboardInterrupt):
        write(scanned)
    seen = []
    monkeypatch.setattr(relating, "pairs_of", lambda *args: (seen.append(args[2]), pairs_of(*args))[1])
    write(scanned)
    assert done == [range(0, 2)]
    assert seen == [range(2, 4), range(4, 5)]
    assert (folder / "relations.parquet").read_bytes() == whole
    assert not (folder.parent / ".topk.slices").exists()


def test_slices_of_another_plan_are_not_taken(scanned):
    whole = (write(scanned) / "relations.parquet").read_bytes()
    shutil.rmtree(scanned.path / "relations")
    folder = scanned.path / "relations" / ".topk.slices"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text("{}")
    (folder / "000000000").mkdir()
    assert (write(scanned) / "relations.parquet").read_bytes() == whole
    assert not folder.exists()


def test_what_cannot_be_related_is_said(scanned, tmp_path):
    with pytest.raises(ConfigError, match="5 latents, but the vectors given are of 4"):
        relate_latents(scanned, "topk", written=Written(np.eye(4)))
    relate_latents(scanned, "topk", written=Written(None, "there was no SAE"))
    found = open_relations(scanned.path, scanned.latents("topk"))
    assert found.why_no_cosines == "there was no SAE"
    assert found.of(0)["cosine_rank"] == ()
    with pytest.raises(ArtifactExistsError):
        write(scanned)
    config = ScanConfig(n_kept_tokens=0)
    scan(planted_source(), [Target("topk", FakeSAE(5), (SITE,))], tmp_path / "without", config=config)
    with pytest.raises(ArtifactMissingError, match="no kept codes"):
        write(open_atlas(tmp_path / "without"))


def test_a_page_tells_of_the_others_and_says_where_that_is_missing(scanned):
    page = scanned.latent("topk", 3)
    assert page.coactive == page.correlated == page.neighbours == ()
    assert "not worked out" in page.why_no_relations
    assert page.effects is None
    assert "not measured" in page.why_no_effects
    write(scanned)
    page = scanned.latent("topk", 3)
    assert page.why_no_relations is None
    assert page.coactive[0].jaccard >= page.coactive[1].jaccard
    assert page.neighbours[0].cosine >= page.neighbours[-1].cosine
    assert page.to_json()["correlated"][0]["other"] == page.correlated[0].other
