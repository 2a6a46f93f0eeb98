"""Take over SAEs of another tool, activations that it has stored, or what it says of latents.

    monoseme import PATH --out OUT                       what it is and its format are recognised by the files
    monoseme import PATH                                 an SAE goes to saes/NAME
    monoseme import sae.pth --out OUT --k 64             an SAE; what its files do not say is asked for by its flag
    monoseme import PATH --out OUT --fingerprint FILE    an SAE, verified by activations, codes and reconstructions
    monoseme import PATH --out OUT --format NAME --help  the settings of a format
    monoseme import PATH --out OUT --site resid_post.12 --model google/gemma-2-2b
    monoseme import --out OUT --resume                   go on with an import that was interrupted
    monoseme import PATH --atlas ATLAS                   explanations, scores and examples, as annotations of an atlas or a run
    monoseme import PATH --atlas ATLAS --sae topk --label theirs

Formats: monoseme ls sae_formats, activation_formats; with --atlas, atlas_formats. Numbers keep their type, or --dtype float32,
bfloat16, float16, int8. What a store does not hold is missing in ours and told; files that could run a program are never loaded.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monoseme.activations.formats import ACTIVATION_FORMATS, Imported, find_format, import_activations, kept_settings
from monoseme.activations.store.config import StoredDtype
from monoseme.cli._atlas_words import Exchange, OwnFlag, format_lines, read_flags, value_of
from monoseme.cli._options import apart, wants_help, write
from monoseme.cli._verbs import document
from monoseme.core.config import from_dict
from monoseme.core.display import counted, get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed
from monoseme.interchange import SAE_FORMATS

_STORE = Exchange(
    "activations",
    ACTIVATION_FORMATS,
    {
        "out": OwnFlag(str | None, "Folder or address (s3://...) of the store.", None),
        "format": OwnFlag(str, "Format of PATH; recognised if not given.", ""),
        "dtype": OwnFlag(StoredDtype | None, "Type of the stored numbers. None: that of PATH.", None),
        "shard_bytes": OwnFlag(int | None, "About how much makes a shard (bytes).", None),
        "max_bytes": OwnFlag(int | None, "The store ends before it would be larger (bytes).", None),
        "resume": OwnFlag(bool, "Go on with the import in that folder.", False),
    },
)


def exchanges() -> tuple[Exchange, ...]:
    """What can be imported, with the flags for it."""
    from monoseme.cli._import_notes import NOTES
    from monoseme.cli._import_saes import WHOLE_SAES

    return WHOLE_SAES, _STORE, NOTES


def main(words: list[str]) -> int:
    """Imports a store of activations, or notes about latents into an atlas."""
    if value_of(words, "--atlas") is not None:
        from monoseme.cli._import_notes import import_into_atlas  # tables and atlases are not needed for activations

        return import_into_atlas(words, summary=document("import"))
    if not words or (wants_help(words) and value_of(words, "--format") is None):
        told = {"SAEs": SAE_FORMATS, "activations": ACTIVATION_FORMATS}
        lists = "".join(f"\n\nFormats of {what}:\n{format_lines(formats)}" for what, formats in told.items())
        write(f"{document('import')}{lists}")
        return 0
    from monoseme.cli._import_saes import import_sae_files, is_sae_import

    if is_sae_import(words):
        return import_sae_files(words, summary=document("import"))
    path, rest = (None, words) if words[0].startswith("-") else (words[0], words[1:])
    kept = _kept(rest)
    if path is None and kept is None and not wants_help(rest):
        raise ConfigError("import needs a folder, before its flags.\n  Type:  monoseme import PATH --out OUT")
    path = path or str((kept or {}).get("source", ""))
    flags = _flags_of(_format(path, rest, kept), rest, kept)
    if flags.out is None:
        raise ConfigError(f"import needs a place for the store.\n  Type:  monoseme import {typed(path)} --out OUT")
    storage = _storage(flags, kept)
    found = import_activations(
        Path(path), flags.out, format=flags.format, options=flags.settings, storage=storage, resume=flags.resume
    )
    _tell(found, flags.out)
    return 0


def _format(path: str, words: Sequence[str], kept: Mapping[str, Any] | None) -> str:
    """The format asked for, that of the import that goes on, or the one recognised; a help page needs no folder."""
    name = value_of(words, "--format") or (str(kept["format"]) if kept else None)
    if name is not None and wants_help(words):
        ACTIVATION_FORMATS.source(name)
        return name
    return find_format(path, name)


def _flags_of(name: str, words: Sequence[str], kept: Mapping[str, Any] | None) -> Any:
    """The flags, on top of those of the import that goes on."""
    start = None if kept is None else from_dict(_STORE.config_of(name), kept["options"], where="the import that goes on")
    return read_flags(
        _STORE, name, apart(words, ["--site"]), verb=f"import PATH --format {name}", summary=document("import"), start=start
    )


def _storage(flags: Any, kept: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is said of how the store is kept, as settings of a `StorageConfig`."""
    said = {name: getattr(flags, name) for name in ("dtype", "shard_bytes", "max_bytes")}
    return {**(kept["storage"] if kept else {}), **{name: value for name, value in said.items() if value is not None}}


def _kept(words: Sequence[str]) -> Mapping[str, Any] | None:
    """The settings of the import that `--resume` goes on with, if one was begun."""
    out = value_of(words, "--out")
    return kept_settings(out) if out is not None and "--resume" in words else None


def _tell(found: Imported, out: str) -> None:
    """What was read, kept and lost."""
    display, stored = get_display(), found.stored
    display.say(f"imported {stored.n_contexts:,} of {counted(found.n_contexts, 'contexts')} ({found.format}) to {out}")
    display.say(f"  rows: {stored.n_tokens:,} at each site; contexts held out: {stored.n_heldout:,}; bytes: {stored.n_bytes:,}")
    for site, error in stored.storage_errors.items():
        if error.squares:
            display.say(f"  {site}: the stored type lost {error.fvu or 0.0:.2g} of the variance")
    if found.n_bad_rows:
        display.warn(f"{found.n_bad_rows:,} rows held NaN or infinity and were left out")
    for site, check in found.means.items():
        share = "" if check.share is None else f", {check.share:.2g} of its length"
        display.say(f"  {site}: the mean that came along differs from that of the rows by at most {check.largest:.3g}{share}")
    for line in found.lost:
        display.say(f"  left behind: {line}")
    stored_facts = {**stored._asdict(), "storage_errors": {site: e._asdict() for site, e in stored.storage_errors.items()}}
    means = {site: check._asdict() for site, check in found.means.items()}
    display.result({**found._asdict(), "out": out, "stored": stored_facts, "means": means})
