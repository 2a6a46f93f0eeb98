"""What studies of trained SAEs begin with: the SAEs that flags name, their parts, the model, and text that none learned from."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch

from monoseme.activations import ActivationSource, Contexts
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.evaluation import Chunk, EvalSubject, chunks
from monoseme.models import LanguageModel, ModelConfig, Site
from monoseme.pipeline import (
    Materials,
    NamedSae,
    different_text,
    find_saes,
    parted,
    settings_for,
)
from monoseme.saes import SAE, Codes, part_of
from monoseme.splice import Placed
from monoseme.studies._base import Study
from monoseme.tensors.sparse import SparseCodes
from monoseme.text import CorpusConfig

OF_RUN = "run"
"""As a model or a corpus: the one of the SAEs' run."""
SHORT_FLAGS: Mapping[str, str] = {"--model": "--model.model", "--corpus": "--corpus.source"}


@dataclass(frozen=True, kw_only=True)
class SaeStudyConfig(Study.Config):
    """Which SAEs, on which model and text."""

    sae: tuple[str, ...] = ()
    """SAEs to compare: runs, RUN/saes/NAME, checkpoints RUN@STEP, and patterns of these such as "runs/seed*"."""
    part: tuple[str, ...] = ("all",)
    """Parts of their codes, each compared by itself: all, high, low, predicted, novel, or the number of a group. An SAE that
    lacks a part is left out of that part only."""
    model: ModelConfig = field(default_factory=lambda: ModelConfig(model=OF_RUN))
    """The language model; "run": that of the SAEs' run."""
    corpus: CorpusConfig = field(default_factory=lambda: CorpusConfig(source=OF_RUN))
    """The text; "run": the documents that the SAEs' run held out."""

    def __post_init__(self) -> None:
        if self.corpus.source == OF_RUN and self.corpus != CorpusConfig(source=OF_RUN):
            raise ConfigError(
                'corpus.source is "run", so the other settings of corpus have no effect.\n  Name a text, or leave them out.'
            )


class Subject(NamedTuple):
    """One part of the code of one SAE."""

    name: str
    """`tsae`, or `tsae (high)` for a part."""
    sae_name: str
    """Without the part."""
    sae: SAE
    sites: tuple[Site, ...]
    part: str | None
    """As `Codes.part` takes it; None is the whole code."""
    word: str
    """The part as the user wrote it."""

    @property
    def placed(self) -> Placed:
        """The SAE in its places."""
        return Placed(self.sae, self.sites)


class Coded(NamedTuple):
    """Some contexts, their activations, and what each subject makes of them."""

    chunk: Chunk
    codes: Mapping[str, SparseCodes]
    """Subject -> codes [T, F] of the T unmasked tokens row by row, or [T, L, F] where each site has its own."""


class Workbench:
    """The subjects of a study, the model and the text."""

    def __init__(self, config: SaeStudyConfig, *, model: LanguageModel | None = None, reads_text: bool = True) -> None:
        """Opens the SAEs and their settings; model and text are loaded when first asked for. Not `reads_text`: the study has
        texts of its own, so that SAEs outside of a run need none.

        Raises what `find_saes` raises, and ConfigError for a part that no SAE has or SAEs of different models.
        """
        self.config = config
        found = find_saes(config.sae)
        self.found = found
        corpus = config.corpus if reads_text or config.corpus.source != OF_RUN else None
        self.settings = settings_for(found, model=config.model, corpus=corpus)
        self.subjects = _subjects(config.part, [sae.named for sae in found])
        self.sites = tuple(dict.fromkeys(site for sae in found for site in sae.named.sites))
        self._given = model
        if config.corpus.source == OF_RUN and (others := different_text(found)):
            get_display().warn(
                f"{', '.join(others)} learned from other text, or held out other documents, than {found[0].named.name}"
            )

    @functools.cached_property
    def materials(self) -> Materials:
        """The model, the text, and sources of activations at all sites of all SAEs."""
        made = Materials(self.settings, model=self._given, sites=self.sites)
        for sae in self.found:
            sae.named.sae.to(made.sae_device)
        return made

    @property
    def model(self) -> LanguageModel:
        """The language model."""
        return self.materials.model

    @functools.cached_property
    def source(self) -> ActivationSource:
        """Activations of the study's text: held out by the run, or all of a text that the user named."""
        if self.config.corpus.source == OF_RUN:
            return self.materials.held_out
        return self.of_contexts(self.materials.text.contexts("all"))

    def of_contexts(self, contexts: Contexts) -> ActivationSource:
        """Activations of any contexts at all sites of all SAEs."""
        return self.materials.as_in_training(contexts)

    def eval_subjects(self, *, parts: bool = True) -> list[EvalSubject]:
        """For evaluations, all on one source: each subject, or with `parts=False` each SAE once as a whole."""
        wanted = self.subjects if parts else _subjects(("all",), [sae.named for sae in self.found])
        return [
            EvalSubject(
                name=subject.name,
                sae=subject.sae,
                sites=subject.sites,
                source=self.source,
                model=self.materials.spliced_model(subject.sites),
                part=subject.part,
                domain_of=self.materials.domain_of,
            )
            for subject in wanted
        ]

    @torch.no_grad()
    def coded(self, source: ActivationSource, *, n_contexts: int = 16, max_tokens: int | None = None) -> Iterator[Coded]:
        """Chunks of a source with the codes of every subject; each SAE encodes once, whatever parts are asked of it."""
        _ = self.materials
        for chunk in chunks(source, self.sites, n_contexts=n_contexts, max_tokens=max_tokens):
            if bool(chunk.text.mask.any()):
                made: dict[str, Codes] = {}
                for subject in self.subjects:
                    if subject.sae_name not in made:
                        made[subject.sae_name] = subject.placed.encode(chunk.activations, chunk.text.mask)
                yield Coded(chunk, {s.name: made[s.sae_name].sparse(s.part) for s in self.subjects})

    def inputs(self) -> dict[str, str]:
        """Content hashes of the SAEs and of the model, for the report."""
        saes = {f"sae/{s.named.name}": s.named.content_hash for s in self.found if s.named.content_hash is not None}
        return saes | self.materials.model_hashes()


def with_parts_there(config: SaeStudyConfig, default: Sequence[str]) -> Workbench:
    """A workbench with the parts that the user named, or with those of the `default` ones that any of the SAEs has."""
    if config.part != tuple(default):
        return Workbench(config)
    whole = Workbench(replace(config, part=("all",)))
    there = tuple(word for word in default if any(part_of(s.sae.parts, word) is not None for s in whole.subjects))
    return whole if there == ("all",) else Workbench(replace(config, part=there))


def _subjects(words: Sequence[str], saes: Sequence[NamedSae]) -> list[Subject]:
    return [
        Subject(each.name, each.named.name, each.named.sae, each.named.sites, each.part, each.word)
        for each in parted(saes, words)
    ]
