"""How often a latent that should be on for a letter leaves a word to another latent, by both definitions, beside controls.

By ablation (Chanin et al. 2024, arXiv:2409.14507) and by projection (SAEBench, arXiv:2503.09532), on words of any model that has
letters as tokens. The rules are in `evaluation/_absorption_*.py`; words, probes and sparse probes are those of the study
`k_sparse_probing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from monoseme.attribution.integrated import Path as Way
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import read_json, write_json
from monoseme.evaluation import DocumentWeights
from monoseme.evaluation._absorption_by_ablation import AblationRule
from monoseme.evaluation._absorption_by_projection import ProjectionRule
from monoseme.evaluation._absorption_rates import LEAST_LETTERS, LEAST_PROBE_F1
from monoseme.reports.figures import Figure
from monoseme.studies._absorption.ablate import Ablations
from monoseme.studies._absorption.dictionaries import Entry, dictionary_of, entries_of
from monoseme.studies._absorption.figures import letter_map, rates_by_dictionary, rates_over
from monoseme.studies._absorption.findings import Measured, differences, findings_of
from monoseme.studies._absorption.judged import Judged, JudgeSettings, judge
from monoseme.studies._absorption.letters import Words
from monoseme.studies._absorption.rates import BY_ABLATION, MEASURES, Trust, rates_of
from monoseme.studies._absorption.saebench import saebench_files
from monoseme.studies._absorption.tables import metrics_of, sae_row
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._first_letter.bench import FirstLetterBench
from monoseme.studies._first_letter.config import FirstLetterConfig
from monoseme.studies._kept_files import reading
from monoseme.studies._workbench import SHORT_FLAGS

_SHOWN = (
    "subject", "width", "l0", "k_sparse_f1", "absorption_rate", "absorption_rate_low", "absorption_rate_high",
    "full_absorption", "absorption_fraction", "partial_absorption", "mean_main_latents", "n_letters",
)  # fmt: skip
_TEXT = """\
Absorption of letters in {n_saes} SAEs of {model}. {n_words:,} words ({n_test:,} for the test), {n_classes} letters; the model
gives the right answer to {accuracy:.1%} of the prompts. {ablation}

- *main latents* of a letter: those of a sparse probe, taken as long as each adds more than {jump:g} to its F1. **Where their F1
  is low, a rate says nothing**: they are then not the letter's latents.
- *absorption rate* (by ablation, Chanin et al.): of the words that the letter's probe rightly finds, the share that the main
  latents miss, while one other latent, along the probe, clearly does most for the answer.
- *full absorption* (by projection, SAEBench): the main latents are silent, and one other latent makes at least
  {share:.0%} of the activation's projection on the probe. *Absorption fraction*: what absorbers make of what they and the main
  latents make together. *Partial*: the main latents still add something.
- Means are over letters whose probe has an F1 above {least_f1:g}, each counting alike; intervals are of 95 %, over words. An
  interval from 0 to 0 means that none of the words drawn is absorbed.
- *random* and *PCA*: dictionaries of the same size that learned nothing, on the same activations.
{left_out}"""


class Absorption(Study):
    """How often a letter's latents leave a word to another latent, by ablation and by projection."""

    @dataclass(frozen=True, kw_only=True)
    class Config(FirstLetterConfig):
        """The SAEs, the words, and the rules."""

        ks: tuple[int, ...] = tuple(range(1, 11))
        """Latents of sparse probes (counts); a letter has at most as many main latents. SAEBench's."""
        measures: Literal["both", "ablation", "projection"] = "both"
        """By which definitions. Projection needs no gradient and no answer of the model."""
        by_ablation: AblationRule = field(default_factory=AblationRule)
        """Rules of the original definition."""
        by_projection: ProjectionRule = field(default_factory=ProjectionRule)
        """Rules of SAEBench's definition."""
        unit_rows: bool = False
        """Take decoder rows for vectors of length 1, as SAEBench does whatever they are."""
        path: Way = field(default_factory=lambda: Way(n_steps=6, rule="left"))
        """Steps of the integrated gradients; the original's."""
        most_words: int = 200
        """Candidates of a letter that are ablated, at most (count)."""
        partial: bool = True
        """Also ablate candidates whose main latents still fire, for partial absorption by ablation."""
        least_accuracy: float = 0.3
        """Where the model gives the right answer to fewer of the prompts, no latent is ablated: there is no answer to hurt
        (fraction)."""
        least_f1: float = LEAST_PROBE_F1
        """A letter counts where its probe's F1 is above this."""
        least_letters: int = LEAST_LETTERS
        """With fewer letters that count there is no mean (count)."""
        controls: bool = True
        """Measure random and PCA dictionaries of the same size too."""
        n_replicates: int = 200
        """Drawings of words that intervals come from (count)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name, least in (("most_words", 1), ("least_letters", 1), ("n_replicates", 20)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
            for name in ("least_accuracy", "least_f1"):
                if not 0 <= getattr(self, name) <= 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Judges every dictionary by itself; what was judged is kept."""
        config = self.config
        bench = FirstLetterBench(config, work)
        ablations = Ablations(bench, config.path) if _why_not_ablated(config, bench) is None else None
        entries = entries_of(bench, controls=config.controls, seed=config.seed)
        judged: list[Judged] = []
        with get_display().progress("absorption", total=len(entries), unit="dictionaries") as progress:
            for i, entry in enumerate(entries):
                judged.append(self._judged(bench, entry, ablations, work / "absorption" / str(i)))
                progress.advance()
        return self._result(bench, entries, judged)

    def _judged(self, bench: FirstLetterBench, entry: Entry, ablations: Ablations | None, work: Path) -> Judged:
        file = work / "judged.json"
        if not file.is_file():
            config = self.config
            settings = JudgeSettings(
                by_ablation=config.by_ablation,
                by_projection=config.by_projection,
                unit_rows=config.unit_rows,
                most_words=config.most_words,
                partial=config.partial,
                seed=config.seed,
            )
            dictionary = dictionary_of(bench, entry, work / "probes.json")
            ablate = None if ablations is None else ablations.of(entry, dictionary)
            write_json(file, judge(dictionary, _words(bench, entry), settings, ablate=ablate)._asdict())
        with reading(file):
            return Judged(**read_json(file))

    def _result(self, bench: FirstLetterBench, entries: Sequence[Entry], judged: Sequence[Judged]) -> StudyResult:
        config = self.config
        weights = DocumentWeights(n_replicates=config.n_replicates, seed=config.seed)
        trust = Trust(config.least_f1, config.least_letters)
        measures = [m for m in MEASURES if _is_measured(m, config, bench)]
        measured = [
            Measured(sae_row(entry, rates, measures), rates)
            for entry, rates in zip(entries, (rates_of(each, weights, trust, measures=measures) for each in judged), strict=True)
        ]
        measured.sort(key=_place)
        rows = [each.row for each in measured]
        letters = [{"subject": each.row["subject"]} | row for each in measured for row in each.rates.letters]
        return StudyResult(
            title="Feature absorption",
            text=_text(config, bench),
            tables={
                "absorption": rows,
                "differences": differences(measured),
                "letters": letters,
                "words": _named(entries, [each.words for each in judged]),
                "ablations": _named(entries, [each.ablations for each in judged]),
            },
            shown={"absorption": [name for name in _SHOWN if name in rows[0]]}
            | dict.fromkeys(("letters", "words", "ablations"), ()),
            metrics={each.row["subject"]: metrics_of(each, measures) for each in measured},
            figures=_figures(rows, letters),
            findings=findings_of(measured),
            files=saebench_files(measured, _as_saebench(config)),
            inputs=bench.bench.inputs(),
            seeds={"seed": config.seed, "split": config.split_seed},
        )


