"""One page for a list of SAEs, in ten minutes: the cheap measures with intervals, beside what learned nothing, with warnings.

It measures nothing by itself: it runs evaluations and other studies at small sizes, and says beside each number what it means
and what the same number is of a dictionary of random directions and of the principal components.

Source: the measures are those of SAEBench (Karvonen et al. 2025, arXiv:2503.09532), as the studies and evaluations of this
package define them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monoseme.core.config import suggest
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, DiskFullError, Interrupted, UndefinedMetricError
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._card.bench import CardBench, text_of
from monoseme.studies._card.lines import Filled, Line, lines_of, read_filled, write_filled
from monoseme.studies._card.measures import MEASURES
from monoseme.studies._card.page import card_rows, columns_of, dots, meaning_rows
from monoseme.studies._card.warnings import JUDGED, warnings_of
from monoseme.studies._survivors import note_error
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig

_TEXT = """\
{saes}, on {text}, measured in small: enough to see what is wrong, not to rank what is close. ↑ and ↓ say which way is better;
± is half a 95 % interval. The last columns are controls: a dictionary of random directions, and the principal components, of
the median L0 of the SAEs at a site. Hold an SAE against those of its own L0 only. A dash: not measured of this one.

{warnings}
"""


class Card(Study):
    """A page that says what an SAE is worth: cheap measures with intervals, controls and warnings."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """Which SAEs, which measures, and how much of each."""

        measure: tuple[str, ...] = tuple(MEASURES)
        """Measures, in this order."""
        n_tokens: int = 60_000
        """Tokens that fidelity and smoothness are measured on, at most (count)."""
        n_loss_tokens: int = 15_000
        """Tokens that the spliced model runs on, at most (count)."""
        dataset: tuple[str, ...] = ("bundled:kind",)
        """Labelled texts that probes are trained on, known by name: bundled:kind, bundled:hero, or those of SAEBench."""
        n_texts: int = 600
        """Training texts of a probe, half of them of its class (count)."""
        words: str | None = None
        """Text file with a word a line, whose first letters are asked where the model can spell. None: words of the model's
        vocabulary."""
        n_words: int = 4000
        """Of these words, at most (count)."""
        n_replicates: int = 200
        """Replicates of the bootstraps that intervals come from (count)."""
        seed: int = 0
        """Of bootstraps, controls, splits and probes."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in self.measure:
                if name not in MEASURES:
                    raise ConfigError(
                        f'a card has no measure "{name}".{suggest(name, MEASURES)}\n  Allowed: {", ".join(MEASURES)}'
                    )
            for name, least in (("n_tokens", 1), ("n_loss_tokens", 1), ("n_words", 50), ("n_texts", 8), ("n_replicates", 20)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Measure by measure; one that fails costs its lines and leaves a sentence. Raises UndefinedMetricError if all fail."""
        card = CardBench(self.config, work)
        filled: dict[str, Filled] = {}
        failed: list[str] = []
        with get_display().progress("card", total=len(self.config.measure), unit="measures") as progress:
            for name in self.config.measure:
                found = self._filled(card, name)
                if isinstance(found, Filled):
                    filled[name] = found
                else:
                    failed.append(f"{name.replace('_', ' ')} could not be measured: {found}")
                progress.advance(1)
        return _result(card, filled, failed)

    def _filled(self, card: CardBench, name: str) -> Filled | str:
        """What a measure found, or why it found nothing. What failed is tried again by a resume."""
        file = card.work / "lines" / f"{name}.json"
        if not file.is_file():
            try:
                write_filled(file, MEASURES[name].fill(card))
            except (Interrupted, DiskFullError):
                raise
            except Exception as error:  # noqa: BLE001 - a measure may fail in any way; the others are worth a card without it
                return note_error(card.work, name, error)
        return read_filled(file)


def _result(card: CardBench, filled: Mapping[str, Filled], failed: Sequence[str]) -> StudyResult:
    lines: list[Line] = [line for name, each in filled.items() for line in lines_of(MEASURES[name].picks, each.metrics)]
    if not lines:
        raise UndefinedMetricError("nothing could be measured:\n" + "\n".join(f"  {why}" for why in failed))
    notes = [*failed, *(note for each in filled.values() for note in each.notes), *warnings_of(lines, card.names), JUDGED]
    shown = {line.key for line in lines}
    figure = dots(lines, card.names)
    return StudyResult(
        title=f"Card of {', '.join(card.names)}",
        text=_TEXT.format(
            saes=", ".join(card.names),
            text=text_of(card.workbench),
            warnings="\n".join(f"- {note}" for note in notes),
        ),
        tables={"card": card_rows(lines, card.names), "what_the_lines_say": meaning_rows(lines)},
        metrics={
            name: [m for each in filled.values() for m in each.metrics.get(name, ()) if m.name in shown]
            for name in columns_of(lines, card.names)
        },
        figures=[] if figure is None else [figure],
        files={name: text.encode() for each in filled.values() for name, text in each.files.items()},
        inputs=card.workbench.inputs(),
        seeds={"seed": card.config.seed},
    )
