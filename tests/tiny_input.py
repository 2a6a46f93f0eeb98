"""A tiny model and a text on disk: fixtures of every package of tests that works on files; importing this imports no model."""

import json
from pathlib import Path

import pytest

_NOUNS = ("cat", "dog", "sun", "tree", "house", "river")
_VERBS = ("saw", "liked", "chased", "found")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from monoseme.testing.models import tiny_model  # imports torch, which most tests of the documentation do without

    folder = tmp_path_factory.mktemp("model")
    model = tiny_model("llama")
    model._model.save_pretrained(folder)  # pyright: ignore
    model.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("corpus") / "texts.jsonl"
    sentences = [f"The {a} {v} the {b}. <script>alert('{a}')</script>" for a in _NOUNS for b in _NOUNS for v in _VERBS]
    rows = [{"text": " ".join(sentences[i : i + 5]), "domain": _NOUNS[i % 2]} for i in range(len(sentences) - 5)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
