"""Labels and sites that nothing has are told, not passed over."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import Site
from monoseme.studies._labels import asked, require_label, with_label
from monoseme.studies._texts import _require_site
from monoseme.text import CorpusConfig


def test_only_a_named_text_keeps_the_label_and_once() -> None:
    named = CorpusConfig(source="news.csv", label_fields=("title",))
    assert with_label(named, "class").label_fields == ("title", "class")
    assert with_label(named, "title") == with_label(named, None) == with_label(named, asked("domain")) == named
    assert with_label(CorpusConfig(source="run"), "class") == CorpusConfig(source="run")


def test_a_label_that_no_document_has_names_those_there_are() -> None:
    store = cast(Any, SimpleNamespace(document_labels=lambda _: {"class": "a"}, config=CorpusConfig(source="news.csv")))
    with pytest.raises(ConfigError, match=r'no document of news\.csv has the label "clas".*\n  They have: class'):
        require_label(store, "clas", [None, ""])
    require_label(store, "class", [None, "a"])


def _subject(name: str, *sites: str, codes_per_site: bool) -> Any:
    placed = SimpleNamespace(code_sites=[Site.parse(site) for site in sites])
    return SimpleNamespace(sae_name=name, sae=SimpleNamespace(codes_per_site=codes_per_site), placed=placed)


def test_a_site_that_would_not_be_used_is_refused() -> None:
    one = _subject("topk", "resid_post.3", codes_per_site=False)
    several = _subject("mlsae", "resid_post.0", "resid_post.1", codes_per_site=True)
    with pytest.raises(SiteError, match="Leave --site out"):
        _require_site([one], "resid_post.3")
    with pytest.raises(SiteError, match=r"Allowed: mlsae has resid_post\.0, resid_post\.1"):
        _require_site([one, several], "resid_post.9")
    _require_site([one, several], "resid_post.1")
    _require_site([one], None)
