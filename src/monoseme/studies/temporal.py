"""How codes change over time: SAEs and their parts compared by smoothness, memory, and what each part explains by itself.

All codes are measured on one pass over the same held-out documents, so that differences have paired intervals.

Source: T-SAE, arXiv:2511.05541 (smoothness, high against low group); "Priors in Time", arXiv:2511.01836 (predicted against
novel). Differs: nothing crosses a document's border; every difference has an interval over documents; there are measures that do
not depend on how often latents fire.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from monoseme.evaluation.smoothness import Smoothness
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._temporal.figures import (
    autocorrelation_curves,
    density_lines,
    density_rows,
    difference_dots,
    metric_dots,
    smoothness_against_fvu,
)
from monoseme.studies._temporal.findings import findings_of
from monoseme.studies._temporal.measure import OverTime, measure
from monoseme.studies._temporal.tables import (
    curve_rows,
    difference_rows,
    interval_rows,
    latent_rows,
    overview_rows,
    require_baseline,
)
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig, with_parts_there

_EVERY_PART = ("all", "high", "low", "predicted", "novel")
_TEXT = """\
{n_codes} codes on the same {n_tokens:,} tokens of {n_documents:,} documents, followed token by token within each document.

- *tv_relative*: total variation as a share of the activation; 0 where nothing changes, 2 where neighbours share no latent. A
  latent that fires often has less by chance alone.
- *tv_to_shuffled*: total variation against what it would be with the tokens in random order; 1 where order does not matter.
- *autocorrelation_1*, *_32*: of the code over 1 and 32 tokens, about its mean over all text; 0 is noise.
- *sequence_l0_relative*: latents that fire within 32 tokens / the L0 of a token; 1 where all 32 share them.
- *fvu_alone*: variance unexplained by what this part of the code gives back by itself.

Intervals are of 95 %, over documents; differences are paired: both codes on the same documents in every replicate.
"""


class Temporal(Study):
    """How smoothly codes change over time: SAEs, groups, predicted and novel codes compared."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """The SAEs, what they are compared with, and how much text."""

        part: tuple[str, ...] = _EVERY_PART
        """Parts of their codes, each compared by itself: all, high, low, predicted, novel, or the number of a group. An SAE that
        lacks a part is left out of that part only; by default, parts that none has are left out too."""
        baseline: str | None = None
        """What the others are compared with: an SAE (part by part), or one code as the tables name it, such as
        "matryoshka (high)". None: the first SAE."""
        max_tokens: int = 32_768
        """Tokens of the text that are read (count)."""
        n_lags: int = 65
        """Lags of the autocorrelation, from 0 (count)."""
        as_tsae: bool = True
        """Also T-SAE's own numbers, of whole contexts across documents."""
        batch_contexts: int = 16
        """Contexts handled at once (count)."""
        n_replicates: int = 200
        """Replicates of the bootstrap over documents (count)."""
        seed: int = 0
        """Of the bootstrap."""

        def __post_init__(self) -> None:
            super().__post_init__()
            _ = self.smoothness()  # raises for what it does not allow

        def smoothness(self) -> Smoothness.Config:
            """How each code is measured."""
            return Smoothness.Config(
                max_tokens=self.max_tokens,
                batch_contexts=self.batch_contexts,
                n_replicates=self.n_replicates,
                seed=self.seed,
                as_tsae=self.as_tsae,
                n_lags=self.n_lags,
            )

    config: Config
    short_flags: ClassVar[Mapping[str, str]] = {**SHORT_FLAGS, "--tokens": "--max_tokens"}

    def investigate(self, work: Path) -> StudyResult:
        """Measures what `work` does not have yet, and compares. Raises ConfigError for an unknown part or baseline."""
        config = self.config
        bench = with_parts_there(config, _EVERY_PART)
        require_baseline(bench.subjects, config.baseline)  # before minutes are spent
        found = measure(bench.subjects, bench.eval_subjects(), config.smoothness(), work)
        differences, curves, densities = difference_rows(found, config.baseline), curve_rows(found), density_rows(found)
        figures = (
            metric_dots(found),
            difference_dots(differences),
            autocorrelation_curves(curves),
            smoothness_against_fvu(found),
            density_lines(densities),
        )
        return StudyResult(
            title="Codes over time",
            text=_text(found),
            tables={
                "overview": overview_rows(found),
                "differences": differences,
                "intervals": interval_rows(found),
                "autocorrelation": curves,
                "densities": densities,
                "latents": latent_rows(found),
            },
            metrics={each.subject.name: list(each.metrics.values()) for each in found},
            figures=[figure for figure in figures if figure is not None],
            findings=findings_of(found),
            inputs=bench.inputs(),
            seeds={"bootstrap": config.seed},
        )


def _text(found: list[OverTime]) -> str:
    n_documents = max(metric.n_documents for each in found for metric in each.metrics.values())
    return _TEXT.format(n_codes=len(found), n_tokens=found[0].n_tokens, n_documents=n_documents)
