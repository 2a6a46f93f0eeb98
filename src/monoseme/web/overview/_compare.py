"""Two SAEs of one run or of two: their metrics, and the latents that they share."""

from typing import Literal, NamedTuple

import numpy as np

from monoseme.web.latents import LatentsReader
from monoseme.web.overview._comparison import comparison
from monoseme.web.overview._directions import DirectionsReader
from monoseme.web.overview._jobs import Jobs, Tell
from monoseme.web.overview._match import Matched, matched
from monoseme.web.overview._reader import OverviewReader
from monoseme.web.overview.answers import SaeSummary
from monoseme.web.overview.compare_answers import MatchState, Partner, SaeComparison
from monoseme.web.run_files import RunFiles

Order = Literal["highest", "lowest", "latent"]


class PartnerQuery(NamedTuple):
    """Which pairs of latents are asked for."""

    order: Order = "highest"
    mutual_only: bool = False
    offset: int = 0
    limit: int = 50


class _Said(NamedTuple):
    """What the table of latents says of one."""

    explanation: str | None
    density: float | None


class CompareReader:
    """The SAEs of one run, to be held against those of this or another run."""

    def __init__(self, files: RunFiles) -> None:
        self._files, self._directions = files, files.page(DirectionsReader)
        self._jobs: Jobs[Matched] = Jobs()

    def metrics(self, key: str, other: "CompareReader", other_key: str) -> SaeComparison:
        """Raises NotFoundError."""
        return comparison(self._summary(key), other._summary(other_key), runs=(self._files.id, other._files.id))

    def match(self, key: str, other: "CompareReader", other_key: str, query: PartnerQuery) -> MatchState:
        """How far the matching is; asked for the first time, it is begun. Raises NotFoundError."""
        ours, theirs = self._directions.stamp(key), other._directions.stamp(other_key)

        def work(tell: Tell) -> Matched:
            tell("reading the directions", None)
            return matched(self._directions.of(key), other._directions.of(other_key), tell)

        progress, found = self._jobs.ask((key, ours, other._files.id, other_key, theirs), work)
        if found is None:
            return MatchState(progress=progress, why_none=progress.why)
        chosen = _chosen(found, query)
        shown = chosen[query.offset : query.offset + query.limit]
        return MatchState(
            progress=progress,
            match=found.summary,
            partners=self._partners(key, other, other_key, found, shown),
            total=len(chosen),
            offset=query.offset,
        )

    def _summary(self, key: str) -> SaeSummary:
        return self._files.page(OverviewReader).sae(key)

    def _partners(self, key: str, other: "CompareReader", other_key: str, found: Matched, shown: np.ndarray) -> list[Partner]:
        ours = self._said(key, found.latents[shown])
        theirs = other._said(other_key, found.partners[shown])
        return [
            Partner(
                latent=int(found.latents[at]),
                partner=int(found.partners[at]),
                cosine=float(found.cosines[at]),
                is_mutual=bool(found.is_mutual[at]),
                explanation=mine.explanation,
                partner_explanation=its.explanation,
                density=mine.density,
                partner_density=its.density,
            )
            for at, mine, its in zip(shown, ours, theirs, strict=True)
        ]

    def _said(self, key: str, latents: np.ndarray) -> list[_Said]:
        if key not in self._files.scanned():
            return [_Said(None, None)] * len(latents)
        rows = self._files.page(LatentsReader).table(key).rows([int(i) for i in np.unique(latents)])
        return [_Said(rows[int(i)].explanation, rows[int(i)].density) for i in latents]


def _chosen(found: Matched, query: PartnerQuery) -> np.ndarray:
    """Places of the pairs asked for, in their order."""
    places = np.flatnonzero(found.is_mutual) if query.mutual_only else np.arange(len(found.latents))
    if query.order == "latent":
        return places
    sign = -1.0 if query.order == "highest" else 1.0
    return places[np.argsort(sign * found.cosines[places], kind="stable")]
