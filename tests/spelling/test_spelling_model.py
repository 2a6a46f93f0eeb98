"""The rows that the script of the spelling model teaches with: questions, and targets on their answers alone."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from monoseme.models import LanguageModel
from monoseme.text import CorpusConfig, TokenStore

_SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "spelling_model.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("spelling_model", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["spelling_model"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def store(bundled: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    file = tmp_path_factory.mktemp("spelling") / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": f"The tartan of onomatopoeia, number {i}, was red."}) + "\n" for i in range(40)))
    return TokenStore.build(CorpusConfig(source=str(file)), bundled.tokenizer, max_tokens=20_000)


def _args(seed: int = 0) -> argparse.Namespace:
    return argparse.Namespace(rows=5, context=61, seed=seed)


def test_targets_are_the_answers_and_nothing_else(script: ModuleType, bundled: LanguageModel, store: TokenStore):
    ids, targets = next(script.letter_rows(bundled, store, _args()))
    assert ids.shape == targets.shape == (5, 61)
    counted = targets != script.IGNORED
    assert np.array_equal(ids[counted], targets[counted])
    for row, of_row in zip(ids, counted, strict=True):
        tokens = bundled.decode_tokens(row.tolist())
        assert tokens[:2] == ["<s>", "\n"]
        for line in "".join(tokens[1:]).split("\n")[1:-1]:  # the last is cut
            question, _, answer = line.partition(": ")
            word = question.split()[0].upper()
            asked = {"first": word[0], "last": word[-1]}
            kind = next((kind for kind in asked if f" {kind} letter" in question), None)
            assert answer == ("-".join(word) if kind is None else asked[kind])
        assert {text for text, is_counted in zip(tokens, of_row, strict=True) if is_counted} <= {
            *(f" {chr(65 + i)}" for i in range(26)), *(chr(65 + i) for i in range(26)), "-"
        }  # fmt: skip


def test_words_of_several_tokens_are_among_them(script: ModuleType, bundled: LanguageModel, store: TokenStore):
    words = script._longer_words(bundled, store)
    assert words == [" tartan"], "those of one token, and with a comma, are left out"
    assert all(len(bundled.tokenizer.tokenize(word)) > 1 for word in words)


def test_rows_hang_on_the_seed_alone(script: ModuleType, bundled: LanguageModel, store: TokenStore):
    first, again, other = (next(script.text_rows(store, _args(seed))) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    letters = [next(script.letter_rows(bundled, store, _args(seed)))[0] for seed in (0, 0, 1)]
    assert np.array_equal(letters[0], letters[1])
    assert not np.array_equal(letters[0], letters[2])
