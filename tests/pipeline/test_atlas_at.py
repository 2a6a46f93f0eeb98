"""The atlas that a path means, and what is said where there is none."""

from pathlib import Path

import pytest

from monoseme.core.errors import ArtifactMissingError
from monoseme.pipeline import RUN_FILE, atlas_at


def test_a_run_without_an_atlas_is_told_apart_from_a_place_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / RUN_FILE).write_text("{}")
    with pytest.raises(ArtifactMissingError, match="has no atlas yet.*\n.*scan " + str(tmp_path)):
        atlas_at(tmp_path)
    with pytest.raises(ArtifactMissingError, match=r"no atlas or run at .*none.*\n.*scan RUN"):
        atlas_at(tmp_path / "none")
