"""Maps of codes: exact neighbours, measures that see classes and not documents, chance from shuffled labels."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import silhouette_samples

from monoseme.core.errors import ConfigError
from monoseme.evaluation import DocumentWeights
from monoseme.pipeline import RunFolder
from monoseme.studies._maps.figures import Panel, class_map
from monoseme.studies._maps.layout import lay_out, n_neighbours
from monoseme.studies._maps.measures import Measuring, labelling_of, measures_of
from monoseme.studies._maps.neighbours import Space, nearest, unit_rows
from monoseme.studies._maps.quality import Labelling, purity, silhouette
from monoseme.studies.maps import Maps

N_SOURCES, PER_SOURCE, N_LATENTS = 24, 7, 31


def planted(*, of_class: float, of_source: float) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """Codes of 3 classes of sources: a latent of the class, one of the source, and noise; with classes and sources."""
    rng = np.random.default_rng(3)
    source = np.repeat(np.arange(N_SOURCES), PER_SOURCE)
    label = (source * 5 + 1) % 3
    codes = rng.exponential(size=(len(source), N_LATENTS)) * (rng.random((len(source), N_LATENTS)) < 0.15)
    codes[np.arange(len(source)), label] += of_class
    codes[np.arange(len(source)), 3 + source] += of_source
    return sparse.csr_array(codes + 1e-3 * (codes.sum(1) == 0)[:, None]), label, source


def test_neighbours_are_those_of_brute_force() -> None:
    codes, _, source = planted(of_class=1.0, of_source=0.5)
    rows = unit_rows(codes)
    cosine = (rows @ rows.T).toarray()
    np.fill_diagonal(cosine, -np.inf)
    found = nearest(Space(rows), 5)
    assert found.distance == pytest.approx(1 - np.sort(cosine, axis=1)[:, ::-1][:, :5])
    cosine[source[:, None] == source] = -np.inf
    apart = nearest(Space(rows), 5, apart=source)
    assert apart.distance == pytest.approx(1 - np.sort(cosine, axis=1)[:, ::-1][:, :5])
    assert (source[apart.row] != source[:, None]).all()


def test_silhouette_is_that_of_scikit_learn_where_nothing_is_left_out() -> None:
    codes, label, source = planted(of_class=1.0, of_source=0.5)
    rows = unit_rows(codes)
    labelling = Labelling(label, source, by_source=False)
    found = silhouette(Space(rows), labelling, labelling.shuffled(0, seed=0))
    assert found.of_token == pytest.approx(silhouette_samples(rows, label, metric="cosine"))
    points = rows.toarray()[:, :2]
    flat = silhouette(Space(points), labelling, labelling.shuffled(0, seed=0))
    assert flat.of_token == pytest.approx(silhouette_samples(points, label, metric="euclidean"), abs=1e-6)


def test_planted_classes_are_found_and_shuffled_ones_are_at_chance() -> None:
    codes, label, source = planted(of_class=5.0, of_source=0.0)
    labelling = Labelling(label, source, by_source=True)
    found = purity(Space(unit_rows(codes)), labelling, labelling.shuffled(40, seed=1), k=5)
    assert np.nanmean(found.of_token) > 0.95
    chance = (N_SOURCES / 3 - 1) / (N_SOURCES - 1)  # another source is of the own class
    assert found.shuffled.mean() == pytest.approx(chance, abs=0.05)


def test_what_documents_share_is_not_taken_for_what_classes_share() -> None:
    codes, label, source = planted(of_class=0.0, of_source=5.0)
    space = Space(unit_rows(codes))
    by_class, by_token = (Labelling(label, source, by_source=by_source) for by_source in (True, False))
    for measure in (lambda lab, sh: purity(space, lab, sh, k=5), lambda lab, sh: silhouette(space, lab, sh)):
        fair, fooled = (measure(lab, lab.shuffled(40, seed=1)) for lab in (by_class, by_token))
        low, high = np.quantile(fair.shuffled, [0.005, 0.995])
        assert low <= np.nanmean(fair.of_token) <= high
        assert np.nanmean(fooled.of_token) > fooled.shuffled.max()


def test_shuffling_keeps_the_sizes_of_classes_and_the_tokens_without_a_label() -> None:
    of = np.array([0, 0, 1, 1, -1, -1, 2, 2])
    source = np.array([5, 5, 3, 3, 9, 9, 1, 1])
    for by_source in (True, False):
        made = Labelling(of, source, by_source=by_source).shuffled(9, seed=2)
        assert all(np.bincount(row + 1).tolist() == [2, 2, 2, 2] and (row[4:6] == -1).all() for row in made)
        assert not by_source or all((row[::2] == row[1::2]).all() for row in made)


def test_a_class_of_one_source_has_no_value_and_says_why() -> None:
    codes, _, source = planted(of_class=1.0, of_source=0.0)
    names = [f"class {s}" for s in source]
    labels = {"class": labelling_of(names, source, by_source=True)}
    how = Measuring(5, 3, DocumentWeights(n_replicates=30, seed=0), 0)
    found = {m.measure: m.metric() for m in measures_of({"codes": unit_rows(codes)}, labels, how)}
    assert found["silhouette"].value is None
    assert "another source" in str(found["silhouette"].why_missing)
    assert found["purity"].value == 0  # there are neighbours, all of other classes


def test_t_sne_keeps_planted_classes_apart_and_has_the_same_bits_twice() -> None:
    codes, label, source = planted(of_class=5.0, of_source=0.0)
    rows = unit_rows(codes)
    found = nearest(Space(rows), n_neighbours(rows.shape[0]))
    points = lay_out(rows, found, method="tsne", seed=42)
    again = lay_out(rows, found, method="tsne", seed=42)
    assert points is not None
    assert again is not None
    assert np.array_equal(points, again)
    labelling = Labelling(label, source, by_source=True)
    assert np.nanmean(purity(Space(points), labelling, labelling.shuffled(0, seed=0), k=5).of_token) > 0.9
    assert lay_out(rows[:5], nearest(Space(rows[:5]), 4), method="tsne", seed=42) is None


@pytest.mark.slow  # importing and compiling UMAP takes half a minute
def test_umap_keeps_planted_classes_apart_and_has_the_same_bits_twice() -> None:
    codes, label, source = planted(of_class=5.0, of_source=0.0)
    rows = unit_rows(codes)
    found = nearest(Space(rows), n_neighbours(rows.shape[0]))
    points, again = (lay_out(rows, found, method="umap", seed=42) for _ in range(2))
    assert points is not None
    assert again is not None
    assert np.array_equal(points, again)
    labelling = Labelling(label, source, by_source=True)
    assert np.nanmean(purity(Space(points), labelling, labelling.shuffled(0, seed=0), k=5).of_token) > 0.9


def test_the_study_maps_tokens_and_directions(studied_run: RunFolder, tmp_path: Path) -> None:
    config = Maps.Config(
        sae=(str(studied_run.path),),
        part=("high", "low"),
        n_tokens=40,
        last_tokens=5,
        maps=("tsne",),
        n_directions=20,
        n_neighbours=3,
        n_shuffles=3,
        n_replicates=30,
    )
    result = Maps(config).investigate(tmp_path / "work")
    names = {figure.name for figure in result.figures}
    assert {"tsne_class", "tsne_document", "directions_tsne_density", "directions_tsne_part", "quality"} <= names
    for figure in result.figures:
        assert figure.spec()
    assert {m.name for m in result.metrics["tsae (high)"]} >= {"purity_codes_class", "silhouette_tsne_class"}
    counted = {row["subject"]: row for row in result.tables["tokens"]}
    assert all(row["n_tokens"] == 40 for row in counted.values())
    kept = list((tmp_path / "work" / "maps").iterdir())
    again = Maps(config).investigate(tmp_path / "work")
    assert again.tables["quality"] == result.tables["quality"]
    assert sorted((tmp_path / "work" / "maps").iterdir()) == sorted(kept)


def test_points_are_coloured_by_the_label_of_the_map_whatever_else_tooltips_tell() -> None:
    n = 39
    labels = [f"document {i % 13}" for i in range(n)]
    points = np.random.default_rng(0).normal(size=(n, 2))
    panels = [Panel(name, points, np.arange(n)) for name in ("a", "b")]
    facts = [{"row": i, "text": "<b>", "class": "story"} for i in range(n)]
    svg = str(class_map("m", panels, labels, facts, title="t", caption="c").render("svg"))
    assert svg.count("shown_as: document") == 2 * 30  # ten of thirteen documents have a colour
    assert svg.count("class: story") == 2 * n


def test_a_tagged_file_and_spacy_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="spacy"):
        Maps.Config(sae=("x",), tags="a.conllu", tagger="spacy")
