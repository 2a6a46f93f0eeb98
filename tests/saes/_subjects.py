"""How the battery is run on architectures for which its usual sizes do not fit: keyword arguments of `subject_of`, by name."""

from typing import Any

from monoseme.saes import SAES
from monoseme.testing import Subject, subject_of

_SETTINGS: dict[str, dict[str, Any]] = {
    "thresholded": {"min_recovery": None},  # for fine-tuning: from scratch it is a ReLU without a penalty
}


def subject(name: str) -> Subject:
    """The subject of a registered architecture."""
    return subject_of(SAES.get(name), **_SETTINGS.get(name, {}))
