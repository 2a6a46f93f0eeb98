"""The page of metrics says what the code says."""

from pathlib import Path

import pytest

from monoseme.core.errors import ConfigError
from monoseme.evaluation._docs import with_definitions

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_the_page_of_metrics_is_in_step_with_the_definitions():
    page = _PAGE.read_text(encoding="utf-8")
    assert page == with_definitions(page), "run  python -m monoseme.evaluation._docs docs/metrics.md"


def test_a_page_without_marks_is_refused():
    with pytest.raises(ConfigError, match="lacks its marks"):
        with_definitions("# Metrics")
