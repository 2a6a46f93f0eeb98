"""The texts of all latents of an SAE: those that are kept, and those still to be written and measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monoseme.core.display import get_display
from monoseme.core.seeds import derive_seed
from monoseme.models import Generation
from monoseme.steering import LatentFacts
from monoseme.studies._report import file_names
from monoseme.studies._steering.arms import Material, Sweep, arms_of
from monoseme.studies._steering.facts import Partners, SiteFacts, read_facts
from monoseme.studies._steering.kept import Steered, read_steered, write_steered
from monoseme.studies._steering.subjects import LatentsOfAtlas, SteeredLatent
from monoseme.studies._steering.tables import Found
from monoseme.studies._steering.writing import Ear, Way, Writer
from monoseme.studies._workbench import Subject, Workbench


class TrialSettings(NamedTuple):
    """What is written, and what is read before; see `Steering.Config`."""

    sweep: Sweep
    n_tokens: int
    temperature: float
    top_p: float
    batch_size: int
    n_excerpts: int
    n_partners: int
    least_correlation: float
    facts_tokens: int


class Trial:
    """Steers the latents of SAEs, one after the other."""

    def __init__(self, bench: Workbench, settings: TrialSettings, prompts: Sequence[Sequence[int]]) -> None:
        self._bench, self._settings = bench, settings
        self._writer = Writer(
            model=bench.model,
            prompts=prompts,
            n_tokens=settings.n_tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=derive_seed(settings.sweep.seed, "steering", "texts"),
            batch_size=settings.batch_size,
        )

    def found(self, subject: Subject, latents: Sequence[SteeredLatent], held: LatentsOfAtlas, folder: Path) -> list[Found]:
        """What steering each latent gave; texts are kept in `folder`. Raises ArtifactDamagedError, DiskFullError."""
        files = {each.latent: folder / file_name_of(subject) / f"{each.latent}.json" for each in latents if each.concept.tokens}
        missing = [each for each in latents if each.latent in files and not files[each.latent].is_file()]
        if missing:
            facts = self._facts(subject, [each.latent for each in missing])
            unsteered = self._writer.write(Way())
            with get_display().progress(f"steering with {subject.name}", total=len(missing), unit="latents") as progress:
                for each in missing:
                    excerpt = held.excerpt(each.latent, self._settings.n_excerpts)
                    write_steered(files[each.latent], self._steered(subject, each, excerpt, facts, unsteered))
                    progress.advance(1)
        return [Found(subject.name, each, read_steered(files[each.latent]) if each.latent in files else None) for each in latents]

    def _facts(self, subject: Subject, latents: Sequence[int]) -> SiteFacts:
        settings = self._settings
        others = [s for s in self._bench.subjects if s.name != subject.name and s.sites == subject.sites]
        return read_facts(
            self._bench,
            subject,
            latents,
            others,
            max_tokens=settings.facts_tokens,
            most_partners=settings.n_partners,
            least_correlation=settings.least_correlation,
        )

    def _steered(
        self, subject: Subject, about: SteeredLatent, excerpt: Sequence[int], facts: SiteFacts, unsteered: Sequence[Generation]
    ) -> Steered:
        latent_facts = LatentFacts(about.maximum, facts.mean_norm)
        material = Material(subject.placed, about.latent, latent_facts, facts.differences[about.latent], excerpt)
        arms, left_out = arms_of(material, self._settings.sweep)
        ear, partners = self._ear(about.latent, facts)
        concept = frozenset(about.concept.tokens)
        measured = {
            arm.name: [
                (strength, self._writer.measure(self._writer.write(way), way, concept=concept, ear=ear))
                for strength, way in ((strength, arm.way(strength)) for strength in arm.strengths)
            ]
            for arm in arms
        }
        return Steered(
            shares=(about.concept.share, None if partners is None else partners.density),
            unsteered=self._writer.measure(unsteered, Way(), concept=concept, ear=ear),
            arms=measured,
            left_out=left_out,
        )

    def _ear(self, latent: int, facts: SiteFacts) -> tuple[Ear | None, Partners | None]:
        """The other SAE whose latents go best with this one."""
        there = {name: of_latent[latent] for name, of_latent in facts.partners.items() if latent in of_latent}
        if not there:
            return None, None
        name = max(there, key=lambda name: there[name].correlations[0])
        subject = next(s for s in self._bench.subjects if s.name == name)
        return Ear(subject, there[name].latents), there[name]


def file_name_of(subject: Subject) -> str:
    """What names the SAE's files."""
    return file_names([subject.name])[subject.name]
