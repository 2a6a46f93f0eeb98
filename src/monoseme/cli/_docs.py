"""The pages of `docs/reference` and what shells complete, made from the code so that none of them can drift apart.

`python -m monoseme.cli._docs docs` writes them anew; a test compares them.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from monoseme.cli._declared import COMMON
from monoseme.cli._flag_list import Command, Flag, commands, sae_settings
from monoseme.cli._verbs import names
from monoseme.core.files import write_atomic
from monoseme.core.markdown import cell, code
from monoseme.plugin_kinds import KINDS

_PACKAGE = Path(__file__).resolve().parents[1]
COMPLETION = Path(__file__).parent / "_completion.json"
_MADE = "<!-- made from the code by `python -m monoseme.cli._docs docs` -->"
_BASE = "run"
"""The command whose page explains the settings that others share."""
_KIND_WORDS = {
    "saes": "Architectures: [their formulas and settings](../architectures.md).",
    "evaluations": "What `eval` measures: [metrics](../metrics.md).",
    "families": "Language models known by name; of others the blocks are found: [how-to](../how-to/your-own-model.md).",
    "sae_formats": "SAEs of other tools, in and out: [formats](../sae-formats.md).",
    "activation_formats": "Stored activations of other tools: [importing](../importing-activations.md).",
    "explainers": "What explains latents: [explanations](../explain.md).",
    "scorers": "What scores explanations: [scores](../scores.md).",
    "atlas_formats": "What other tools know of latents, in and out: [formats](../formats.md).",
    "judges": "Language models that are asked: [judges](../judges.md).",
    "steering": "Ways to steer: [steering](../steering.md).",
    "trackers": "Where metrics of training go besides `metrics.jsonl`: [train](../verbs/train.md).",
    "presets": "Recipes for `--preset`: [training](../training.md).",
    "studies": "Questions about SAEs: [studies](../studies/index.md).",
}


def flag_pages(listed: Sequence[Command]) -> dict[str, str]:
    """File below `reference/flags` -> page, one for each command and an index."""
    base = {flag.name: flag for command in listed if command.name == _BASE for flag in command.flags}
    by_verb: dict[str, list[Command]] = {verb: [] for verb in names() if verb != "completion"}
    for command in listed:
        by_verb[command.name.split()[0]].append(command)
    pages = {f"{verb}.md": _page(verb, found, base) for verb, found in by_verb.items()}
    rows = [f"| [`{verb}`]({verb}.md) | {sum(len(c.flags) for c in found)} |" for verb, found in by_verb.items()]
    common = [f'| <a id="{name.strip("-")}"></a>`{name}` | {cell(text)} |' for name, text in COMMON.items()]
    pages["index.md"] = _joined(
        "# Flags",
        _MADE,
        "Every flag of every command, with its default. Dashes and underscores inside a name are the same.",
        "| of all commands | |\n|---|---|\n" + "\n".join(common),
        "| command | flags |\n|---|---|\n" + "\n".join(rows),
    )
    return pages


def _page(verb: str, found: Sequence[Command], base: Mapping[str, Flag]) -> str:
    # a page without sections needs no list of them, and its table the room
    head = [] if len(found) > 1 else ["---\nhide: [toc]\n---"]
    parts = [*head, f"# Flags of `{verb}`", _MADE, f"What it does: [{verb}](../../verbs/{verb}.md). [All commands](index.md)."]
    if verb == "plan":
        parts.append("After `plan` come `train` or `capture` with all their own flags: [train](train.md), [capture](capture.md).")
    if verb in ("run", "train", "demo"):
        parts.append("Settings of architectures (`--sae.SETTING`): [architectures](../../architectures.md).")
    for command in found:
        if command.name != verb:
            parts.append(f"## {command.name.removeprefix(verb).strip()}")
        parts += _tables(command, {} if verb == _BASE else base, prefix=_prefix(command.name))
    return _joined(*parts)


def _prefix(name: str) -> str:
    """What tells anchors of one section from those of another: nothing for a command's own."""
    rest = re.sub(r"[^\w. ]", "", " ".join(name.split()[1:])).split()
    return "".join(f"{word}." for word in rest)


def _tables(command: Command, base: Mapping[str, Flag], *, prefix: str) -> Iterator[str]:
    """A table of the flags of its own, and a list of those that the page of `run` explains."""
    own = [flag for flag in command.flags if not _is_shared(flag, base)]
    if own:
        yield "| flag | takes | default | |\n|---|---|---|---|\n" + "\n".join(_row(flag, prefix) for flag in own)
    shared = [flag for flag in command.flags if _is_shared(flag, base)]
    if len(shared) == len(base) and base:
        others = ", ".join(_link(flag, base[flag.name]) for flag in shared if flag.default != base[flag.name].default)
        yield "All those of [run](run.md)" + (
            f", some with another default: {others}." if others else ", with the same defaults."
        )
    elif shared:
        told = ", ".join(_link(flag, base[flag.name]) for flag in shared)
        yield f"As for [run](run.md) (another default is told): {told}."
    if not command.flags:
        yield "None of its own."


