"""The page of architectures says what the code says."""

import dataclasses
from pathlib import Path

import pytest

from monoseme.core.errors import ConfigError
from monoseme.saes import SAE, SAES
from monoseme.saes._docs import _fields, with_architectures
from monoseme.saes.topk import TopK

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "architectures.md"


def test_the_page_of_architectures_is_in_step_with_their_files() -> None:
    page = _PAGE.read_text(encoding="utf-8")
    assert page == with_architectures(page), "run  python -m monoseme.saes._docs docs/architectures.md"


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ConfigError, match="lacks its marks"):
        with_architectures("# Architectures")


@pytest.mark.parametrize("name", SAES.names())
def test_every_setting_of_an_architecture_says_what_it_is(name: str) -> None:
    assert [setting.flag for setting in _fields(SAES.get(name).Config) if not setting.text] == []


def test_settings_have_the_default_in_force_and_the_nearest_docstring() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Narrow(TopK.Config):
        """A config whose source can be read."""

        k: int = 7
        """Another meaning."""

    found = {setting.flag: setting for setting in _fields(Narrow)}
    assert (found["k"].default, found["k"].text) == ("7", "Another meaning.")
    assert found["n_latents"].text == "Latents (count)."
    assert found["normalise.kind"].kind.startswith("rms") or "," in found["normalise.kind"].kind
    assert set(found) >= {setting.flag for setting in _fields(SAE.Config)}
