"""A run's folder as all pages know it: its record, its SAEs, its atlas, and the reader that each page has for it.

Everything is looked up when a page asks, so that a run which is still being evaluated, scanned or explained shows more at the
next reload. What is slow to build is kept. Imports that bring torch or Altair with them wait for the page that needs them, so
that the server itself starts at once.
"""

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast

from monoseme.core.artifact import open_artifact
from monoseme.core.config import from_dict, suggest
from monoseme.core.errors import ArtifactMissingError, MonosemeError
from monoseme.core.files import typed
from monoseme.evaluation import EvalResult, read_report
from monoseme.pipeline import RunFolder

if TYPE_CHECKING:
    from monoseme.atlas import Atlas
    from monoseme.models import ModelConfig, Site
    from monoseme.web.worker import ModelWorker


class NotFoundError(MonosemeError):
    """No run, SAE, latent or chart of this name; the API answers 404."""


class BadRequestError(MonosemeError):
    """A parameter that only the run at hand can tell to be wrong, such as the name of a column; the API answers 422."""


class UnavailableError(MonosemeError):
    """What was asked for exists only with something that is not there, such as the model; the API answers 409."""


def check_latent(index: int, n_latents: int, sae: str) -> None:
    """Raises NotFoundError for a number that no latent has."""
    if index >= n_latents:
        raise NotFoundError(f"{sae} has no latent {index:,}\n  Its latents are numbered 0 to {n_latents - 1:,}.")


class PageReader(Protocol):
    """What a page asks; made from the files of a run when the page is first opened, and safe to ask from several threads."""

    def __init__(self, files: "RunFiles") -> None: ...


PageT = TypeVar("PageT", bound=PageReader)


class Run(Protocol):
    """One run, to the routes of the pages."""

    id: str

    def page(self, reader: type[PageT]) -> PageT:
        """The run's reader of this kind."""
        ...


class ScannedSae(NamedTuple):
    """The SAE behind a name, which may be that of a part or site that was scanned."""

    name: str
    """In the run."""
    path: Path
    """Of the `sae` artifact."""
    sites: "tuple[Site, ...]"
    """Those it learned from, in order."""
    part: str | None = None
    """Part of its codes; None: all of them."""
    code_site: str | None = None
    """The site whose codes are meant, where each has codes of its own; None: the first."""


