"""For tests, ours and other people's: conformance batteries, planted data, fakes without files or network."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monoseme.testing.conformance import SAE_CHECKS, check_sae
    from monoseme.testing.planted import PlantedDictionary, fit, planted_dictionary, recovery
    from monoseme.testing.sources import TensorSource, random_source
    from monoseme.testing.subject import ConformanceError, Subject, subject_of
    from monoseme.testing.tiny_model import tiny_model, tiny_tokenizer

__all__ = [
    "SAE_CHECKS",
    "ConformanceError",
    "PlantedDictionary",
    "Subject",
    "TensorSource",
    "check_sae",
    "fit",
    "planted_dictionary",
    "random_source",
    "recovery",
    "subject_of",
    "tiny_model",
    "tiny_tokenizer",
]

_PLACES = {
    "SAE_CHECKS": "conformance",
    "ConformanceError": "subject",
    "Subject": "subject",
    "check_sae": "conformance",
    "subject_of": "subject",
    "PlantedDictionary": "planted",
    "fit": "planted",
    "planted_dictionary": "planted",
    "recovery": "planted",
    "TensorSource": "sources",
    "random_source": "sources",
    "tiny_model": "tiny_model",
    "tiny_tokenizer": "tiny_model",
}


def __getattr__(name: str) -> Any:
    """Imports what needs torch when it is first asked for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
