"""Our architectures pass the battery that third parties' must pass; the battery fails what breaks a fact."""

import pytest

from monoseme.saes import SAES
from monoseme.testing import SAE_CHECKS, subject_of
from monoseme.testing.conformance import Check

_FINE_TUNED = {"thresholded"}


@pytest.mark.parametrize("check", SAE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SAES.names())
def test_architecture_keeps_the_contract(name: str, check: Check) -> None:
    check(subject_of(SAES.get(name), min_recovery=None if name in _FINE_TUNED else 0.95))
