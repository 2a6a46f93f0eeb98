"""nnsight's models as our `LanguageModel`: the model of transformers inside is ours. Nothing of nnsight is imported."""

from typing import Any

from torch import nn

from monoseme.core.errors import ModelError
from monoseme.models import LanguageModel

_INSIDE = ("_module", "_model")
"""Where versions of nnsight keep the model of transformers: 0.5 and later, and before."""


def from_nnsight(model: Any, *, tokenizer: Any = None) -> LanguageModel:
    """The `LanguageModel` (`TransformersModel`) of nnsight as ours, sharing its weights, which take no gradient from here on.

    `tokenizer` is the model's own unless given. Raises ModelError where there is no model of transformers inside, no tokenizer,
    or no weights yet.
    """
    inside = next((found for name in _INSIDE if isinstance(found := getattr(model, name, None), nn.Module)), None)
    if inside is None:
        raise ModelError(f"{type(model).__name__} holds no model of transformers: give nnsight's LanguageModel")
    if any(parameter.is_meta for parameter in inside.parameters()):
        raise ModelError(
            "this model of nnsight has no weights yet, it loads them at the first trace.\n  Call model.dispatch() before."
        )
    tokenizer = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
    if tokenizer is None:
        raise ModelError("this model of nnsight has no tokenizer: give one with tokenizer=")
    name = str(getattr(getattr(inside, "config", None), "name_or_path", "") or "nnsight")
    return LanguageModel.from_modules(inside, tokenizer, name=name)