def _as_saebench(config: Absorption.Config) -> dict[str, object]:
    """The settings under the names that SAEBench has for them."""
    return {
        "model_name": config.model.model,
        "random_seed": config.split_seed,
        "f1_jump_threshold": config.f1_jump,
        "max_k_value": max(config.ks),
    }


def _words(bench: FirstLetterBench, entry: Entry) -> Words:
    return Words(
        tuple(bench.words),
        tuple(bench.labels),
        tuple(prompt.text for prompt in bench.prompts),
        bench.is_test,
        bench.activations(entry.site),
        bench.probe(entry.site),
        tuple(bench.probe_scores(entry.site)),
    )


def _why_not_ablated(config: Absorption.Config, bench: FirstLetterBench) -> str | None:
    if config.measures == "projection":
        return "No latent was ablated: the setting measures says so."
    if bench.accuracy < config.least_accuracy:
        return (
            f"**That is below {config.least_accuracy:.0%}: the model cannot do the task, so no latent was ablated**, and what "
            "follows says only how its words' letters lie in the codes."
        )
    return None


def _is_measured(measure: str, config: Absorption.Config, bench: FirstLetterBench) -> bool:
    if measure in BY_ABLATION:
        return _why_not_ablated(config, bench) is None and (measure == "absorption_rate" or config.partial)
    return config.measures != "ablation"


def _place(found: Measured) -> tuple[Any, ...]:
    """SAEs as they come, then controls by kind and size."""
    row = found.row
    return (True, row["architecture"], row["width"], row["l0"]) if row["is_control"] else (False,)


def _named(entries: Sequence[Entry], rows: Sequence[Sequence[Row]]) -> list[Row]:
    return [{"subject": entry.name} | row for entry, each in zip(entries, rows, strict=True) for row in each]


def _figures(rows: Sequence[Row], letters: Sequence[Row]) -> list[Figure]:
    made = [
        rates_by_dictionary(rows),
        rates_over(rows, "width"),
        rates_over(rows, "l0"),
        *(letter_map(letters, measure) for measure in ("k_sparse_f1", "absorption_rate", "absorption_fraction")),
    ]
    return [figure for figure in made if figure is not None]


def _text(config: Absorption.Config, bench: FirstLetterBench) -> str:
    steps = f"Ablations are estimated by integrated gradients ({config.path.n_steps} steps, {config.path.rule} rule)."
    left_out = [f"- **{name}** is left out: {why}." for name, why in bench.left_out.items()]
    few = [f"- Letters left out: {', '.join(f'{name} ({why})' for name, why in bench.chosen.left_out.items())}."]
    return _TEXT.format(
        n_saes=len({s.sae_name for s in bench.subjects}),
        model=bench.model.config.model,
        n_words=len(bench.words),
        n_test=int(bench.is_test.sum()),
        n_classes=len(bench.classes),
        accuracy=bench.accuracy,
        ablation=_why_not_ablated(config, bench) or steps,
        jump=config.f1_jump,
        share=config.by_projection.least_share,
        least_f1=config.least_f1,
        left_out="\n".join(left_out + (few if bench.chosen.left_out else [])),
    )
