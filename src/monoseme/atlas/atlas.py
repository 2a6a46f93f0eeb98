"""Opens an atlas: pages and tables of latents for viewers, evidence for explainers."""

import threading
from pathlib import Path
from typing import NamedTuple

from monoseme.atlas.annotations import Annotation, open_annotations, read_explanations, read_scores
from monoseme.atlas.evidence import Evidence
from monoseme.atlas.latents import Latents
from monoseme.atlas.pages import LatentPage
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.table import LatentTable, TableQuery
from monoseme.atlas.text_store import TextStore
from monoseme.core.artifact import MANIFEST, check_artifact, open_artifact
from monoseme.core.config import suggest
from monoseme.core.errors import ArtifactMissingError, ConfigError


class _Table(NamedTuple):
    made_from: tuple[tuple[str, str], ...]
    """Label and content hash of the annotations in it."""
    query: TableQuery


class Atlas:
    """A folder with one text and the latents of any number of SAEs over it.

    Annotations that appear while it is open are seen at the next call. Safe to use from several threads.
    """

    def __init__(self, path: Path, text: TextStore) -> None:
        self.path, self.text = path, text
        self._opened: dict[str, Latents] = {}
        self._tables: dict[str, _Table] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"open_atlas({str(self.path)!r})"

    def saes(self) -> list[str]:
        """The keys of what was scanned: SAE names, `name.part` for a part."""
        found = (path.parent.name for path in (self.path / "latents").glob(f"*/{MANIFEST}"))
        return sorted(name for name in found if not name.startswith("."))

    def latents(self, sae: str) -> Latents:
        """The latents of one SAE. Raises ConfigError for a name that was not scanned."""
        with self._lock:
            if sae not in self._opened:
                names = self.saes()
                if sae not in names:
                    raise ConfigError(f'this atlas has no SAE "{sae}".{suggest(sae, names)}\n  It has: {", ".join(names)}')
                artifact = open_artifact(self.path / "latents" / sae, kind="atlas")
                self._opened[sae] = Latents(sae, artifact, self.text)
            return self._opened[sae]

    def latent(self, sae: str, latent: int) -> LatentPage:
        """Everything known of one latent. Raises ConfigError for a number it does not have."""
        latents = self.latents(sae)
        row = latents.row(latent)
        shown = latents.examples(row)
        annotations = self.annotations(sae)
        return LatentPage(
            key=sae,
            site=latents.site,
            latent=latent,
            n_latents=latents.n_latents,
            stats=latents.stats(row),
            why_missing=row["why_missing"],
            histogram=latents.histogram(latent),
            top=shown.top,
            deciles=shown.deciles,
            top_logits=latents.logits(row, "top"),
            bottom_logits=latents.logits(row, "bottom"),
            why_no_logits=row["why_no_logits"],
            explanations=_explanations(annotations, latent),
            scores=_scores(annotations, latent),
        )

    def table(
        self,
        sae: str,
        *,
        sort: str = "latent",
        descending: bool = False,
        search: str = "",
        where: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> LatentTable:
        """A page of the table of latents, see `TableQuery.page`."""
        latents, annotations = self.latents(sae), self.annotations(sae)
        made_from = tuple((annotation.label, annotation.artifact.content_hash) for annotation in annotations)
        with self._lock:
            if sae not in self._tables or self._tables[sae].made_from != made_from:
                self._tables[sae] = _Table(made_from, TableQuery(latents, annotations))
            query = self._tables[sae].query
        return query.page(sort=sort, descending=descending, search=search, where=where, limit=limit, offset=offset)

    def annotations(self, sae: str) -> list[Annotation]:
        """Explanations and scores of one SAE, the newest first."""
        return open_annotations(self.path, self.latents(sae))

    def evidence(self, sae: str) -> Evidence:
        """What explainers and scorers read."""
        return Evidence(self.latents(sae), self.text)


def open_atlas(path: Path) -> Atlas:
    """The atlas in a folder. Raises ArtifactMissingError and the other errors of opening an artifact."""
    path = Path(path)
    if not (path / "text").is_dir():
        raise ArtifactMissingError(f"{path} holds no atlas: it has no folder text. Make one with:  monoseme scan")
    return Atlas(path, TextStore(open_artifact(path / "text", kind="atlas")))


def check_atlas(path: Path) -> list[str]:
    """Recompute the checksums of all parts of an atlas; one line per fault, none when it is sound."""
    found: list[str] = []
    for manifest in sorted(Path(path).rglob(MANIFEST)):
        part = manifest.parent
        if not any(name.startswith(".") for name in part.relative_to(path).parts):
            found += [f"{part.relative_to(path)}: {problem}" for problem in check_artifact(part)]
    return found


def _explanations(annotations: list[Annotation], latent: int) -> tuple[Explanation, ...]:
    parts = [annotation for annotation in annotations if annotation.holds == "explanations"]
    return tuple(said for part in parts for said in read_explanations(part, latent=latent))


def _scores(annotations: list[Annotation], latent: int) -> tuple[Score, ...]:
    parts = [annotation for annotation in annotations if annotation.holds == "scores"]
    return tuple(score for part in parts for score in read_scores(part, latent=latent))
