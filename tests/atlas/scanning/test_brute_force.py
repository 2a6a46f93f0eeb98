"""A scan of the bundled model equals a computation that holds all codes densely and goes through them in the plainest way."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from monoseme.activations import LiveSource
from monoseme.atlas import Atlas, ScanConfig, StateConfig, Target, names_of, open_atlas, scan
from monoseme.atlas.bins import bin_edges
from monoseme.atlas.keys import hash_positions
from monoseme.models import LanguageModel, Site
from monoseme.saes.topk import TopK
from monoseme.splice import Placed
from monoseme.text import CorpusConfig, TokenStore

F, K, N_TOP, N_SAMPLED, PER_DECILE = 257, 5, 7, 41, 2
# windows of at most seven tokens are never near-duplicates, so that the twin need not know what text says the same
KEEP = StateConfig(n_top=N_TOP, n_sampled=N_SAMPLED, left=4, right=2)


class _Dense(NamedTuple):
    """Every token that reached the SAE, one row each."""

    codes: NDArray[np.float32]
    """[tokens, F]"""
    document: NDArray[np.int64]
    position: NDArray[np.int64]


class _Twin(NamedTuple):
    atlas: Atlas
    dense: _Dense
    logits: NDArray[np.float64]
    """[F, V]"""


@torch.no_grad()
def _made(folder: Path, n_tokens: int) -> _Twin:
    model = LanguageModel.load("bundled")
    site = Site("resid_post", model.spec.n_layers // 2)
    store = TokenStore.build(CorpusConfig(), model.tokenizer, max_tokens=n_tokens)
    source = LiveSource(model, store.contexts("all"), [site], contexts_per_block=16)
    sae = TopK(TopK.Config(d_in=source.widths[site], n_latents=F, k=K))
    first = source.block(0)
    sae.start(first.activations[site][first.mask])
    sae = sae.export()
    codes, document, position = [], [], []
    for block in source.blocks():
        found = Placed(sae, (site,)).encode({site: block.activations[site]}, block.mask).sparse(None)
        codes.append(found.to_dense().reshape(-1, F).numpy())
        document.append(block.documents[block.mask].numpy())
        position.append(block.positions[block.mask].numpy())
    scan(source, [Target("topk", sae, (site,))], folder, config=ScanConfig(keep=KEEP, n_per_decile=PER_DECILE), model=model,
         names=names_of(store))  # fmt: skip
    w_dec, gamma = sae.state_dict()["W_dec"].double(), model.final_norm_scale().double()
    rows = w_dec - w_dec.mean(1, keepdim=True) if model.spec.norm == "layer" else w_dec
    logits = (rows * gamma) @ model.unembedding().double()
    dense = _Dense(np.concatenate(codes), np.concatenate(document), np.concatenate(position))
    return _Twin(open_atlas(folder), dense, logits.numpy())


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(2_000, id="2k"),
        pytest.param(100_000, id="100k", marks=pytest.mark.slow),  # twenty seconds
    ],
)
def twin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> _Twin:
    """An atlas, and what it was made of, dense."""
    return _made(tmp_path_factory.mktemp("dense"), request.param)


def _alive(twin: _Twin) -> list[int]:
    alive = np.nonzero((twin.dense.codes > 0).any(axis=0))[0].tolist()
    assert len(alive) > 30
    return alive


def _edges(values: NDArray[np.float32], sampled: NDArray[np.float32]) -> NDArray[np.float64]:
    """The tenths of some activations: the bin by all of them, the place in it by those sampled, else by a straight line."""
    edges = bin_edges()
    counts = np.histogram(values.astype(np.float64), bins=edges)[0]
    found = []
    for level in np.linspace(0, 1, 11):
        wanted, before, i = level * counts.sum(), 0, 0
        while before + counts[i] < wanted:
            before, i = before + counts[i], i + 1
        share = (wanted - before) / counts[i] if counts[i] else 0.0
        inside = np.sort(sampled[(sampled >= edges[i]) & (sampled < edges[i + 1])].astype(np.float64))
        line = edges[i] + share * (edges[i + 1] - edges[i])
        places = np.arange(len(inside)) + 0.5
        found.append(float(np.interp(share * len(inside), places, inside)) if len(inside) else line)
    return np.array([*found[:-1], float(values.max())])


def test_counts_moments_and_histograms_are_those_of_the_dense_codes(twin: _Twin) -> None:
    histograms = np.load(twin.atlas.latents("topk").artifact.file("histograms.npy"))
    for latent in range(F):
        values = twin.dense.codes[:, latent]
        fired, stats = values[values > 0].astype(np.float64), twin.atlas.latent("topk", latent).stats
        assert (stats.n_fired, stats.n_tokens) == (len(fired), len(values))
        np.testing.assert_array_equal(histograms[latent], np.histogram(fired, bins=bin_edges())[0])
        if len(fired):
            documents = len(np.unique(twin.dense.document[values > 0]))
            assert not stats.n_documents_is_exact or stats.n_documents == documents
            assert stats.max == fired.max()
            np.testing.assert_allclose([stats.mean, stats.std], [fired.mean(), fired.std()], rtol=1e-10, atol=1e-12)


def test_the_strongest_examples_are_those_of_a_sort(twin: _Twin) -> None:
    for latent in _alive(twin)[::2]:
        values, seen, expected = twin.dense.codes[:, latent], set[int](), []
        for i in np.lexsort((twin.dense.position, twin.dense.document, -values)):
            if values[i] > 0 and int(twin.dense.document[i]) not in seen and len(expected) < N_TOP:
                seen.add(int(twin.dense.document[i]))
                expected.append((int(twin.dense.document[i]), int(twin.dense.position[i]), float(values[i])))
        found = twin.atlas.latent("topk", latent).top
        assert [(example.document, example.position, example.value) for example in found] == expected


def test_deciles_and_their_examples_are_those_of_the_firings_with_the_smallest_hash(twin: _Twin) -> None:
    for latent in _alive(twin)[::2]:
        values, page = twin.dense.codes[:, latent], twin.atlas.latent("topk", latent)
        fires = np.nonzero(values > 0)[0]
        hashed = hash_positions(0, twin.dense.document[fires], twin.dense.position[fires])
        sample = fires[np.argsort(hashed)][:N_SAMPLED]
        edges = _edges(values[fires], values[sample])
        np.testing.assert_allclose([decile.low for decile in page.deciles], edges[:-1], rtol=1e-12)
        for number, decile in enumerate(page.deciles):
            expected: dict[int, int] = {}
            for i in sample:
                is_here = int((values[i] >= edges[1:-1]).sum()) == number
                if is_here and int(twin.dense.document[i]) not in expected and len(expected) < PER_DECILE:
                    expected[int(twin.dense.document[i])] = int(twin.dense.position[i])
            assert {example.document: example.position for example in decile.examples} == expected


def test_logits_are_those_of_float64(twin: _Twin) -> None:
    for latent in range(0, F, 16):
        page, row = twin.atlas.latent("topk", latent), twin.logits[latent]
        np.testing.assert_allclose([one.logit for one in page.top_logits], np.sort(row)[::-1][:10], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose([one.logit for one in page.bottom_logits], np.sort(row)[:10], rtol=1e-4, atol=1e-6)
        # float32 may swap tokens whose logits are equal to its rounding, so each is held against its own
        np.testing.assert_allclose([row[one.token] for one in page.top_logits], [one.logit for one in page.top_logits], atol=1e-5)
