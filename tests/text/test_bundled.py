"""The bundled text: two domains in every stretch of it, both sides of the split, the same for one installation."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from monoseme.core.errors import ConfigError
from monoseme.text import CorpusConfig, TokenStore, read_documents
from monoseme.text.python_docs import python_docs


def test_python_docs_are_prose_of_this_installation() -> None:
    documents = list(itertools.islice(python_docs(), 60))
    assert len({document.name for document in documents}) == 60
    assert all(len(document.text) >= 300 for document in documents)
    assert sum(document.name.startswith("topics/") for document in documents) > 0
    assert documents == list(itertools.islice(python_docs(), 60))


def test_python_docs_find_docstrings_comments_and_topics(tmp_path: Path) -> None:
    prose = "This sentence says a thing that a reader may want to know. " * 6
    (tmp_path / "pydoc_data").mkdir()
    (tmp_path / "pydoc_data" / "topics.py").write_text(f"# generated\ntopics = {{'lists': {prose!r}, 'short': 'x'}}\n")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "other.py").write_text(f'"""{prose}"""\n')
    (tmp_path / "one.py").write_text(
        f'"""{prose}"""\n# Why it is so, said in\n# a comment of three\n# lines of prose.\n# ----\n\n'
        "# x = [1, 2]\n# y = {3: 4}\n# z = (5, 6)\n"
        "if True:\n    class A:\n        def f(self):\n            '''What f does.'''\n            return 'no docstring'\n"
    )
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "notes.txt").write_text(prose)
    (tmp_path / "table.txt").write_text("|--|--|\n" * 99)
    found = {document.name: document.text for document in python_docs(tmp_path)}
    assert set(found) == {"topics/lists", "one.py", "notes.txt"}
    assert found["one.py"] == "\n\n".join(
        [prose.strip(), "Why it is so, said in\na comment of three\nlines of prose.\n----", "What f does."]
    )


def test_every_stretch_holds_both_domains() -> None:
    documents = list(itertools.islice(read_documents(CorpusConfig()), 200))
    assert [d.labels["domain"] for d in documents[:2]] == ["stories", "python_docs"]
    sizes = dict.fromkeys(("stories", "python_docs"), 0)
    for document in documents:
        sizes[document.labels["domain"]] += len(document.text)
    assert 0.5 < sizes["stories"] / sizes["python_docs"] < 2


def test_both_domains_are_on_both_sides(words: Any) -> None:
    store = TokenStore.build(CorpusConfig(), words, max_tokens=30_000)
    sides = {(store.document_labels(i)["domain"], store.is_heldout(i)) for i in range(store.n_documents)}
    assert sides == set(itertools.product(("stories", "python_docs"), (False, True)))
    assert "python" in store.spec


def test_one_domain_alone() -> None:
    for domain in ("stories", "python_docs"):
        documents = itertools.islice(read_documents(CorpusConfig(source=f"bundled:{domain}")), 20)
        assert {d.labels["domain"] for d in documents} == {domain}


def test_an_unknown_domain_is_refused() -> None:
    with pytest.raises(ConfigError, match='Did you mean "stories"'):
        next(read_documents(CorpusConfig(source="bundled:storys")))
    with pytest.raises(ConfigError, match='in the field "text"'):
        next(read_documents(CorpusConfig(field="body")))
