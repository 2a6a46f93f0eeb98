"""`monoseme import PATH --out OUT` for SAEs of other tools."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monoseme.cli._atlas_words import read_flags, value_of
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed
from monoseme.interchange import SAE_FORMATS, ImportedSaes, ReadSae, find_sae_format, import_saes
from monoseme.interchange._hub_words import fetched, hub_word

_FLAGS: dict[str, tuple[Any, str, Any]] = {
    "format": (str, "Format of PATH; recognised if not given.", ""),
    "out": (str | None, "New folder of the SAE, or of several.", None),
    "fingerprint": (str | None, "Activations with codes and reconstructions to verify it by.", None),
}


def is_sae_import(words: Sequence[str]) -> bool:
    """Whether SAEs are to be imported: a format named that only they have, files that one recognises, or a word of the hub."""
    name = value_of(words, "--format")
    if not words or words[0].startswith("-"):
        return False
    if name is not None and name not in SAE_FORMATS.names():
        return False
    if not Path(words[0]).exists() and hub_word(words[0]) is not None:
        return True
    path = Path(words[0])
    return path.exists() and any(SAE_FORMATS.get(known)().recognises(path) for known in ([name] if name else SAE_FORMATS.names()))


def import_sae_files(words: Sequence[str], *, summary: str) -> int:
    """Writes artifacts of SAEs; `words` are those of `import`."""
    wanted = None if Path(words[0]).exists() else hub_word(words[0])
    path = Path(words[0]) if wanted is None else fetched(wanted)
    name = find_sae_format(path, value_of(words, "--format"))
    config = SAE_FORMATS.get(name).Config
    flags = read_flags(name, _FLAGS, words[1:], config=config, verb=f"import PATH --format {name}", summary=summary)
    if flags.out is None:
        raise ConfigError(f"import needs a folder for the SAE.\n  Type:  monoseme import {typed(path)} --out OUT")
    fingerprint = None if flags.fingerprint is None else Path(flags.fingerprint)
    found = import_saes(path, Path(flags.out), format=name, config=flags.settings, fingerprint=fingerprint)
    _tell(found)
    return 0


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
