"""Targeted probe perturbation: can a class be taken away from what probes see by ablating a few latents, and it alone?

For each class its probe names the latents that favour it; these are ablated, and the accuracy that this probe loses is held
against what the probes of the other classes lose.

Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532, section on TPP. Differs: probes are chosen by held-back texts, not by
the test; latents that speak against the class are never ablated; negatives are weighted, not drawn; intervals and controls.
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
from monoseme.studies._tpp.measure import OfDataset, measure
from monoseme.studies._tpp.tables import (
    all_latent_rows,
    all_probe_rows,
    class_rows,
    finding_of,
    metrics_of,
    overall,
    points_of,
    saebench_metrics,
)
from monoseme.studies._workbench import OF_RUN, SHORT_FLAGS

_SHOWN = ("subject", "n_latents", "tpp", "tpp_low", "tpp_high", "intended", "unintended", "tpp_as_saebench")
_SHOWN_PROBES = (
    "dataset",
    "probe",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "accuracy_as_saebench",
    "n_test",
    "tpp_of_direction",
)
_TEXT = """\
{datasets}. A linear probe for each class against the others reads the mean of a text's activations. Latents of a class: those
with the largest difference of means times what they add to the probe's logit, on the training side. They are ablated on the
test side, with the SAE's error left as it is.

- *tpp*: accuracy that the class's own probe loses, less the mean loss of the other probes; mean over classes and data sets.
  Accuracies count both sides of a probe alike, so that 0.5 is guessing, and no loss is above 0.5 for a probe that was right.
- *tpp_as_saebench*: with the epoch of each probe chosen on the test side, and latents that speak against the class ablated too
  once those that favour it are used up.
- *random latents of the SAEs*: as many that fire, drawn for each class; *random dictionary*: directions that learned nothing,
  with their strongest latents. *tpp_of_direction* (table of probes): the probe's whole direction taken out.

Intervals are of 95 %, over the sources of the test side.{left_out}
"""


class TPP(Study):
    """Targeted probe perturbation: whether ablated latents take one class away and leave the others."""

    @dataclass(frozen=True, kw_only=True)
    class Config(PerturbationConfig):
        """The SAEs, the labelled texts, the probes, and how many latents are ablated."""

        @property
        def names(self) -> tuple[str, ...]:
            """The data sets; by default the bundled one of three classes."""
            return super().names if self.dataset or self.corpus.source != OF_RUN else ("bundled:kind",)

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Pools what `work` does not have yet, trains the probes, and perturbs them. Raises ConfigError for two classes."""
        config = self.config
        bench = LabelledBench(config, work)
        rivals = Rivals(bench, seed=config.seed)
        found = self._measure(bench, rivals)
        made = overall(found)
        figure = curves(
            "tpp",
            points_of(made),
            title="What ablating the latents of one class does to probes",
            caption="Mean over classes and data sets. Good: the class itself loses much, the others nothing: TPP is high. "
            "Bars are 95 % intervals over the sources of the test side. Random latents and the random dictionary say what is "
            "there by chance.",
        )
        return StudyResult(
            title="Targeted probe perturbation",
            text=_text(found, rivals),
            tables={
                "tpp": [one.row for one in made],
                "probes": all_probe_rows(found),
                "classes": class_rows(found),
                "latents": all_latent_rows(found),
            },
            shown={"tpp": _SHOWN, "probes": _SHOWN_PROBES, "classes": (), "latents": ()},
            metrics=metrics_of(made, found),
            figures=[] if figure is None else [figure],
            findings=[finding_of([one for one in made if one.n <= FEW] or made)],
            files=saebench_files("tpp", saebench_metrics(found), config),
            inputs=bench.workbench.inputs(),
            seeds={"seed": config.seed},
        )

    def _measure(self, bench: LabelledBench, rivals: Rivals) -> list[OfDataset]:
        made: list[OfDataset] = []
        with get_display().progress("probes", total=len(bench.names), unit="data sets") as progress:
            for name in bench.names:
                pooled = bench.pooled(name)
                for site in rivals.sites:
                    made.append(measure(pooled, site, rivals.at(site, pooled), self.config))
                progress.advance()
        return made


def _text(found: Sequence[OfDataset], rivals: Rivals) -> str:
    told = {d.dataset: f"{d.dataset} ({len(d.classes)} classes: {', '.join(map(markdown_text, d.classes))})" for d in found}
    return _TEXT.format(datasets="; ".join(told.values()), left_out=rivals.told_left_out)