class RunFiles:
    """One run folder. Safe to ask from several threads."""

    def __init__(self, path: Path, *, id: str, worker: "ModelWorker", model: str | None = None) -> None:
        """`model` takes the place of the one that the run names. Raises ArtifactError for a folder that is not a run that this
        version reads."""
        self.id, self.worker, self.other_model = id, worker, model
        self.folder = RunFolder(path)
        self.record()
        self._lock = threading.RLock()
        self._atlas: Atlas | None = None
        self._pages: dict[type[PageReader], PageReader] = {}

    def __repr__(self) -> str:
        return f"RunFiles({str(self.folder.path)!r}, id={self.id!r})"

    def page(self, reader: type[PageT]) -> PageT:
        """The run's reader of this kind, made once."""
        with self._lock:
            if reader not in self._pages:
                self._pages[reader] = reader(self)
            return cast(PageT, self._pages[reader])

    def record(self) -> dict[str, Any]:
        """`run.json` as it is now."""
        return self.folder.record()

    @property
    def name(self) -> str:
        """The folder's."""
        return self.folder.path.resolve().name

    @property
    def model_name(self) -> str:
        """Folder or hub id."""
        return str(self.record()["config"].get("model", {}).get("model", "bundled"))

    @property
    def model(self) -> "ModelConfig":
        """The language model as it is loaded."""
        from monoseme.models import ModelConfig

        said = self.record()["config"].get("model", {})
        other = {} if self.other_model is None else {"model": self.other_model, "revision": None}
        return from_dict(ModelConfig, said | other, where=f"{self.folder.path}: model")

    @property
    def begins_with_bos(self) -> bool:
        """Whether the contexts that the SAEs learned from did, so that a prompt looks the same to them."""
        return self.record()["config"].get("corpus", {}).get("bos", "auto") != "never"

    @property
    def sites(self) -> str:
        """The sites of the run, each once, by layer."""
        of_jobs = (str(sites).split(",") for sites in self.record().get("jobs", {}).values())
        return ", ".join(sorted({site for sites in of_jobs for site in sites}, key=_by_number))

    def sae_paths(self) -> dict[str, Path]:
        """Each trained SAE's artifact, by name."""
        return {name: self.folder.path / path for name, path in self.record()["artifacts"].get("saes", {}).items()}

    def sae_names(self) -> list[str]:
        """Names of the SAEs, those of their scanned parts behind them."""
        names = list(self.sae_paths())
        return names + [key for key in self.scanned() if key not in names]

    def scanned(self) -> dict[str, int]:
        """(SAE, part) in the atlas -> tokens scanned; empty while there is none."""
        atlas = self.atlas()
        return {} if atlas is None else {key: atlas.latents(key).n_tokens for key in atlas.saes()}

    def keys_of(self, name: str) -> list[str]:
        """The names under which an SAE was scanned: its own, or those of its parts and sites; its own where it was not."""
        return [key for key in self.scanned() if self.described(key)["name"] == name] or [name]

    def described(self, key: str) -> dict[str, Any]:
        """What the atlas says of one of its keys: the SAE's name, the part, the site."""
        return self.atlas_with(key).latents(key).artifact.config

    def atlas(self) -> "Atlas | None":
        """The atlas; None before the scan."""
        with self._lock:
            if self._atlas is None and "atlas" in self.record()["artifacts"]:
                from monoseme.atlas import open_atlas

                self._atlas = open_atlas(self.folder.atlas)
            return self._atlas

    def atlas_with(self, sae: str, index: int | None = None) -> "Atlas":
        """The atlas, once it is sure to hold `sae`, and the latent `index` of it.

        Raises NotFoundError for what the run does not have, ArtifactMissingError for what was not scanned.
        """
        atlas, names = self.atlas(), self.sae_names()
        if sae not in names:
            raise NotFoundError(f"this run has no SAE {sae!r}.{suggest(sae, names)}")
        if atlas is None or sae not in atlas.saes():
            raise ArtifactMissingError(
                f"{sae} has not been scanned, so its latents cannot be shown.\n"
                f"  Scan it with:  monoseme scan {typed(self.folder.path)}"
            )
        if index is not None:
            check_latent(index, atlas.latents(sae).n_latents, sae)
        return atlas

    def sae(self, key: str) -> ScannedSae:
        """The SAE behind a name that may be that of a scanned part or site. Raises NotFoundError."""
        from monoseme.models import Site

        paths = self.sae_paths()
        described: dict[str, Any] = {"name": key, "part": None, "site": None} if key in paths else self.described(key)
        name = described["name"]
        if name not in paths:
            raise NotFoundError(f"this run has the atlas of {key!r}, but not the SAE itself")
        sites = tuple(Site.parse(site) for site in self.sites_of(name))
        return ScannedSae(name, paths[name], sites, described["part"], described["site"])

    def sites_of(self, name: str) -> list[str]:
        """The sites that an SAE learned from, in order."""
        path = self.sae_paths()[name]
        config = open_artifact(path, kind="sae").config
        sites = config.get("sites") or config.get("site") or self.record().get("jobs", {}).get(name)
        if sites is None:
            raise ArtifactMissingError(f"neither {path} nor run.json says which site {name} reads")
        return sites.split(",") if isinstance(sites, str) else list(sites)

    def own_site(self, key: str) -> str | None:
        """The site whose codes a name means, where each site has codes of its own; None where one code is of all sites."""
        if key in self.sae_paths():
            return None
        described = self.described(key)
        return described["site"] if "@" in key.removeprefix(described["name"]) else None

    def read_by(self, key: str) -> str:
        """The site that a name means, or all that the SAE behind it reads, with commas."""
        name = key if key in self.sae_paths() else self.described(key)["name"]
        if name not in self.sae_paths():
            return str(self.described(key)["site"])
        return self.own_site(key) or ", ".join(self.sites_of(name))

    def results(self, name: str) -> list[EvalResult]:
        """Everything measured on one SAE."""
        named = self.record()["artifacts"].get("evaluations", {}).get(name, {})
        return [read_report(self.folder.path / path) for path in named.values()]


def _by_number(name: str) -> list[str | int]:
    """A key that sorts `resid_post.10` behind `resid_post.9`."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
