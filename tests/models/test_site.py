"""Sites are values: parse and print are inverses, and their order is the forward's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoseme.core.errors import SiteError
from monoseme.models import KINDS, Site, expand_sites

names = st.text(min_size=1).filter(lambda text: text.isprintable())
sites = st.builds(Site, st.sampled_from(KINDS), st.integers(0, 999), st.none() | names)


@given(sites)
def test_parse_and_print_are_inverses(site: Site) -> None:
    assert Site.parse(str(site)) == site
    assert eval(repr(site), {"Site": Site}) == site


@given(sites, sites, sites)
def test_order_is_total_and_agrees_with_equality(a: Site, b: Site, c: Site) -> None:
    assert (a < b) + (b < a) + (a == b) == 1
    assert not (a < b and b < c) or a < c


def test_order_is_that_of_the_forward() -> None:
    block = [Site(kind, 1) for kind in KINDS]
    assert sorted([Site("resid_pre", 2), *reversed(block), Site("resid_post", 0)]) == [
        Site("resid_post", 0),
        *block,
        Site("resid_pre", 2),
    ]


_NO_SITES = ["", "resid_post", "resid_post.", "resid_post.-1", "resid_post.x", "resid_post.03", "resid_post.\u00b2", ".3"]


@pytest.mark.parametrize("text", _NO_SITES)
def test_what_is_no_site_is_refused_with_the_way_to_write_one(text: str) -> None:
    with pytest.raises(SiteError, match=r"resid_post"):
        Site.parse(text)


def test_a_misspelt_kind_gets_a_suggestion() -> None:
    with pytest.raises(SiteError, match='Did you mean "resid_post"'):
        Site.parse("resid_pots.3")


def test_an_empty_model_name_is_refused() -> None:
    with pytest.raises(SiteError, match="names no model"):
        Site.parse("resid_post.3@")


def test_patterns_give_all_layers_each_site_once() -> None:
    found = expand_sites("resid_post.*, mlp_out.1,resid_post.2", n_layers=3)
    assert [str(site) for site in found] == ["resid_post.0", "resid_post.1", "resid_post.2", "mlp_out.1"]
    assert expand_sites([Site("attn_in", 2), "attn_in.*"], n_layers=3)[0] == Site("attn_in", 2)
    assert expand_sites("resid_pre.*@gpt2", n_layers=1) == (Site("resid_pre", 0, "gpt2"),)


def test_a_layer_too_many_is_refused_with_the_last_one_there_is() -> None:
    with pytest.raises(SiteError, match=r"3 blocks.*\n.*resid_post\.2"):
        expand_sites("resid_post.3", n_layers=3)