def _is_shared(flag: Flag, base: Mapping[str, Flag]) -> bool:
    return flag.name in base and (flag.kind, flag.text) == (base[flag.name].kind, base[flag.name].text)


def _link(flag: Flag, base: Flag) -> str:
    default = "" if flag.default == base.default else f" (`{flag.default or 'empty'}`)"
    return f"[`{flag.name}`](run.md#{flag.name.removeprefix('--')}){default}"


def _row(flag: Flag, prefix: str) -> str:
    anchor = prefix + flag.name.removeprefix("--")
    kind = code(_takes(flag)) if flag.kind else ""
    default = code(flag.default) if flag.default else ""
    name = f"`{flag.name}`" + (f"<br>`{flag.negative}`" if flag.negative else "")
    return f'| <a id="{anchor}"></a>{name} | {kind} | {default} | {cell(flag.text)} |'


def _takes(flag: Flag) -> str:
    """What follows a flag, with places where a narrow column may break: `STR or None`, `float32, bfloat16`."""
    return re.sub(r",(?! )", ", ", flag.kind.replace("|", " or "))


def plugin_page() -> str:
    """Every kind of plug-in with every name, from the first line of its file."""
    parts = [
        "# Plug-ins",
        _MADE,
        "Each is one file of the package named, or comes from another package by the entry point `monoseme.KIND`. "
        "`monoseme ls KIND` lists them.",
    ]
    for kind, registry in KINDS.items():
        own = [info for info in registry.infos() if info.source.startswith(f"{registry.package}.")]
        rows = [f'| <a id="{kind}.{info.name}"></a>`{info.name}` | {cell(info.summary)} |' for info in own]
        parts += [f"## {kind}", f"{_KIND_WORDS.get(kind, '')} In `{registry.package}`."]
        parts.append("| name | |\n|---|---|\n" + "\n".join(rows))
    return _joined(*parts)


def api_pages() -> dict[str, str]:
    """File below `reference/api` -> page: what each package names in `__all__`, for mkdocstrings to write out."""
    found = {path.parent.relative_to(_PACKAGE): _public(path) for path in sorted(_PACKAGE.rglob("__init__.py"))}
    pages: dict[str, str] = {}
    for folder, public in found.items():
        if public and not any(part.startswith("_") for part in folder.parts) and folder.parts[:1] not in (("cli",), ("web",)):
            module = ".".join(("monoseme", *folder.parts))
            pages[f"{module.removeprefix('monoseme.') or 'monoseme'}.md"] = _api_page(module)
    rows = [f"| [`{page.removesuffix('.md')}`]({page}) | {cell(_summary(page))} |" for page in pages]
    pages["index.md"] = _joined("# In Python", _MADE, "| package | |\n|---|---|\n" + "\n".join(rows))
    return pages


def _api_page(module: str) -> str:
    return _joined(f"# `{module}`", _MADE, f"::: {module}")


def _summary(page: str) -> str:
    name = page.removesuffix(".md")
    path = _PACKAGE.joinpath(*([] if name == "monoseme" else name.split(".")), "__init__.py")
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n", 1)[0]


def _public(path: Path) -> list[str]:
    """The names in `__all__` of a file; none where it has no list of plain names."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.List | ast.Tuple):
            continue
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            return [each.value for each in node.value.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return []


def completion_data(listed: Sequence[Command]) -> dict[str, dict[str, list[str]]]:
    """Command -> flag -> the words that may follow it (none: any word or a path), for `monoseme completion`."""
    found: dict[str, dict[str, list[str]]] = {}
    for command in listed:
        words = command.name.split()
        key = " ".join(words[:2]) if words[0] in ("study", "bench") else words[0]
        flags = found.setdefault(key, {})
        for flag in command.flags:
            if flag.name != flag.name.upper() and "SETTING" not in flag.name:
                flags.setdefault(flag.name, sorted(flag.choices))  # of a union they come in another order each time
                if flag.negative and flag.default == "True":
                    flags.setdefault(flag.negative, [])
    settings = {f"--sae.{key}": [] for keys in sae_settings().values() for key in keys}
    for verb in ("run", "train", "demo"):
        found[verb] |= settings
    return found


def all_files(docs: Path) -> dict[Path, str]:
    """Path -> text of all that is made."""
    listed = commands()
    reference = docs / "reference"
    files = {reference / "flags" / name: page for name, page in flag_pages(listed).items()}
    files |= {reference / "api" / name: page for name, page in api_pages().items()}
    files[reference / "plugins.md"] = plugin_page()
    files[COMPLETION] = json.dumps(completion_data(listed), indent=0, sort_keys=True) + "\n"
    return files


def _joined(*parts: str) -> str:
    return "\n\n".join(parts) + "\n"


def main(words: Sequence[str]) -> None:
    """Writes all of it below the folder of the docs, and removes pages of what is there no more."""
    docs = Path(words[0])
    files = all_files(docs)
    for old in [*(docs / "reference" / "flags").glob("*.md"), *(docs / "reference" / "api").glob("*.md")]:
        if old not in files:
            old.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)


if __name__ == "__main__":
    main(sys.argv[1:])
