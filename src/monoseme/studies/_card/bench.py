"""What the measures of a card share: the settings, the SAEs, the controls beside them."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from monoseme.evaluation import EvalSubject
from monoseme.pipeline import has_given_saes, run_of
from monoseme.studies._card.controls import controls_of
from monoseme.studies._workbench import OF_RUN, Subject, Workbench

if TYPE_CHECKING:
    from monoseme.studies.card import Card


class CardBench:
    """The SAEs of a card, opened once."""

    def __init__(self, config: "Card.Config", work: Path) -> None:
        """Raises what `Workbench` raises."""
        self.config, self.work = config, work
        self.workbench = Workbench(config)

    @property
    def names(self) -> list[str]:
        """The SAEs, in the order of the card's columns."""
        return [subject.name for subject in self.workbench.subjects]

    @functools.cached_property
    def controls(self) -> list[Subject]:
        """Dictionaries that learned nothing, and PCA."""
        return controls_of(self.workbench, seed=self.config.seed)

    def eval_subjects(self) -> list[EvalSubject]:
        """The SAEs, then the controls, all on the study's text."""
        bench = self.workbench
        of_controls = [
            EvalSubject(
                name=control.name,
                sae=control.sae,
                sites=control.sites,
                source=bench.source,
                model=bench.materials.spliced_model(control.sites),
                domain_of=bench.materials.domain_of,
            )
            for control in self.controls
        ]
        return bench.eval_subjects() + of_controls


def text_of(bench: Workbench) -> str:
    """What the SAEs are measured on, in words: documents are held out of a training only where a run trained the SAE."""
    if bench.config.corpus.source != OF_RUN:
        return bench.config.corpus.source
    given = [s.named.name for s in bench.found if s.run is None or has_given_saes(run_of(s.path).record())]
    if not given:
        return "documents that their run held out"
    whose = next(sae.named.name for sae in bench.found if sae.run is not None)
    text = f"documents of {bench.settings.corpus.source} that the run of {whose} set apart"
    return f"{text} (what {', '.join(given)} learned from is not known to this card)"
