"""From an SAE of ours to a folder of another tool, which is whole or absent, with a fingerprint beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.artifact import exists_error
from monoseme.core.drafts import new_folder
from monoseme.core.elsewhere import is_path, last_part
from monoseme.core.errors import ConfigError
from monoseme.interchange._base import SaeFormat, WholeSae
from monoseme.interchange._fingerprint import agreement, fingerprint_of, save_fingerprint
from monoseme.interchange._registry import SAE_FORMATS
from monoseme.models.local import name_elsewhere
from monoseme.models.site import Site
from monoseme.saes import SAE


class ExportedSae(NamedTuple):
    """What an export wrote."""

    format: str
    out: Path
    n_files: int
    n_bytes: int
    lost: tuple[str, ...]
    """What the format cannot hold, and how numbers were rounded."""
    codes_off: float | None
    """Largest difference between the codes of the SAE and of what was written, read again, over the largest code; None where the
    format cannot be read."""
    x_hat_off: float | None
    """Of reconstructions likewise."""


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """Where an SAE comes from, as far as formats want to know."""

    name: str
    sites: tuple[Site, ...]
    model: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


def export_sae(
    sae: SAE,
    out: Path,
    *,
    format: str,
    source: ExportSource,
    config: SaeFormat.WriteConfig | None = None,
    fingerprint: bool = True,
) -> ExportedSae:
    """Write an SAE into the new folder `out`, as another tool keeps it; a kill leaves no folder.

    Paths of this machine are not in it: a model's folder is `./NAME`, and a text its last part.
    What was written is read again and compared on the SAE's own fingerprint, which stays beside it where `fingerprint` is set.
    Raises ArtifactExistsError, ConfigError (the format cannot hold such an SAE), UnknownPluginError, DiskFullError.
    """
    out = Path(out)
    if out.exists():
        raise exists_error(out)
    chosen = SAE_FORMATS.get(format)
    if not chosen.writes:
        writable = [name for name in SAE_FORMATS.names() if SAE_FORMATS.get(name).writes]
        raise ConfigError(f"{format} can be read, but not written.\n  Allowed: {', '.join(writable)}")
    model, facts = source.model and name_elsewhere(source.model), _elsewhere(source.facts)
    whole = WholeSae(name=source.name, sae=sae.export(), sites=source.sites, model=model, facts=facts)
    config = config or chosen.WriteConfig()
    whole = chosen().part(whole, config)
    with new_folder(out) as draft:
        lost = chosen().write(whole, draft, config)
        off = _verified(chosen, draft, whole, fingerprint=fingerprint)
        files = [path for path in draft.rglob("*") if path.is_file()]
        n_bytes = sum(path.stat().st_size for path in files)
    return ExportedSae(format, out, len(files), n_bytes, lost, codes_off=off.codes, x_hat_off=off.x_hat)


def _elsewhere(facts: Any, name: str = "") -> Any:
    """Facts as they are said off this machine, tables and lists all the way down; `name` is what they stand under."""
    if isinstance(facts, Mapping):
        return {key: _elsewhere(value, str(key)) for key, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_elsewhere(value, name) for value in facts]
    if not isinstance(facts, str):
        return facts
    return name_elsewhere(facts) if name == "model" else last_part(facts) if is_path(facts) else facts


class _Off(NamedTuple):
    """How far what was written is from the SAE; None where it cannot be read again."""

    codes: float | None = None
    x_hat: float | None = None


def _verified(chosen: type[SaeFormat], draft: Path, whole: WholeSae, *, fingerprint: bool) -> _Off:
    """How far what was written is from the SAE, in the tool's own unit."""
    inputs = len(whole.sae.roles(len(whole.sites)).inputs)
    found = fingerprint_of(whole.sae, n_sites=inputs)
    off = _Off()
    if chosen.reads:
        (again,) = chosen(chosen().reading(whole)).read(draft)
        factor = again.code_factor
        found = found._replace(codes=found.codes * factor)
        agreed = agreement(again.sae, found, code_factor=factor)
        off = _Off(agreed.codes, agreed.x_hat)
    if fingerprint:
        folder = next(path.parent for path in sorted(draft.rglob("*")) if path.is_file())
        save_fingerprint(found, folder)
    return off
