"""The scan from source to pages."""

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import torch
from atlas_fakes import (
    SITE,
    WORDS,
    FakeCrosscoder,
    FakeLayersSAE,
    FakeSAE,
    FakeSource,
    FakeTranscoder,
    make_block,
    planted_model,
    planted_source,
    random_source,
)

from monoseme.atlas import Atlas, ScanConfig, StateConfig, Target, check_atlas, open_atlas, scan
from monoseme.core.errors import (
    ArtifactDamagedError,
    ArtifactExistsError,
    ArtifactMissingError,
    ConfigError,
    EmptyCorpusError,
    SiteError,
)
from monoseme.models.site import Site


def test_a_page_tells_what_is_planted(planted: Atlas) -> None:
    page = planted.latent("topk", 0)
    documents = torch.cat([block.documents[block.tokens == 2] for block in planted_source().given])
    n_cats, n_documents, stats = len(documents), len(documents.unique()), page.stats
    assert (stats.n_fired, stats.max, stats.mean, stats.std, stats.n_documents) == (n_cats, 2.5, 2.5, 0.0, n_documents)
    assert stats.density == n_cats / stats.n_tokens
    assert page.histogram is not None
    assert (page.histogram.edges, page.histogram.counts) == ((2.5, 3.0), (n_cats,))
    assert {example.texts[example.focus] for example in page.top} == {" cat"}
    assert len({example.document for example in page.top}) == len(page.top) == n_documents


def test_values_of_a_window_are_those_of_its_tokens(planted: Atlas) -> None:
    for example in planted.latent("topk", 0).top:
        for token, value in zip(example.tokens, example.values, strict=True):
            assert value == (None if token == 0 else 2.5 if token == 2 else 0.0)


def test_decile_examples_lie_between_the_edges_of_their_decile(planted: Atlas) -> None:
    page = planted.latent("topk", 3)
    assert len(page.deciles) == 10
    assert page.deciles[-1].high == page.stats.max
    for decile in page.deciles:
        assert decile.examples
        # a value on the edge of two deciles belongs to the upper one; the maximum to the last
        assert all(decile.low <= example.value <= decile.high for example in decile.examples)
        assert len({example.document for example in decile.examples}) == len(decile.examples)


def test_a_dead_latent_says_so_and_has_no_numbers_it_cannot_have(planted: Atlas) -> None:
    page = planted.latent("topk", 2)
    assert page.why_missing == "never fired in 1,232 tokens"
    assert (page.stats.density, page.stats.max, page.stats.mean, page.histogram) == (0.0, None, None, None)
    assert page.top == page.deciles == ()


def test_logits_name_their_tokens(planted: Atlas) -> None:
    page, model = planted.latent("topk", 1), planted_model()
    row = model.gamma[1] * model.w_u[1]
    strongest = int(row.argmax())
    assert page.top_logits[0].token == strongest
    assert page.top_logits[0].text == planted.text.token_text(strongest)
    assert page.top_logits[0].logit == pytest.approx(float(row.max()))
    assert page.bottom_logits[0].logit == pytest.approx(float(row.min()))
    assert page.why_no_logits is None


def test_pages_are_json_without_nan(planted: Atlas) -> None:
    for latent in range(5):
        page = planted.latent("topk", latent).to_json()
        assert json.loads(json.dumps(page, allow_nan=False)) == page


