"""Nothing that a user can type or catch is without its place in the documentation."""

import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest

from monoseme.cli import _docs
from monoseme.cli._declared import COMMON, Declared, HandFlag, declared_by, short_flags
from monoseme.cli._flag_list import Command, Flag, commands, commands_of, flags_of
from monoseme.cli._verbs import names
from monoseme.cli.ls import KINDS
from monoseme.cli.main import main
from monoseme.core import errors
from monoseme.core.field_docs import field_docs
from monoseme.evaluation.fidelity import Fidelity

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FLAGS = DOCS / "reference" / "flags"
_ANEW = "run  python -m monoseme.cli._docs docs"


@pytest.fixture(scope="module")
def listed() -> list[Command]:
    return commands()


@pytest.fixture(scope="module")
def made(listed: list[Command]) -> dict[Path, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_docs, "commands", lambda: listed)
        return _docs.all_files(DOCS)


def test_pages_of_plug_ins_and_packages_are_in_step_with_the_code() -> None:
    made = {DOCS / "reference" / "api" / name: page for name, page in _docs.api_pages().items()}
    made[DOCS / "reference" / "plugins.md"] = _docs.plugin_page()
    assert [str(path) for path, text in made.items() if not path.is_file() or path.read_text() != text] == [], _ANEW
    assert set((DOCS / "reference" / "api").glob("*.md")) <= set(made), _ANEW


_SETTINGS_AT = {
    "saes": "_completion.json",
    "sae_formats": "import.md export.md",
    "activation_formats": "import.md",
    "atlas_formats": "import.md export.md",
    "explainers": "explain.md",
    "scorers": "score.md",
    "judges": "explain.md",
    "steering": "generate.md",
    "studies": "study.md",
}


@pytest.mark.parametrize("kind", _SETTINGS_AT)
def test_every_setting_of_a_plug_in_is_a_flag_of_the_reference(kind: str) -> None:
    """Read from the sources, which takes no import: the exact comparison is among the slow tests."""
    pages = [_docs.COMPLETION if name.endswith("json") else FLAGS / name for name in _SETTINGS_AT[kind].split()]
    text = "".join(page.read_text() for page in pages)
    known = set(re.findall(r"[-.]([a-z]\w*)(?=[`\".])", text))
    lost = [f"{info.name}: {name}" for info in KINDS[kind].infos() for name in _settings(info.source) if name not in known]
    assert lost == [], _ANEW


def _settings(module: str) -> list[str]:
    """The fields that the class of settings in the file of a plug-in adds."""
    path = ROOT / "src" / Path(*module.split("."))
    tree = ast.parse((path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py").read_text())
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name in ("Config", "WriteConfig")]
    fields = [each for cls in classes for each in cls.body if isinstance(each, ast.AnnAssign)]
    return [f.target.id for f in fields if isinstance(f.target, ast.Name) and "ClassVar" not in ast.unparse(f.annotation)]


@pytest.mark.slow
def test_what_is_made_from_the_code_is_in_step_with_it(made: dict[Path, str]) -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in made.items() if not path.is_file() or path.read_text() != text]
    assert stale == [], _ANEW


@pytest.mark.slow
def test_there_are_no_pages_of_what_is_there_no_more(made: dict[Path, str]) -> None:
    pages = [*(DOCS / "reference" / "flags").glob("*.md"), *(DOCS / "reference" / "api").glob("*.md")]
    assert [str(page) for page in pages if page not in made] == [], _ANEW


@pytest.mark.slow
def test_every_flag_of_every_command_has_a_row_with_an_anchor(listed: list[Command]) -> None:
    def pages(verb: str) -> str:
        return (DOCS / "reference" / "flags" / f"{verb}.md").read_text()

    base = {flag.name for command in listed if command.name == "run" for flag in command.flags}
    lost = []
    for command in listed:
        page, word = pages(command.name.split()[0]), command.name.split()[0]
        links_to_all = "All those of [run](run.md)" in page
        lost += [
            f"{command.name} {flag.name}"
            for flag in command.flags
            if f"`{flag.name}`" not in page and not (links_to_all and flag.name in base)
        ]
        assert word in names()
    assert lost == []
    assert sum(len(command.flags) for command in listed) > 1500
    run = pages("run")
    assert [name for name in base if f'<a id="{name.removeprefix("--")}"></a>' not in run] == []


@pytest.mark.slow
def test_every_flag_says_what_it_is_for(listed: list[Command]) -> None:
    assert [f"{command.name} {flag.name}" for command in listed for flag in command.flags if not flag.text] == []


