"""The atlas of a run is verified from what its manifests say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from monoseme.atlas.verify import VerifyConfig
from monoseme.cli.verify import main
from monoseme.core.display import JsonDisplay, use_display
from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.pipeline import RunFolder, verify_place

ALL = VerifyConfig(n_contexts=None)


def test_the_atlas_of_a_run_is_sound_and_all_of_it_is_computed_again(run: RunFolder) -> None:
    found = verify_place(run.path, config=ALL)
    assert [problem for check in found.checks for problem in check.problems] == []
    assert found.n_contexts == found.n_contexts_in_all > 0


def test_an_atlas_elsewhere_needs_to_be_told_its_saes_and_knows_them_by_their_hash(run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(run.atlas, tmp_path / "mine")
    with pytest.raises(ConfigError, match="lies in no run"):
        verify_place(tmp_path / "mine")
    assert verify_place(tmp_path / "mine", saes=[str(run.path)]).is_sound


def test_the_command_tells_what_differs_and_fails(run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with use_display(JsonDisplay()):
        assert main([str(run.path), "--contexts", "8", "--seed", "3"]) == 0
    assert json.loads(capsys.readouterr().out)["atlases"][str(run.path)]["sound"]
    shutil.copytree(run.atlas, tmp_path / "mine")
    mask = np.load(tmp_path / "mine" / "text" / "mask.npy")
    np.save(tmp_path / "mine" / "text" / "mask.npy", ~mask)
    with pytest.raises(ArtifactDamagedError, match=r"mask\.npy: content differs"):
        main([str(tmp_path / "mine"), "--sae", str(run.path), "--contexts", "8"])


def test_words_that_are_no_numbers_are_refused(run: RunFolder) -> None:
    with pytest.raises(ConfigError, match="--tolerance must be a number"):
        main([str(run.path), "--tolerance", "small"])
    with pytest.raises(ConfigError, match="--contexts must be a whole number"):
        main([str(run.path), "--contexts", "few"])