def test_a_page_is_read_without_torch(planted: Atlas) -> None:
    code = (
        "import sys; from monoseme.atlas import open_atlas; atlas = open_atlas(sys.argv[1]);"
        "print(atlas.latent('topk', 1).stats.n_fired, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(planted.path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(planted.latent("topk", 1).stats.n_fired), "False"]


def test_duckdb_reads_the_tables(planted: Atlas) -> None:
    folder = planted.path / "latents" / "topk"
    connection = duckdb.connect()
    found = connection.execute(f"SELECT count(*), sum(n_fired) FROM '{folder}/latents.parquet'").fetchall()
    shown = connection.execute(f"SELECT max(len(\"window\")) FROM '{folder}/examples.parquet'").fetchall()
    connection.close()
    assert found[0][0] == 5
    assert found[0][1] == sum(planted.latent("topk", latent).stats.n_fired for latent in range(5))
    assert shown == [(25,)]


def test_without_a_model_tokens_are_numbers_and_logits_missing(tmp_path: Path) -> None:
    scan(planted_source(), [Target("a", FakeSAE(5), (SITE,))], tmp_path)
    page = open_atlas(tmp_path).latent("a", 0)
    assert page.top[0].texts[page.top[0].focus] == "[2]"
    assert page.top_logits == ()
    assert "no model" in str(page.why_no_logits)


def test_a_site_that_does_not_write_to_the_residual_has_no_logits(tmp_path: Path) -> None:
    site = Site.parse("mlp_in.1")
    blocks = [block._replace(activations={site: block.activations[SITE]}) for block in planted_source().given]
    scan(FakeSource(blocks, (site,)), [Target("a", FakeSAE(5), (site,))], tmp_path, model=planted_model())
    assert "does not write to the residual" in str(open_atlas(tmp_path).latent("a", 0).why_no_logits)


def test_parts_and_several_saes_share_one_pass_and_one_text(tmp_path: Path) -> None:
    targets = [Target("a", FakeSAE(5), (SITE,)), Target("a", FakeSAE(5), (SITE,), part="high"), Target("b", FakeSAE(5), (SITE,))]
    result = scan(planted_source(), targets, tmp_path)
    atlas = open_atlas(tmp_path)
    assert result.keys == ("a", "a.high", "b")
    assert atlas.saes() == ["a", "a.high", "b"]
    assert atlas.latent("a.high", 0).stats == atlas.latent("b", 0).stats


def test_an_sae_is_added_to_an_atlas_of_the_same_text(tmp_path: Path) -> None:
    scan(planted_source(), [Target("a", FakeSAE(5), (SITE,))], tmp_path)
    before = (tmp_path / "latents" / "a" / "manifest.json").read_bytes()
    scan(planted_source(), [Target("b", FakeSAE(5), (SITE,))], tmp_path)
    assert open_atlas(tmp_path).saes() == ["a", "b"]
    assert (tmp_path / "latents" / "a" / "manifest.json").read_bytes() == before
    with pytest.raises(ArtifactExistsError, match="exists already"):
        scan(planted_source(), [Target("b", FakeSAE(5), (SITE,))], tmp_path)
    with pytest.raises(ArtifactExistsError, match="another text"):
        scan(FakeSource(planted_source().given[1:]), [Target("c", FakeSAE(5), (SITE,))], tmp_path)


_OTHER = Site.parse("mlp_in.1")


def _two_sites() -> FakeSource:
    """The planted source, and at a second site the same moved by one latent."""
    blocks = []
    for block in planted_source().given:
        x = block.activations[SITE]
        blocks.append(block._replace(activations={SITE: x, _OTHER: x.roll(1, dims=-1)}))
    return FakeSource(blocks, (SITE, _OTHER))


def test_codes_of_each_site_get_an_atlas_of_their_own(tmp_path: Path) -> None:
    target = Target("mlsae", FakeLayersSAE(5), (SITE, _OTHER))
    assert target.keys == ("mlsae@resid_post.1", "mlsae@mlp_in.1")
    assert scan(_two_sites(), [target], tmp_path / "two", model=planted_model()).keys == target.keys
    scan(planted_source(), [Target("a", FakeSAE(5), (SITE,))], tmp_path / "one", model=planted_model())
    two, one = open_atlas(tmp_path / "two"), open_atlas(tmp_path / "one")
    assert two.saes() == sorted(target.keys)
    for latent in range(5):
        assert two.latent(target.keys[0], latent).stats == one.latent("a", latent).stats
        moved = two.latent(target.keys[1], (latent + 1) % 5)
        assert moved.stats.density == one.latent("a", latent).stats.density
        assert "does not write to the residual" in str(moved.why_no_logits)
    assert two.latent(target.keys[0], 0).top_logits == one.latent("a", 0).top_logits != ()
    assert (two.latents(target.keys[0]).site, two.latents(target.keys[1]).site) == ("resid_post.1", "mlp_in.1")
    with pytest.raises(ArtifactExistsError, match="exists already"):
        scan(_two_sites(), [target], tmp_path / "two")


def test_one_code_of_several_sites_has_one_atlas_and_no_logits(tmp_path: Path) -> None:
    scan(_two_sites(), [Target("cross", FakeCrosscoder(5), (SITE, _OTHER))], tmp_path, model=planted_model())
    page = open_atlas(tmp_path).latent("cross", 0)
    x = torch.cat([(b.activations[SITE] + b.activations[_OTHER])[b.mask] for b in _two_sites().given])
    assert page.stats.n_fired == int((x[:, 0] > 0).sum())
    assert page.why_no_logits == "each latent writes to 2 sites, with a vector for each"


def test_a_transcoder_is_scanned_where_it_reads_and_writes_where_it_gives_back(tmp_path: Path) -> None:
    scan(_two_sites(), [Target("t", FakeTranscoder(5), (_OTHER, SITE))], tmp_path / "t", model=planted_model())
    scan(_two_sites(), [Target("a", FakeSAE(5), (SITE,))], tmp_path / "a", model=planted_model())
    transcoder, plain = open_atlas(tmp_path / "t"), open_atlas(tmp_path / "a")
    assert transcoder.latents("t").site == "mlp_in.1"
    assert transcoder.latent("t", 1).stats.density == plain.latent("a", 0).stats.density
    assert transcoder.latent("t", 0).top_logits == plain.latent("a", 0).top_logits != ()
    back = Target("back", FakeTranscoder(5), (SITE, _OTHER))
    scan(_two_sites(), [back], tmp_path / "back", model=planted_model())
    assert "mlp_in.1 does not write" in str(open_atlas(tmp_path / "back").latent("back", 0).why_no_logits)


@pytest.mark.parametrize(("w_dec", "why"), [(None, "there is none"), (torch.ones(5, 2, 5), r"it has the shape \(5, 2, 5\)")])
def test_a_decoder_that_is_not_a_vector_a_latent_has_no_logits(tmp_path: Path, w_dec: torch.Tensor | None, why: str) -> None:
    sae = FakeSAE(5)
    sae.state_dict = lambda: {} if w_dec is None else {"W_dec": w_dec}  # type: ignore[method-assign]
    scan(planted_source(), [Target("a", sae, (SITE,))], tmp_path, model=planted_model())
    said = str(open_atlas(tmp_path).latent("a", 0).why_no_logits)
    assert re.search(rf"needs W_dec of the shape \(5, 5\), one vector a latent, but {why}", said)


def test_the_same_scan_has_the_same_hash(tmp_path: Path) -> None:
    for name in ("one", "two"):
        scan(planted_source(), [Target("a", FakeSAE(5), (SITE,))], tmp_path / name, model=planted_model())
    assert open_atlas(tmp_path / "one").latents("a").content_hash == open_atlas(tmp_path / "two").latents("a").content_hash


def test_a_site_that_is_not_held_is_refused_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"reads mlp_out.3, but the activations hold resid_post.1"):
        scan(planted_source(), [Target("a", FakeSAE(5), (Site.parse("mlp_out.3"),))], tmp_path)


