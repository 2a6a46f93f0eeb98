"""RAVEL: can one attribute of an entity be carried over by latents, and the others be left?

Two prompts about different entities: of the codes at the entity's last token, a mask of latents is taken from the source and put
into the base. A prompt about the attribute should then have the source's answer (cause), one about another attribute the base's
(isolation).

Source: Huang et al. 2024 (RAVEL), arXiv:2402.17700; Karvonen et al. 2025 (SAEBench), arXiv:2503.09532. Differs: what the SAE does
not explain stays in place (SAEBench leaves it out; both are given); no entity is on both sides; controls and intervals.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.core.seeds import derive_seed
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._kept_files import read_replicates, write_replicates
from monoseme.studies._ravel.measure import WHOLE, Scored, Testing, masks_of, of_sae, of_vectors
from monoseme.studies._ravel.patching import MaskSchedule, Patcher
from monoseme.studies._ravel.questions import Known, Question, known_questions, read_known, read_questions, write_known
from monoseme.studies._ravel.swaps import Swap, draw_swaps, split_entities
from monoseme.studies._ravel.tables import figure_of, known_rows, metrics_of, rows_of_scores, saebench_files
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig, Subject, Workbench
from monoseme.tensors.shapes import Tensor

_TEXT = """\
{n_known:,} of {n_asked:,} questions the model answers rightly; only these are used, and every number is about what it knows.
Attributes: {attributes}. Of the codes at the last token of the entity, a mask of latents, trained for each attribute, is carried
over from a source to a base, on entities that were not trained on.

- *cause*: the base asks for the attribute, and the model gives the source's answer. *isolation*: the base asks for another
  attribute, and the model still gives the base's. *disentanglement*: the mean of both; carrying nothing over has about 0.5.
- *_as_saebench*: masks trained and tested without the error term, so that all that the SAE does not explain is lost.
- *{whole}*: all that is at the entity, without an SAE: how much of the attribute is there at all. *random latents*: as many as
  the mask has.

Intervals are of 95 %, over entities.{left_out}
"""


class Ravel(Study):
    """Whether latents carry over one attribute of an entity and leave the others."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """The SAEs, the questions, and how masks are trained."""

        questions: str = ""
        """A table of questions (jsonl, csv, parquet or hub id) with the columns template, entity, attribute, answer; or with
        `kind`, a folder of RAVEL's own files."""
        kind: str | None = None
        """Which of RAVEL's own files: city, nobel_prize_winner, occupation, physical_object, verb. None: a table."""
        split: str = "train"
        """Of a hub dataset."""
        attributes: tuple[str, ...] = ()
        """Attributes to carry over. None: all."""
        n_questions: int = 4000
        """Questions that the model is asked, at most (count)."""
        n_train: int = 4000
        """Swaps that a mask is trained on, half of them of other attributes (count)."""
        n_test: int = 1000
        """Swaps that it is tested on (count)."""
        test_fraction: float = 0.3
        """Share of the entities that masks are tested on (fraction)."""
        mask: MaskSchedule = field(default_factory=MaskSchedule)
        """How masks are trained."""
        max_new_tokens: int = 8
        """Tokens that the model goes on for (count); as RAVEL."""
        batch_size: int = 32
        """Prompts run at once (count)."""
        n_replicates: int = 200
        """Of the bootstrap over entities (count)."""
        seed: int = 0
        """Of the choice of questions, entities and swaps."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name, least in (("n_questions", 4), ("n_train", 2), ("n_test", 2), ("max_new_tokens", 1), ("batch_size", 1)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
            if not 0.0 < self.test_fraction < 1.0:
                raise ConfigError(f"test_fraction is {self.test_fraction}; it must be between 0 and 1")

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Asks the model, trains the masks and tests them. Raises UndefinedMetricError where the model knows too little."""
        config = self.config
        asked = self._asked()
        bench = Workbench(config, reads_text=False)
        several = {
            s.name: len(s.placed.inputs) for s in bench.subjects if s.placed.inputs != s.placed.outputs or len(s.sites) > 1
        }
        subjects = [s for s in bench.subjects if s.name not in several]
        if not subjects:
            raise ConfigError(f"no SAE is left: {', '.join(several)} read and write at several sites, and this study is of one")
        known = self._known(bench, asked, work / "known.json")
        found = self._measure(bench, subjects, known, asked, work)
        return StudyResult(
            title="Attributes of entities, carried over by latents",
            text=_TEXT.format(
                n_known=len(known),
                n_asked=len(asked),
                attributes=", ".join(dict.fromkeys(each.attribute for each in found)),
                whole=WHOLE,
                left_out="".join(f" {name} is left out: it is of several sites." for name in several),
            ),
            tables={"ravel": rows_of_scores(found), "known": known_rows(asked, known)},
            metrics=metrics_of(found),
            figures=[figure_of(found)],
            files=saebench_files(found),
            inputs=bench.inputs(),
            seeds={"seed": config.seed},
        )

    def _asked(self) -> list[Question]:
        config = self.config
        if not config.questions:
            raise ConfigError("ravel needs questions about entities.\n  Name a table, or RAVEL's folder, with --questions")
        found = read_questions(config.questions, kind=config.kind, split=config.split)
        there = {each.attribute for each in found}
        if missing := [name for name in config.attributes if name not in there]:
            raise ConfigError(f"no question is about {', '.join(missing)}.\n  Attributes there: {', '.join(sorted(there))}")
        order = np.random.default_rng(derive_seed(config.seed, "questions")).permutation(len(found))[: config.n_questions]
        return [found[i] for i in sorted(order)]

    def _known(self, bench: Workbench, asked: Sequence[Question], file: Path) -> list[Known]:
        config = self.config
        if not file.is_file():
            model = bench.model
            write_known(file, known_questions(model, asked, max_new_tokens=config.max_new_tokens, batch_size=config.batch_size))
        return read_known(file)

    def _masks(self, patcher: Patcher, attribute: str, swaps: Sequence[Swap], work: Path) -> dict[str, Tensor]:
        file = work / "masks" / (re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{patcher.subject.name}.{attribute}") + ".safetensors")
        if not file.is_file():
            write_replicates(file, masks_of(patcher, swaps, self.config.mask))
        return read_replicates(file)

    def _measure(
        self, bench: Workbench, subjects: Sequence[Subject], known: Sequence[Known], asked: Sequence[Question], work: Path
    ) -> list[Scored]:
        config = self.config
        train, test = split_entities(known, test_fraction=config.test_fraction, seed=config.seed) if known else ([], [])
        how = Testing(config.max_new_tokens, config.batch_size, config.n_replicates, config.seed)
        patchers = [Patcher(bench.model, subject) for subject in subjects]
        made: list[Scored] = []
        for name in config.attributes or sorted({each.attribute for each in asked}):
            learned = draw_swaps(train, name, n=config.n_train, seed=config.seed)
            tested = draw_swaps(test, name, n=config.n_test, seed=config.seed + 1)
            if not all({swap.is_cause for swap in side} == {True, False} for side in (learned, tested)):
                get_display().say(f"{name} is left out: the model knows too little of it and of other attributes")
                continue
            made += of_vectors(patchers[0], name, tested, how)
            for patcher in patchers:
                made += of_sae(patcher, self._masks(patcher, name, learned, work), name, tested, how)
        if not made:
            raise UndefinedMetricError(
                f"of {len(asked):,} questions the model answers {len(known):,} rightly: too few to carry any attribute over.\n"
                "  Take a model that knows more, or other --questions"
            )
        return made
