"""What every format must keep, as functions that its tests call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from monoseme.core.errors import MonosemeError
from monoseme.interchange import SAE_FORMATS, ExportSource, export_sae, find_sae_format, import_saes, read_saes
from monoseme.models import Site
from monoseme.saes import SAE, load_sae
from tests.interchange.corrupt import broken, copied

EVERY = 1
"""Of the ways of breaking files, each so-manieth is tried; a tensor has seven and a text eleven, so 5 comes to every kind."""


def check_refuses_broken(
    folder: Path,
    tmp_path: Path,
    *,
    config: Any = None,
    format: str,
    optional: Sequence[str] = (),
    file: str | None = None,
    at_least: int = 20,
    every: int | None = None,
) -> None:
    """Each broken twin gives one clear error of ours, leaves nothing behind, and runs no code.

    `file` is what is read of the folder (None: the folder); `optional` names tensors and files that may be missing.
    `every` says that each so-manieth way is tried (None: as the whole suite has it).
    """
    witness = tmp_path / "witness"
    ways = list(broken(folder, optional=tuple(optional), witness=witness))
    assert len(ways) >= at_least, f"only {len(ways)} ways to break it"
    failures: list[str] = []
    for number, (name, spoil) in list(enumerate(ways))[:: every or EVERY]:
        twin = copied(folder, tmp_path / f"twin{number}")
        spoil(twin)
        out = tmp_path / f"out{number}"
        try:
            import_saes(twin / file if file else twin, out, format=format, config=config)
        except MonosemeError as error:
            if len(str(error)) < 15 or "Traceback" in str(error):
                failures.append(f"{name}: says only {error}")
        except Exception as error:  # noqa: BLE001 - what a user would see as a crash
            failures.append(f"{name}: {type(error).__name__}: {error}")
        else:
            failures.append(f"{name}: was imported")
        if out.exists() or any(tmp_path.glob(".out*")):
            failures.append(f"{name}: left something behind")
        if witness.exists():
            failures.append(f"{name}: ran code")
            witness.rmdir()
    assert not failures, "\n".join(failures)


def check_round_trip(
    sae: SAE, tmp_path: Path, *, format: str, site: str = "resid_post.1", config: Any = None, **read: Any
) -> SAE:
    """Exported, recognised, read: the same codes and reconstructions to 1e-6 of the largest. Gives the SAE that was read."""
    sites = tuple(Site.parse(part) for part in site.split(","))
    out = tmp_path / f"{format}-out"
    told = export_sae(sae, out, format=format, source=ExportSource(name="one", sites=sites), config=config)
    assert told.codes_off is not None
    assert max(told.codes_off, told.x_hat_off or 0.0) < 1e-6
    settings = SAE_FORMATS.get(format).Config(site=site, **read)
    (found,) = read_saes(out, format=format, config=settings)
    assert found.agreement is not None
    assert found.agreement.holds
    import_saes(out, tmp_path / "again", format=format, config=settings)
    return load_sae(tmp_path / "again")


def check_recognised(path: Path, format: str) -> None:
    """The format knows its files again, and no other format does."""
    assert find_sae_format(path) == format


def assert_same(ours: torch.Tensor, theirs: torch.Tensor, *, tolerance: float = 1e-5) -> None:
    """Equal to `tolerance` of the largest number."""
    assert ours.shape == theirs.shape
    ours, theirs = ours.detach(), theirs.detach()
    off = float((ours - theirs).abs().max()) / max(float(theirs.abs().max()), 1e-30)
    assert off <= tolerance, f"differ by {off:.2g} of the largest"
