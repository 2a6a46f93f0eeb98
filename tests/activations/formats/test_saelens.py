"""SAELens's cached activations: columns become sites by the names of their hooks."""

from pathlib import Path

import pytest
import torch
from tests.activations.formats.foreign_stores import contexts_of, imported, write_saelens

from monoseme.activations.formats._importing import find_format
from monoseme.activations.store.reader import StoredActivations
from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.models.hook_names import hook_site

FORMAT = "saelens"
SITE = "resid_post.2"


def test_columns_are_sites_and_rows_are_contexts(tmp_path: Path) -> None:
    found, tokens = write_saelens(tmp_path / "cache", ("blocks.2.hook_resid_post", "blocks.0.attn.hook_z"))
    assert find_format(tmp_path / "cache") == FORMAT
    imported(tmp_path / "cache", tmp_path / "store", FORMAT, holdout_fraction=0.3, seed=1)
    assert [str(site) for site in StoredActivations.open(tmp_path / "store").sites] == [SITE, "head_out.0"]
    for site, hook in ((SITE, "blocks.2.hook_resid_post"), ("head_out.0", "blocks.0.attn.hook_z")):
        held = contexts_of(tmp_path / "store", site)
        assert sorted(context.documents[0] for context in held) == list(range(70))
        for context in held:
            assert torch.equal(context.rows, found[hook][context.documents[0]])
            assert context.tokens == tokens[context.documents[0]].tolist()


def test_contexts_that_lie_together_are_held_out_together(tmp_path: Path) -> None:
    write_saelens(tmp_path / "cache")
    imported(tmp_path / "cache", tmp_path / "store", FORMAT, holdout_fraction=0.3)
    heldout = sorted({context.documents[0] for context in contexts_of(tmp_path / "store", SITE, "heldout")})
    assert heldout
    assert heldout == [c for c in range(70) if c // 32 in {h // 32 for h in heldout}]


def test_a_cache_without_ids_has_none_of_ours_either(tmp_path: Path) -> None:
    write_saelens(tmp_path / "cache", ids=False)
    found = imported(tmp_path / "cache", tmp_path / "store", FORMAT)
    assert found.lost == ("token ids: there is no column token_ids",)
    assert not StoredActivations.open(tmp_path / "store").index.has_text


def test_special_tokens_of_the_tokenizer_are_hidden_from_saes(tmp_path: Path) -> None:
    _, tokens = write_saelens(tmp_path / "cache")
    from monoseme.activations.formats._tokenizer import load_tokenizer

    model = str(Path(__file__).resolve().parents[3] / "src" / "monoseme" / "bundled" / "model")
    special = torch.tensor(sorted(load_tokenizer(model).special_ids))
    imported(tmp_path / "cache", tmp_path / "store", FORMAT, tokenizer=model)
    statistics = StoredActivations.open(tmp_path / "store").statistics
    assert statistics.n_real - statistics.n_masked == int(torch.isin(tokens, special).sum())


def test_unknown_hooks_ask_for_their_site_with_what_to_type(tmp_path: Path) -> None:
    write_saelens(tmp_path / "cache", ("blocks.2.hook_resid_post", "blocks.2.ln2.hook_normalized"))
    message = r"meant by blocks.2.ln2.hook_normalized.\n  Say so with --site blocks.2.ln2.hook_normalized=resid_post.12"
    with pytest.raises(SiteError, match=message):
        imported(tmp_path / "cache", tmp_path / "a", FORMAT)
    imported(tmp_path / "cache", tmp_path / "b", FORMAT, site=("blocks.2.ln2.hook_normalized=mlp_in.2",))
    assert [str(site) for site in StoredActivations.open(tmp_path / "b").sites] == [SITE, "mlp_in.2"]
    with pytest.raises(SiteError, match=r"two places of the store are resid_post.2"):
        imported(tmp_path / "cache", tmp_path / "c", FORMAT, site=(f"blocks.2.ln2.hook_normalized={SITE}",))
    with pytest.raises(ConfigError, match=r'no place named "blocks.2.hook_resid_pos". Did you mean'):
        imported(tmp_path / "cache", tmp_path / "d", FORMAT, site=("blocks.2.hook_resid_pos=mlp_in.2",))
    with pytest.raises(ConfigError, match="does not say which place of the store"):
        imported(tmp_path / "cache", tmp_path / "e", FORMAT, site=(SITE,))


def test_names_of_hooks_before_a_norm_are_no_sites() -> None:
    assert str(hook_site("blocks.31.hook_mlp_out")) == "mlp_out.31"
    for name in ("blocks.3.hook_mlp_in", "blocks.x.hook_mlp_out", "hook_embed", "blocks.-1.hook_resid_pre"):
        assert hook_site(name) is None


def test_a_run_that_was_killed_and_a_damaged_dataset_are_told(tmp_path: Path) -> None:
    write_saelens(tmp_path / "cache")
    (tmp_path / "cache" / ".tmp_shards").mkdir()
    with pytest.raises(ForeignError, match="did not come to its end"):
        imported(tmp_path / "cache", tmp_path / "a", FORMAT)
    (tmp_path / "cache" / ".tmp_shards").rmdir()
    arrow = next((tmp_path / "cache").glob("*.arrow"))
    arrow.write_bytes(arrow.read_bytes()[:100])
    with pytest.raises(ForeignError, match="cannot be opened"):
        imported(tmp_path / "cache", tmp_path / "b", FORMAT)
