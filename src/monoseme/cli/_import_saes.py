"""`monoseme import PATH [--out OUT]` for SAEs of other tools, and whether that is what PATH holds."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.activations.formats import ACTIVATION_FORMATS
from monoseme.cli._atlas_words import Exchange, OwnFlag, read_flags, value_of
from monoseme.cli._options import wants_help
from monoseme.core.artifact import exists_error
from monoseme.core.config import suggest
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, ForeignError, UnknownPluginError
from monoseme.core.files import typed
from monoseme.core.folder import is_address
from monoseme.core.registry import Registry
from monoseme.interchange import SAE_FORMATS, ImportedSaes, ReadSae, find_sae_format, read_saes, write_saes
from monoseme.models.hub_words import HubWord, fetched, hub_word
from monoseme.pipeline import RUN_FILE

WHOLE_SAES = Exchange(
    "SAEs",
    SAE_FORMATS,
    {
        "format": OwnFlag(str, "Format of PATH; recognised if not given.", ""),
        "out": OwnFlag(str | None, "New folder of the SAE, or of several. None: saes/NAME in this folder.", None),
        "fingerprint": OwnFlag(str | None, "Activations with codes and reconstructions to verify it by.", None),
    },
)
_SAES = "saes"
"""Where an SAE goes that is given no place: `saes/NAME` in the working folder."""
_WEIGHTS = (".safetensors", ".pt", ".pth", ".npz")


class _Known(NamedTuple):
    """The formats that know a path again."""

    saes: list[str]
    stores: list[str]


def is_sae_import(words: Sequence[str]) -> bool:
    """Whether SAEs are to be imported: a format named that only they have, files that one recognises, or a word of the hub.

    Raises UnknownPluginError for a format that there is not, ForeignError where nothing is there, nothing is recognised, or both
    an SAE and activations are.
    """
    name = value_of(words, "--format")
    if name is not None and name not in {*SAE_FORMATS.names(), *ACTIVATION_FORMATS.names()}:
        raise UnknownPluginError(_no_format(name))
    only = name is None or (name in SAE_FORMATS.names()) != (name in ACTIVATION_FORMATS.names())
    if not words or words[0].startswith("-"):
        return name is not None and only and name in SAE_FORMATS.names()
    if name is not None and only:
        return name in SAE_FORMATS.names()
    path = Path(words[0])
    if is_address(words[0]):
        return hub_word(words[0]) is not None
    if not path.exists():
        if hub_word(words[0]) is not None:
            return True
        raise ForeignError(f"there is no file or folder {path}")
    known = _known(path, name)
    if known.saes and known.stores:
        raise ForeignError(_both(path, known, name))
    if known.saes or known.stores:
        return bool(known.saes)
    if name is None and path.is_dir():
        raise ForeignError(_neither(path))
    return path.is_file() or any(file.suffix in _WEIGHTS for file in path.iterdir())


def _known(path: Path, name: str | None) -> _Known:
    saes = [known for known in ([name] if name else SAE_FORMATS.names()) if SAE_FORMATS.get(known)().recognises(path)]
    stores = [name] if name else ACTIVATION_FORMATS.names()
    return _Known(saes, [known for known in stores if path.is_dir() and ACTIVATION_FORMATS.get(known)().recognises(path)])


def _no_format(name: str) -> str:
    known = {"SAEs": SAE_FORMATS.names(), "activations": ACTIVATION_FORMATS.names()}
    lines = "".join(f"\n  Of {what}: {', '.join(names)}" for what, names in known.items())
    near = suggest(name, sorted({one for names in known.values() for one in names}))
    return f'no format of SAEs or activations is named "{name}".{near}{lines}\n  Those of explanations need --atlas ATLAS.'


def _both(path: Path, known: _Known, name: str | None) -> str:
    apart = [one for one in known.saes if one not in ACTIVATION_FORMATS.names()]
    apart += [one for one in known.stores if one not in SAE_FORMATS.names()]
    what = f"{path} holds an SAE ({', '.join(known.saes)}) and activations ({', '.join(known.stores)})."
    if name is None and apart:
        return f"{what}\n  Say which with --format {apart[0]}, or name the file of one of them"
    return f"{what}\n  Name the file of one of them, or put them into folders of their own"


def _neither(path: Path) -> str:
    def looked(formats: Registry[Any]) -> str:
        return "\n".join(f"    {name:<20} {formats.get(name).looks_for}" for name in formats.names())

    return (
        f"{path} holds neither an SAE nor a store of activations of a known format. Looked for, of SAEs:\n{looked(SAE_FORMATS)}\n"
        f"  of activations:\n{looked(ACTIVATION_FORMATS)}\n  Say which with --format NAME. Explanations need --atlas ATLAS."
    )


def import_sae_files(words: Sequence[str], *, summary: str) -> int:
    """Writes artifacts of SAEs; `words` are those of `import`."""
    if wants_help(words) and (name := value_of(words, "--format")) is not None:
        rest = words if words[0].startswith("-") else words[1:]
        read_flags(WHOLE_SAES, name, rest, verb=_verb(name), summary=summary)
    if words[0].startswith("-"):
        raise ConfigError("import needs a file or a folder, before its flags.\n  Type:  monoseme import PATH")
    wanted = None if Path(words[0]).exists() else hub_word(words[0])
    path = Path(words[0]) if wanted is None else fetched(wanted)
    name = find_sae_format(path, value_of(words, "--format"))
    flags = read_flags(WHOLE_SAES, name, words[1:], verb=_verb(name), summary=summary)
    fingerprint = None if flags.fingerprint is None else Path(flags.fingerprint)
    if flags.out is not None and Path(flags.out).exists():
        raise exists_error(Path(flags.out))
    read = read_saes(path, format=name, config=flags.settings, fingerprint=fingerprint)
    out = _place(read, path, wanted) if flags.out is None else Path(flags.out)
    _tell(write_saes(read, path, out))
    return 0


def _verb(name: str) -> str:
    return f"import PATH --format {name}"


def _place(found: Sequence[ReadSae], path: Path, wanted: HubWord | None) -> Path:
    """Where SAEs go that were given no place. Raises ArtifactExistsError, ConfigError in the folder of a run."""
    if Path(RUN_FILE).exists():
        raise ConfigError(f"this folder is a run, whose SAEs are its own.\n  Type:  monoseme import {typed(path)} --out OUT")
    if wanted is not None and not wanted.inside:  # the cache calls its folder by a commit
        name = wanted.repo.rpartition("/")[2]
    else:
        name = found[0].found.name if len(found) == 1 else path.resolve().name
    name = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).strip(".")[:200] or "sae"
    out = Path(_SAES) / name
    if out.exists():
        raise exists_error(out)
    return out


def _tell(found: ImportedSaes) -> None:
    display = get_display()
    told = [_facts(one, path) for one, path in zip(found.saes, found.paths, strict=True)]
    for facts in told:
        display.say(f"imported {facts['name']} ({found.format}) to {facts['path']}")
        shape = f"{facts['architecture']}, D={facts['d_in']}, {facts['n_latents']:,} latents"
        display.say(f"  {shape}, at {facts['sites']} of {facts['model'] or 'a model not named'}")
        for note in facts["notes"]:
            display.say(f"  {note}")
        if facts["agreement"] is not None:
            agreed = facts["agreement"]
            display.say(f"  verified by its fingerprint: codes differ by {agreed['codes']:.2g}, x_hat by {agreed['x_hat']:.2g}")
    display.result({"format": found.format, "out": str(found.out), "saes": told})


def _facts(one: ReadSae, path: Path) -> dict[str, Any]:
    """What is told of one SAE, JSON-able."""
    sae = one.found.sae
    return {
        "name": one.found.name,
        "path": str(path),
        "architecture": sae.config.plugin_name,
        "d_in": sae.d_in,
        "n_latents": sae.n_latents,
        "sites": ", ".join(map(str, one.sites or ())),
        "model": one.found.model,
        "notes": list(one.found.notes),
        "code_factor": one.found.code_factor,
        "agreement": None if one.agreement is None else one.agreement._asdict(),
    }
