"""From a folder of another tool to an `activations` artifact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.activations.formats import ACTIVATION_FORMATS
from monoseme.activations.formats._base import ActivationFormat
from monoseme.activations.store.config import StorageConfig
from monoseme.activations.store.finish import StoreSummary
from monoseme.activations.store.measured import StoreStatistics
from monoseme.activations.store.started import read_started
from monoseme.activations.store.writer import write_store
from monoseme.core.config import from_dict, to_dict
from monoseme.core.errors import ConfigError, ForeignError, UndefinedMetricError
from monoseme.core.folder import is_address, open_folder
from monoseme.core.recognise import recognised
from monoseme.models.site import Site
from monoseme.tensors.shapes import Float, Tensor


class MeanCheck(NamedTuple):
    """How far the mean that a store came with is from that of its rows."""

    largest: float
    """Largest difference of a coordinate."""
    share: float | None
    """Length of the difference over the length of the mean of the rows; None where that is 0."""


class Imported(NamedTuple):
    """What an import did."""

    format: str
    stored: StoreSummary
    n_contexts: int
    """Contexts of the foreign store."""
    n_bad_rows: int
    """Rows left out because they are not finite, of the blocks read by this call (a resume reads the text of all)."""
    lost: tuple[str, ...]
    """What else does not come along, and why."""
    means: Mapping[str, MeanCheck]
    """By site, for stores that come with means."""


def find_format(path: str | Path, name: str | None = None) -> str:
    """The name of the format of a folder: `name`, checked, or the one format that recognises it.

    Raises ForeignError when none does or several do, UnknownPluginError for a name that there is not, ConfigError for an address.
    """
    if is_address(path):
        raise ConfigError(f"{path} is an address; foreign stores are read from this machine.\n  Download it first.")
    path = Path(path)
    if not path.is_dir():
        raise ForeignError(f"there is no folder {path}")
    return recognised(ACTIVATION_FORMATS, path, name, unknown="holds no store of activations of a known format")


def import_activations(
    path: Path,
    out: str | Path,
    *,
    format: str,
    options: ActivationFormat.Config,
    storage: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Imported:
    """Writes the foreign store in the folder `path` as an artifact at `out`, a folder or an address.

    `storage` are settings of a `StorageConfig`; without a dtype among them, numbers keep the type they have. Raises what the
    format's `find` and `write_store` raise.
    """
    supply = ACTIVATION_FORMATS.get(format)().open(path, options)
    facts = supply.store.facts
    kept = from_dict(StorageConfig, {"dtype": facts.dtype, **(storage or {})}, where="storage")
    config = {"format": format, "source": str(path), "options": to_dict(options), "storage": to_dict(kept), "found": supply.spec}
    if options.model is not None:
        config["model"] = {"model": options.model}
    folder = open_folder(out)
    stored = write_store(folder, supply, kept, config=config, inputs={"foreign": facts.fingerprint}, resume=resume)
    means = supply.store.means()
    checks = _compared(StoreStatistics.read(folder), means) if means else {}
    return Imported(format, stored, facts.n_contexts, sum(supply.bad_rows.values()), facts.lost, checks)


def _compared(statistics: StoreStatistics, means: Mapping[Site, Float[Tensor, " D"]]) -> dict[str, MeanCheck]:
    checks: dict[str, MeanCheck] = {}
    for site, stated in means.items():
        try:
            found = statistics.mean(site)
        except UndefinedMetricError:  # every row was left out
            continue
        difference, norm = stated - found, float(found.norm())
        checks[str(site)] = MeanCheck(float(difference.abs().max()), float(difference.norm()) / norm if norm else None)
    return checks


def kept_settings(out: str | Path) -> Mapping[str, Any] | None:
    """The settings of an import that was begun at `out` and not finished; None without one. Raises ArtifactDamagedError."""
    started = read_started(open_folder(out))
    config = None if started is None else started.get("config")
    return config if isinstance(config, dict) and "format" in config else None
