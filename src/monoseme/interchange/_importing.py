"""From a file or a folder of another tool to SAEs of ours, verified where a fingerprint is given."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.artifact import exists_error
from monoseme.core.drafts import new_folder
from monoseme.core.errors import ForeignError, SiteError
from monoseme.core.files import hash_file, typed
from monoseme.core.recognise import recognised
from monoseme.interchange._base import ForeignSae, SaeFormat
from monoseme.interchange._fingerprint import FINGERPRINT, TOLERANCE, Agreement, agreement, load_fingerprint
from monoseme.interchange._registry import SAE_FORMATS
from monoseme.models.site import Site
from monoseme.saes import SAE, save_sae

_NAME = re.compile(r"[\w.-]{1,200}", re.ASCII)
UNKNOWN = "holds no SAE of a known format"


class ReadSae(NamedTuple):
    """An SAE that was read from foreign files."""

    format: str
    found: ForeignSae
    agreement: Agreement | None
    """With the fingerprint that lay beside it, or was given; None without one."""

    @property
    def sites(self) -> tuple[Site, ...] | None:
        """Where it learned; None where that is not known."""
        sites = self.found.sae.config.sites
        return None if sites is None else tuple(Site.parse(site) for site in sites)


class ImportedSaes(NamedTuple):
    """What an import wrote."""

    format: str
    out: Path
    saes: tuple[ReadSae, ...]
    paths: tuple[Path, ...]
    """The artifact of each: `out` for one, `out/NAME` for several."""


def find_sae_format(path: Path, name: str | None = None) -> str:
    """The name of the format of a file or folder: `name`, checked, or the one format that recognises it.

    Raises ForeignError when none does or several do, UnknownPluginError for a name that there is not.
    """
    if not path.exists():
        raise ForeignError(f"there is no file or folder {path}")
    return recognised(SAE_FORMATS, path, name, unknown=UNKNOWN)


def read_saes(
    path: Path, *, format: str | None = None, config: SaeFormat.Config | None = None, fingerprint: Path | None = None
) -> list[ReadSae]:
    """The SAEs of a file or folder of another tool; each that comes with a fingerprint is verified by it.

    Raises ForeignError (not of a known format, broken, or not what its fingerprint says), ConfigError (a setting is needed).
    """
    path = Path(path)
    name = find_sae_format(path, format)
    kind = SAE_FORMATS.get(name)
    found = kind(config or kind.Config()).read(path)
    _check_names(found, path)
    beside = fingerprint or _beside(path)
    if beside is None or (len(found) > 1 and fingerprint is None):
        return [ReadSae(name, one, None) for one in found]
    if len(found) > 1:
        raise ForeignError(f"{path} holds {len(found)} SAEs; a fingerprint is of one. Name its own file or folder.")
    return [ReadSae(name, found[0], _verified(found[0], beside, path))]


def import_saes(
    path: Path,
    out: Path,
    *,
    format: str | None = None,
    config: SaeFormat.Config | None = None,
    fingerprint: Path | None = None,
) -> ImportedSaes:
    """Write the SAEs of a foreign file or folder as artifacts: one at `out`, several at `out/NAME`; all or nothing.

    Raises what `read_saes` raises, SiteError where it is not known where one learned, ArtifactExistsError, DiskFullError.
    """
    path, out = Path(path), Path(out)
    if out.exists():
        raise exists_error(out)
    return write_saes(read_saes(path, format=format, config=config, fingerprint=fingerprint), path, out)


def write_saes(saes: Sequence[ReadSae], path: Path, out: Path) -> ImportedSaes:
    """Write what was read of `path`: one at `out`, several at `out/NAME`; all or nothing. Raises what `import_saes` does."""
    if out.exists():
        raise exists_error(out)
    for one in saes:
        require_sites(one, path)
    if len(saes) == 1:
        _save(saes[0], out, path)
        return ImportedSaes(saes[0].format, out, tuple(saes), (out,))
    with new_folder(out) as draft:
        for one in saes:
            _save(one, draft / one.found.name, path)
    return ImportedSaes(saes[0].format, out, tuple(saes), tuple(out / one.found.name for one in saes))


def require_sites(one: ReadSae, path: Path) -> tuple[Site, ...]:
    """Where it learned. Raises SiteError where neither the files nor a setting say, with what to type."""
    if one.sites is None:
        n = _n_places(one.found.sae)
        which = "which place in a model" if n == 1 else f"which {n} places in a model"
        listed = "resid_post.12" if n == 1 else ",".join(f"resid_post.{layer}" for layer in range(n))
        raise SiteError(
            f"the files of {path} ({one.format}) do not say {which} this SAE reads (D={one.found.sae.d_in}).\n"
            f"  Type:  monoseme import {typed(path)} --format {one.format} --site {listed} --out OUT"
        )
    return one.sites


def _n_places(sae: SAE) -> int:
    """Places in a model that it learned from (count)."""
    return next((getattr(sae.config, one.name) for one in fields(sae.config) if one.name == "n_sites"), 1)


def imported_config(one: ReadSae) -> dict[str, Any]:
    """What stands beside the config of an imported SAE in its artifact."""
    sites = ",".join(map(str, one.sites or ()))
    origin = {"format": one.format, **one.found.facts, "notes": list(one.found.notes), "code_factor": one.found.code_factor}
    return {"site": sites, "imported": origin, **({"model": one.found.model} if one.found.model else {})}


def _save(one: ReadSae, out: Path, path: Path) -> None:
    inputs = {"source": hash_file(path)} if path.is_file() else {}
    save_sae(one.found.sae, out, inputs=inputs, extra_config=imported_config(one))


def _check_names(found: Sequence[ForeignSae], path: Path) -> None:
    if not found:
        raise ForeignError(f"{path} {UNKNOWN}")
    for name, n in Counter(one.name for one in found).items():
        if n > 1 or not _NAME.fullmatch(name) or set(name) == {"."}:
            raise ForeignError(f"{path} holds an SAE whose name cannot be used, or is used twice: {name!r}")


def _beside(path: Path) -> Path | None:
    """In the folder, or in the one folder below it that has one: some tools keep each SAE in a folder of its own."""
    folder = path.parent if path.is_file() else path
    found = [folder / FINGERPRINT] if (folder / FINGERPRINT).is_file() else sorted(folder.glob(f"*/{FINGERPRINT}"))
    return found[0] if len(found) == 1 and (path.is_dir() or found[0].parent == folder) else None


def _verified(found: ForeignSae, fingerprint: Path, path: Path) -> Agreement:
    """Raises ForeignError where the SAE does not compute what the fingerprint says."""
    agreed = agreement(found.sae, load_fingerprint(fingerprint), code_factor=found.code_factor)
    if not agreed.holds:
        raise ForeignError(
            f"{path} does not compute what its fingerprint says: codes differ by {agreed.codes:.2g} and reconstructions by "
            f"{agreed.x_hat:.2g} of the largest (at most {TOLERANCE:g}).\n"
            f"  {fingerprint} may be of another SAE or another version: remove it, if you know that the weights are right."
        )
    return agreed
