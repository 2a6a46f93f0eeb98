"""Opens an atlas: pages and tables of latents for viewers, evidence for explainers."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.atlas.annotations import Annotation, open_annotations, read_explanations, read_scores
from monoseme.atlas.effects.reading import Effects, open_effects
from monoseme.atlas.evidence import Evidence
from monoseme.atlas.latents import Latents
from monoseme.atlas.pages import LatentPage
from monoseme.atlas.relations.reading import Relations, open_relations
from monoseme.atlas.roles import RoleFilter
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
        self._others: dict[tuple[str, str], Any] = {}
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

    def latent(self, sae: str, latent: int, *, only: RoleFilter | None = None) -> LatentPage:
        """Everything known of one latent; `only` keeps to examples of some roles and turns of conversations.

        Raises ConfigError for a number it does not have.
        """
        latents = self.latents(sae)
        row = latents.row(latent)
        shown = latents.examples(row, only=only)
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
            **self._relations(sae, latent),
            **self._effects(sae, latent),
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

    def relations(self, sae: str) -> Relations | None:
        """How its latents go together; None where that was not worked out."""
        return self._beside("relations", sae, lambda latents: open_relations(self.path, latents))

    def effects(self, sae: str) -> Effects | None:
        """What ablating its latents does; None where that was not measured."""
        return self._beside("effects", sae, lambda latents: open_effects(self.path, latents, self.text))

    def _beside(self, what: str, sae: str, opened: Callable[[Latents], Any]) -> Any:
        """What belongs to the latents of an SAE, opened once it is there."""
        latents = self.latents(sae)
        with self._lock:
            found = self._others.get((what, sae)) or opened(latents)
            if found is not None:
                self._others[what, sae] = found
            return found

    def _relations(self, sae: str, latent: int) -> dict[str, Any]:
        """The fields of a page that tell of relations."""
        relations = self.relations(sae)
        found = {} if relations is None else relations.of(latent)
        names = {"coactive": "coactivation_rank", "correlated": "correlation_rank", "neighbours": "cosine_rank"}
        why = "relations between latents were not worked out" if relations is None else relations.why_no_cosines
        return {**{name: found.get(order, ()) for name, order in names.items()}, "why_no_relations": why}

    def _effects(self, sae: str, latent: int) -> dict[str, Any]:
        """The fields of a page that tell of effects."""
        effects = self.effects(sae)
        found = None if effects is None else effects.of(latent)
        why = "the effects of latents were not measured" if effects is None else "this latent was not among those measured"
        return {"effects": found, "why_no_effects": why if found is None else found.why_missing}

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
