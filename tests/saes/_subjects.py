"""How the battery is run on architectures for which its usual sizes do not fit: keyword arguments of `subject_of`, by name."""

from typing import Any

from monoseme.saes import SAES
from monoseme.testing import Subject, subject_of

_SETTINGS: dict[str, dict[str, Any]] = {
    # standardising takes the mean off each direction: 60 of the 64 keep a cosine above 0.9 with themselves, and all 60 are found
    "normalized_topk": {"min_recovery": 60 / 64},
    "thresholded": {"min_recovery": None},  # for fine-tuning: from scratch it is a ReLU without a penalty
}


def subject(name: str) -> Subject:
    """The subject of a registered architecture."""
    return subject_of(SAES.get(name), **_SETTINGS.get(name, {}))