@pytest.mark.parametrize("name", ["../a", "a/b", ".hidden"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name an SAE"):
        scan(planted_source(), [Target(name, FakeSAE(5), (SITE,))], tmp_path)


def test_text_of_which_nothing_reaches_the_saes_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    zeros = torch.zeros(2, 3, dtype=torch.int64)
    block = make_block(zeros, zeros, torch.arange(3).expand(2, 3), torch.zeros(2, 3, 5))
    with pytest.raises(EmptyCorpusError, match="no token of the text"):
        scan(FakeSource([block]), [Target("a", FakeSAE(5), (SITE,))], tmp_path / "atlas")
    assert list((tmp_path / "atlas").iterdir()) == []


def test_an_unknown_sae_or_latent_is_refused_with_what_there_is(planted: Atlas) -> None:
    with pytest.raises(ConfigError, match=r'no SAE "topl". Did you mean "topk"'):
        planted.latent("topl", 0)
    for latent in (-1, 5):
        with pytest.raises(ConfigError, match="its latents are 0 to 4"):
            planted.latent("topk", latent)


def test_a_folder_without_an_atlas_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="monoseme scan"):
        open_atlas(tmp_path)


def test_check_finds_a_changed_byte(tmp_path: Path) -> None:
    scan(planted_source(), [Target("a", FakeSAE(5), (SITE,))], tmp_path)
    assert check_atlas(tmp_path) == []
    path = tmp_path / "latents" / "a" / "histograms.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert [line.split(":")[0] for line in check_atlas(tmp_path)] == ["latents/a"]


def test_latents_of_another_text_are_refused(tmp_path: Path) -> None:
    scan(planted_source(), [Target("a", FakeSAE(5), (SITE,))], tmp_path / "one")
    scan(FakeSource(planted_source().given[1:]), [Target("a", FakeSAE(5), (SITE,))], tmp_path / "two")
    (tmp_path / "one" / "latents" / "a").rename(tmp_path / "two" / "latents" / "b")
    with pytest.raises(ArtifactDamagedError, match="another text"):
        open_atlas(tmp_path / "two").latent("b", 0)


def test_every_latent_finds_its_own_examples_across_row_groups(tmp_path: Path) -> None:
    n_latents = 101
    source = random_source(n_blocks=2, n_contexts=7, seq_len=13, n_latents=n_latents, n_documents=11, seed=4, sparsity=0.97)
    for block in source.given:
        block.activations[SITE][..., 30:70] = 0  # a whole row group of latents without examples
    config = ScanConfig(keep=StateConfig(n_top=2), n_per_decile=1)
    scan(source, [Target("a", FakeSAE(n_latents), (SITE,))], tmp_path, config=config)
    atlas = open_atlas(tmp_path)
    for latent in range(n_latents):
        strongest = max(float(b.activations[SITE][..., latent][b.mask].max()) for b in source.given)
        top = atlas.latent("a", latent).top
        assert [example.value for example in top[:1]] == ([strongest] if strongest > 0 else [])


@pytest.mark.parametrize("field", ["n_per_decile", "n_logit_tokens", "rows_per_encode"])
def test_sizes_below_one_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        ScanConfig(**{field: 0})  # pyright: ignore[reportArgumentType]


def test_words_of_the_fakes_hold_what_viewers_must_escape() -> None:
    assert {"<script>", ' "', "\x07", "\udc80"} <= set(WORDS)


def test_every_sampled_firing_can_be_shown_with_its_window(planted: Atlas) -> None:
    latents = planted.latents("topk")
    sample = latents.firing_sample()
    for latent in range(5):
        found = latents.firings(latent)
        mine = sample.latent == latent
        assert found is not None
        assert [(e.document, e.position, e.value) for e in found] == list(
            zip(sample.document[mine].tolist(), sample.position[mine].tolist(), sample.value[mine].tolist(), strict=True)
        )
        assert all(example.values[example.focus] == example.value for example in found)
    for example in latents.firings(0) or ():
        assert list(example.values) == [None if token == 0 else 2.5 * (token == 2) for token in example.tokens]
