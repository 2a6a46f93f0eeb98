"""Spurious correlation removal: can a cue that a biased probe leans on be ablated, so that it tells what it was meant to tell?

A probe is trained where two attributes of a text always go together, and asked for one of them where they do not. The latents of
the other attribute, which a probe for it names, are ablated; the score is the share of the lost accuracy that comes back.

Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532, after Marks et al. 2024 (SHIFT), arXiv:2403.19647. Differs: probes are
chosen by held-back texts, not by the test; a cue that cost nothing gives no score, not 0; a tie of the directions gives their
mean; any two labels of any text; intervals and controls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monoseme.core.display import get_display
from monoseme.reports.plain_tables import markdown_text
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._labelled.bench import LabelledBench
from monoseme.studies._perturbation.config import FEW, PerturbationConfig
from monoseme.studies._perturbation.figures import curves
from monoseme.studies._perturbation.rivals import Rivals
from monoseme.studies._perturbation.saebench import saebench_files
from monoseme.studies._scr.measure import OfPair, measure
from monoseme.studies._scr.pairs import pairs_of
from monoseme.studies._scr.tables import (
    all_latent_rows,
    all_probe_rows,
    finding_of,
    metrics_of,
    overall,
    pair_rows,
    points_of,
    saebench_metrics,
)
from monoseme.studies._workbench import OF_RUN, SHORT_FLAGS

_SHOWN = ("subject", "n_latents", "scr", "scr_low", "scr_high", "scr_as_saebench", "n_pairs")
_SHOWN_PROBES = ("dataset", "probe", "accuracy", "accuracy_biased", "accuracy_as_saebench", "n_test", "asked", "scr_of_direction")
_TEXT = """\
{pairs}. Three linear probes read the mean of a text's activations: one for each label, of texts where the other label tells
nothing, and a biased one that knows only texts where both go together. Asked for one label on texts of all four combinations,
the biased probe goes wrong where the other disagrees. The latents of that other label, those with the largest difference of means
times what they add to its probe's logit, are ablated, with the SAE's error left as it is.

- *scr*: (accuracy then - accuracy before) / (accuracy of the label's own probe - accuracy before); 1 is all of it won back,
  below 0 is worse than before. Of the two labels that may be asked for, the one that the biased probe was worse at.
- *scr_as_saebench*: with the epoch of each probe chosen on the test side, and 0 where the cue cost nothing.
- *random latents of the SAEs*: as many that fire; *random dictionary*: directions that learned nothing, with their strongest
  latents. *scr_of_direction* (table of probes): the other label's whole probe direction taken out.

Intervals are of 95 %, over the sources of the test side.{left_out}
"""


class SCR(Study):
    """Spurious correlation removal: how well ablated latents take a cue out of a biased probe."""

    @dataclass(frozen=True, kw_only=True)
    class Config(PerturbationConfig):
        """The SAEs, texts with two labels, the probes, and how many latents are ablated."""

        pairs: tuple[str, ...] = ()
        """Pairs of classes of the first label, such as girl/boy. None: its two commonest. Of the second label it is always
        the two commonest."""

        @property
        def names(self) -> tuple[str, ...]:
            """The data sets; by default the bundled one that has a second label."""
            return super().names if self.dataset or self.corpus.source != OF_RUN else ("bundled:hero",)

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Pools what `work` does not have yet, trains the probes, and takes the cues away. Raises what `pairs_of` raises."""
        config = self.config
        bench = LabelledBench(config, work)
        rivals = Rivals(bench, seed=config.seed)
        found = self._measure(bench, rivals)
        made = overall(found)
        figure = curves(
            "scr",
            points_of(made),
            title="What of a biased probe's lost accuracy comes back",
            caption="1: as accurate as a probe that never saw the spurious cue; 0: nothing won; below 0: harm. Bars are 95 % "
            "intervals over the sources of the test side. Of each pair, the label that the biased probe was worse at before is "
            "asked for; the table of pairs has both.",
        )
        return StudyResult(
            title="Spurious correlation removal",
            text=_text(found, rivals),
            tables={
                "scr": [one.row for one in made],
                "probes": all_probe_rows(found),
                "pairs": pair_rows(found),
                "latents": all_latent_rows(found),
            },
            shown={"scr": _SHOWN, "probes": _SHOWN_PROBES, "pairs": (), "latents": ()},
            metrics=metrics_of(made, found),
            figures=[] if figure is None else [figure],
            findings=[finding_of([one for one in made if one.n <= FEW] or made)],
            files=saebench_files("scr", saebench_metrics(made, found), config),
            inputs=bench.workbench.inputs(),
            seeds={"seed": config.seed},
        )

    def _measure(self, bench: LabelledBench, rivals: Rivals) -> list[OfPair]:
        made: list[OfPair] = []
        with get_display().progress("probes", total=len(bench.names), unit="data sets") as progress:
            for name in bench.names:
                pairs_of(bench.texts(name), self.config.pairs, seed=self.config.seed)  # refused before minutes are spent
                pooled = bench.pooled(name)
                for pair in pairs_of(pooled.texts, self.config.pairs, seed=self.config.seed):
                    for site in rivals.sites:
                        made.append(measure(pair, pooled, site, rivals.at(site, pooled), self.config))
                progress.advance()
        return made


def _text(found: Sequence[OfPair], rivals: Rivals) -> str:
    told = {p.pair.name: f"{p.pair.dataset}: {markdown_text(p.pair.name)}, {len(p.pair.rows):,} texts" for p in found}
    return _TEXT.format(pairs="; ".join(told.values()), left_out=rivals.told_left_out)
