"""Plug-ins are files; listing imports nothing; errors name their cause."""

import importlib.metadata
import shutil
import sys
from pathlib import Path

import pytest

from monoseme.core import registry as registry_module
from monoseme.core.errors import PluginError, UnknownPluginError
from monoseme.core.registry import PluginInfo, Registry

_BASE = (
    '"""The base."""\nimport abc\nclass Thing(abc.ABC):\n    class Config: ...\n    @abc.abstractmethod\n    def go(self): ...\n'
)
_GOOD = (
    '"""Good: does it."""\nfrom {p}._base import Thing\n'
    "class Good(Thing):\n    class Config(Thing.Config): ...\n    def go(self): return 7\n"
)
_TWO = '"""Two."""\nfrom {p}._base import Thing\nclass A(Thing):\n    def go(self): ...\nclass B(Thing):\n    def go(self): ...\n'


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Registry[object]:
    package = f"things_{abs(hash(request.node.name))}"
    folder = tmp_path / package
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "_base.py").write_text(_BASE)
    (folder / "good.py").write_text(_GOOD.format(p=package))
    (folder / "two.py").write_text(_TWO.format(p=package))
    (folder / "broken.py").write_text('"""Broken: cannot be imported."""\nraise ValueError("no luck")\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    return Registry(kind="things", package=package, base=f"{package}._base:Thing")


def test_listing_reads_the_docstrings_and_imports_nothing(things: Registry[object]) -> None:
    assert things.infos() == [
        PluginInfo("broken", "Broken: cannot be imported.", f"{things.package}.broken"),
        PluginInfo("good", "Good: does it.", f"{things.package}.good"),
        PluginInfo("two", "Two.", f"{things.package}.two"),
    ]
    assert f"{things.package}.good" not in sys.modules


def test_a_plugin_and_its_own_config_know_their_name(things: Registry[object]) -> None:
    good = things.get("good")
    assert good().go() == 7  # pyright: ignore
    assert (good.plugin_name, good.Config.plugin_name) == ("good", "good")  # pyright: ignore
    base = sys.modules[f"{things.package}._base"].Thing
    assert "plugin_name" not in vars(base.Config)


def test_an_unknown_name_is_refused_with_a_suggestion(things: Registry[object]) -> None:
    with pytest.raises(UnknownPluginError, match=r'"goood".*Did you mean "good"'):
        things.get("goood")


def test_a_plugin_that_fails_raises_with_its_cause_when_asked_for(things: Registry[object]) -> None:
    with pytest.raises(PluginError, match="no luck") as caught:
        things.get("broken")
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_file_with_two_classes_is_refused(things: Registry[object]) -> None:
    with pytest.raises(PluginError, match="exactly one"):
        things.get("two")


def _install(folder: Path, package: str, *lines: str) -> None:
    """A distribution in a folder of `sys.path`, as far as its entry points go."""
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[monoseme.things]", *lines]))


def test_entry_points_add_plugins_and_clashes_name_both(things: Registry[object], tmp_path: Path) -> None:
    _install(tmp_path, "third", f"third = {things.package}.good:Good")
    assert things.get("third").__name__ == "Good"
    _install(tmp_path, "clashing", "good = elsewhere:Good")
    with pytest.raises(PluginError, match=r"good and elsewhere:Good"):
        things.names()


def test_installed_packages_are_read_once_and_again_when_one_is_added_or_removed(
    things: Registry[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[None] = []
    read = importlib.metadata.entry_points
    monkeypatch.setattr(registry_module.importlib.metadata, "entry_points", lambda: reads.append(None) or read())
    ours = things.names()
    assert things.names() == ours
    assert len(reads) <= 1  # none, where an earlier test has read the same places
    _install(tmp_path, "later", f"later = {things.package}.good:Good")
    assert things.names() == sorted([*ours, "later"])
    shutil.rmtree(tmp_path / "later-1.0.dist-info")
    assert things.names() == ours


def test_places_that_cannot_be_looked_at_are_passed_over(things: Registry[object], monkeypatch: pytest.MonkeyPatch) -> None:
    ours = things.names()
    monkeypatch.syspath_prepend("a" * 300)  # no file system has such a name: asking for it raises OSError
    assert things.names() == ours


def test_a_class_can_be_added_for_this_process(things: Registry[object]) -> None:
    base = things.get("good").__mro__[1]
    mine = type("Mine", (base,), {"go": lambda self: 11, "__module__": "notebook"})
    things.add("mine", mine)
    assert things.get("mine") is mine
    assert "mine" in things.names()
    assert mine.plugin_name == "mine"  # pyright: ignore
    again = type("Mine", (base,), {"go": lambda self: 12, "__module__": "notebook"})
    things.add("mine", again)
    assert things.get("mine") is again
    with pytest.raises(PluginError, match='named "good" already'):
        things.add("good", mine)
    with pytest.raises(PluginError, match="is no Thing"):
        things.add("other", int)
