"""The model that ships, which has an alphabet, and a tiny one in float64, which has none."""

import pytest

from monoseme.models import LanguageModel
from monoseme.testing.models import tiny_model


@pytest.fixture(scope="session")
def bundled() -> LanguageModel:
    return LanguageModel.load("bundled")


@pytest.fixture(scope="session")
def tiny() -> LanguageModel:
    model = tiny_model(overrides={"max_position_embeddings": 512})
    return LanguageModel.from_modules(model._model.double(), model.tokenizer)  # pyright: ignore
