"""The page `docs/architectures.md`, made from the files of the architectures so that the two cannot drift apart.

`python -m monoseme.saes._docs docs/architectures.md` rewrites the part between the two marks; a test compares them.
"""

import dataclasses
import importlib
import inspect
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

from monoseme.core.field_docs import field_docs
from monoseme.core.files import write_atomic
from monoseme.core.made_part import with_made_part
from monoseme.core.markdown import cell
from monoseme.saes._base import SAE
from monoseme.saes._registry import SAES

START = "<!-- architectures: made from the code by `python -m monoseme.saes._docs docs/architectures.md` -->"
END = "<!-- end of architectures -->"
_SPARSITY = {
    "k": "`k`; `target_l0` sets it",
    "penalty": "a penalty; a controller moves it to reach `target_l0`",
    "none": "nothing: `target_l0` cannot be set",
}
_VIEWS = {
    "tokens": "single tokens",
    "pairs": "pairs of a token and an earlier one",
    "contexts": "whole contexts",
    "layers": "several places at one token",
}


def architectures_as_markdown() -> str:
    """A table of all, the settings that all have, and a section for each."""
    own = [name for name in SAES.names() if SAES.source(name).startswith(f"{SAES.package}.")]  # not what else is installed
    classes = {name: SAES.get(name) for name in own}
    parts = [_table(classes), _shared_section(), *(_section(name, cls) for name, cls in classes.items())]
    return "\n\n".join(parts)


def with_architectures(page: str) -> str:
    """The page with the part between the marks made anew. Raises ConfigError where the marks are not there."""
    return with_made_part(page, start=START, end=END, made=architectures_as_markdown())


def _table(classes: dict[str, type[SAE]]) -> str:
    rows = [f"| [`{name}`](#{name}) | {cell(_formula(cls))} | {cls.learns_from} | {cls.reads} |" for name, cls in classes.items()]
    return "\n".join(["| architecture | formula | learns from | reads |", "|---|---|---|---|", *rows])


def _shared_section() -> str:
    text = "Every architecture takes these; a default that one of them changes is in its own table."
    return f"## Settings of all\n\n{text}\n\n{_settings(_fields(SAE.Config))}"


def _section(name: str, cls: type[SAE]) -> str:
    """What the file says of itself, and the settings that differ from those of all."""
    document = inspect.getdoc(importlib.import_module(cls.__module__)) or ""
    summary, _, rest = document.partition("\n")
    shared = {setting.flag: setting for setting in _fields(SAE.Config)}
    own = [setting for setting in _fields(cls.Config) if shared.get(setting.flag) != setting]
    facts = [
        f"Learns from {_VIEWS[cls.learns_from]}, is used on {_VIEWS[cls.reads]}.",
        "Each place has codes of its own." if cls.codes_per_site else "",
        _sparsity(cls),
    ]
    settings = _settings(own) if own else "No settings of its own."
    parts = [f"## {name}", summary, f"`{_formula(cls)}`", _prose(rest), " ".join(fact for fact in facts if fact), settings]
    return "\n\n".join(part for part in parts if part)


def _sparsity(cls: type[SAE]) -> str:
    """What sets its L0: of an architecture that has both a k and a penalty, its settings say which."""
    names = {field.name for field in dataclasses.fields(cls.Config)}
    if {"k", "sparsity_coefficient"} <= names:
        return f"Its L0 is set by {_SPARSITY['k']}; with relu codes it is set by {_SPARSITY['penalty']}."
    said: Any = inspect.getattr_static(cls, "sparsity")
    return f"Its L0 is set by {_SPARSITY[said]}."


def _formula(cls: type[SAE]) -> str:
    """The first paragraph of the class's docstring, on one line."""
    return " ".join((inspect.getdoc(cls) or "").split("\n\n", 1)[0].split())


def _prose(text: str) -> str:
    """A module's docstring below its first line as Markdown: its labels stand out, its formulas keep their lines."""
    lines: list[str] = []
    for line in text.strip("\n").splitlines():
        label = re.match(r"(Source|Differs from [^:]*|Letters): ?", line)
        if label:
            said = line[label.end() :]
            lines += [
                "",
                f"**{label[1]}.** {said}".rstrip(),
                *([] if said else [""]),
            ]  # a list follows: it needs a line of its own
        else:
            lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


class _Setting(typing.NamedTuple):
    """One flag."""

    flag: str
    kind: str
    default: str
    text: str


def _settings(settings: list[_Setting]) -> str:
    rows = [f"| `--sae.{s.flag}` | {cell(s.kind)} | {cell(s.default)} | {cell(s.text)} |" for s in settings]
    return "\n".join(["| setting | type | default | what it is |", "|---|---|---|---|", *rows])


def _fields(config: type, prefix: str = "") -> list[_Setting]:
    """The settings of a config class and of the configs inside it, in their order; the defaults are those in force."""
    hints = typing.get_type_hints(config)
    texts = field_docs(config)
    found: list[_Setting] = []
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if dataclasses.is_dataclass(hint):
            nested = _fields(typing.cast(type, hint), f"{prefix}{field.name}.")
            found += [_with_default(setting, default, setting.flag.rpartition(".")[2]) for setting in nested]
        else:
            found.append(_Setting(prefix + field.name, _kind(hint), _default(default), texts.get(field.name, "")))
    return found


def _with_default(setting: _Setting, holder: Any, name: str) -> _Setting:
    """A nested setting with the default that the outer config gives it."""
    return setting._replace(default=_default(getattr(holder, name)))


def _kind(hint: Any) -> str:
    """A type as one would say it: choices by name, alternatives with "or"."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(str(choice) for choice in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(option) for option in args)
    if origin is tuple:
        return f"list of {_kind(args[0])}"
    return {"NoneType": "None"}.get(getattr(hint, "__name__", ""), getattr(hint, "__name__", str(hint)))


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "needed"
    if isinstance(value, tuple):
        return ", ".join(_default(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    page_path = Path(sys.argv[1])
    write_atomic(page_path, with_architectures(page_path.read_text(encoding="utf-8")))
