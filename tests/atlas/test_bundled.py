"""The scan on the real parts: bundled model, bundled text, a TopK SAE."""

from pathlib import Path

import pytest
import torch

from monoseme.activations import LiveSource
from monoseme.atlas import Target, check_atlas, explain_latents, names_of, open_atlas, scan, score_explanations
from monoseme.models import LanguageModel, Site
from monoseme.saes import SAE
from monoseme.saes.topk import TopK
from monoseme.text import CorpusConfig, TokenStore


def test_an_atlas_of_the_bundled_model_has_pages_whose_values_the_sae_gives_again(tmp_path: Path) -> None:
    model = LanguageModel.load("bundled")
    site = Site("resid_post", model.spec.n_layers // 2)
    store = TokenStore.build(CorpusConfig(), model.tokenizer, max_tokens=8_000)
    source = LiveSource(model, store.contexts("all"), [site], contexts_per_block=32)
    sae = TopK(TopK.Config(d_in=source.widths[site], n_latents=257, k=5))
    first = source.block(0)
    sae.start(first.activations[site][first.mask])
    sae = sae.export()
    scan(source, [Target("topk", sae, (site,))], tmp_path, model=model, names=names_of(store))
    explain_latents(open_atlas(tmp_path), "topk")
    score_explanations(open_atlas(tmp_path), "topk")
    atlas = open_atlas(tmp_path)
    assert check_atlas(tmp_path) == []
    assert atlas.latents("topk").n_tokens == sum(int(block.mask.sum()) for block in source.blocks())
    fired = [row["latent"] for row in atlas.table("topk", sort="n_fired", descending=True, limit=3).rows]
    for latent in fired:
        page = atlas.latent("topk", latent)
        assert page.explanations[0].text
        example = page.top[0]
        assert example.source in store.source_names
        assert _value_there(source, sae, site, latent, example.document, example.position) == pytest.approx(example.value)
        document = store.document(example.document)
        assert example.tokens[example.focus] == document[example.position]


@torch.no_grad()
def _value_there(source: LiveSource, sae: SAE, site: Site, latent: int, document: int, position: int) -> float:
    """The latent's value at a position, from the same forward."""
    for block in source.blocks():
        here = (block.documents == document) & (block.positions == position)
        if here.any():
            codes = sae.encode(block.activations[site][block.mask]).dense()
            return float(codes[here[block.mask]][0, latent])
    raise LookupError(f"no block holds document {document}, position {position}")
