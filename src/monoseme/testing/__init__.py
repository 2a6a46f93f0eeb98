"""For tests, ours and other people's: conformance batteries, planted data, fakes without files or network."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.testing.conformance import SAE_CHECKS, check_sae
    from monoseme.testing.judge_server import Asked, Given, JudgeServer, Limits
    from monoseme.testing.models import tiny_model, tiny_tokenizer
    from monoseme.testing.planted import PlantedDictionary, fit, planted_dictionary, recovery
    from monoseme.testing.sources import TensorSource, random_source
    from monoseme.testing.subject import ConformanceError, Subject, subject_of

__all__ = [
    "SAE_CHECKS",
    "Asked",
    "ConformanceError",
    "Given",
    "JudgeServer",
    "Limits",
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

__getattr__ = lazy_attributes(
    __name__,
    {
        "conformance": ["SAE_CHECKS", "check_sae"],
        "judge_server": ["Asked", "Given", "JudgeServer", "Limits"],
        "planted": ["PlantedDictionary", "fit", "planted_dictionary", "recovery"],
        "sources": ["TensorSource", "random_source"],
        "subject": ["ConformanceError", "Subject", "subject_of"],
        "models": ["tiny_model", "tiny_tokenizer"],
    },
)