def test_flags_that_a_command_reads_by_hand_are_known() -> None:
    """Every literal in the files of the commands that looks like a flag stands in the reference."""
    listed = json.loads(_docs.COMPLETION.read_text())
    known = {name for flags in listed.values() for name in flags}
    known |= {re.sub("^--", "--no_", name) for name in known} | set(COMMON) | {"-h"}
    known |= {name.replace("-", "_").replace("__", "--", 1) for name in known} | {"--version"}
    own = {"_flag_list.py", "_docs.py", "completion.py"}
    strange: list[str] = []
    for path in sorted((ROOT / "src" / "monoseme" / "cli").glob("*.py")):
        if path.name in own:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if re.fullmatch(r"--[a-z][\w.-]*[a-z]", text) and text not in known and not text.endswith("."):
                strange.append(f"{path.name}: {text}")
    assert strange == []


def test_a_new_setting_is_found_without_being_listed() -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Settings:
        """What is new."""

        brightness: float = 0.25
        """How bright (share); 25 % is usual."""
        is_loud: bool = True
        """Whether it sounds."""

    found = {flag.name: flag for flag in flags_of(Settings, Settings())}
    assert found["--brightness"] == Flag("--brightness", "FLOAT", "0.25", "How bright (share); 25 % is usual.")
    assert found["--is_loud"].negative == "--no_is_loud"


def test_a_command_that_is_asked_for_its_flags_says_them_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    found = declared_by("report")
    assert found.by_hand == (HandFlag("--overwrite", "Writes the report again.", is_switch=True),)
    assert found.kind is None
    assert declared_by("ls") == Declared()
    assert capsys.readouterr().out == ""
    assert main(["report", "--help"]) == 0  # it is asked no longer
    assert capsys.readouterr().out.startswith("Write one HTML page")


def test_eval_takes_each_setting_of_fidelity_and_says_of_it_what_fidelity_says() -> None:
    texts = {name: text.removeprefix("With --out. ") for name, text, *_ in declared_by("eval").by_hand}
    flags = {f"--fidelity.{field.name.replace('_', '-')}": field.name for field in dataclasses.fields(Fidelity.Config)}
    assert {name for name in texts if name.startswith("--fidelity.")} == set(flags)
    assert {field: texts[name] for name, field in flags.items()} == field_docs(Fidelity.Config)


def test_a_short_flag_says_what_it_stands_for() -> None:
    model, size = short_flags({"--model": "--model.model", "--max_bytes": "--storage.max_bytes"})
    assert model == HandFlag("--model", "Short for --model.model.")
    assert size.text == "Short for --storage.max_bytes; 500MB, 2GB."


def test_what_is_said_of_each_thing_that_a_command_exchanges_is_told_once() -> None:
    flags = {flag.name: flag.text for command in commands_of("export") if command.name == "export" for flag in command.flags}
    assert flags["--out"] == "New folder."
    assert flags["--fingerprint"].startswith("SAEs: Leave a fingerprint")
    assert flags["--vectors"].startswith("Atlases: With what each latent writes")


@pytest.mark.parametrize("kind", KINDS)
def test_every_plug_in_has_a_row_and_every_kind_a_heading(kind: str) -> None:
    page = (DOCS / "reference" / "plugins.md").read_text()
    assert f"\n## {kind}\n" in page
    registry = KINDS[kind]
    own = [info.name for info in registry.infos() if info.source.startswith(f"{registry.package}.")]
    assert [name for name in own if f'<a id="{kind}.{name}"></a>' not in page] == [], _ANEW
    assert _docs._KIND_WORDS.get(kind), f"{kind} has no words of introduction in cli/_docs.py"


@pytest.mark.parametrize("name", KINDS["saes"].names())
def test_every_architecture_has_a_heading(name: str) -> None:
    assert f"\n## {name}\n" in (DOCS / "architectures.md").read_text()


@pytest.mark.parametrize("name", KINDS["studies"].names())
def test_every_study_has_a_page_or_a_heading(name: str) -> None:
    is_page = (DOCS / "studies" / f"{name}.md").is_file()
    assert is_page or f"| `{name}` |" in (DOCS / "studies" / "index.md").read_text()


@pytest.mark.slow
def test_every_metric_has_a_row() -> None:
    page = (DOCS / "metrics.md").read_text()
    registry = KINDS["evaluations"]
    lacking = [d.name for name in registry.names() for d in registry.get(name).definitions() if f"| `{d.name}`" not in page]
    assert lacking == []


def error_names() -> list[str]:
    """Every class of the tree of errors."""
    found = [name for name, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.MonosemeError)]
    assert len(found) > 25
    return found


@pytest.mark.parametrize("name", error_names())
def test_every_error_has_a_page_and_a_row_in_the_index(name: str) -> None:
    page = DOCS / "errors" / f"{name}.md"
    assert page.is_file()
    assert f"[`{name}`](errors/{name}.md)" in (DOCS / "errors.md").read_text()


def test_no_page_tells_of_an_error_that_is_there_no_more() -> None:
    assert {page.stem for page in (DOCS / "errors").glob("*.md")} == set(error_names())
