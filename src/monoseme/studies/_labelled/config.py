"""The settings of studies on labelled texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError
from monoseme.studies._labelled.bundled_sets import BUNDLED_SETS
from monoseme.studies._labelled.groups import SAEBENCH_GROUPS
from monoseme.studies._workbench import OF_RUN, SaeStudyConfig

ALL_OF_SAEBENCH = "saebench"
_LEAST = {"n_train": 4, "n_test": 2, "text_tokens": 4, "least_per_class": 4, "pieces_per_text": 1}


class Sizes(NamedTuple):
    """Texts of a probe, half of them of its class (counts)."""

    n_train: int
    n_test: int

    @property
    def test_fraction(self) -> float:
        """Share of the texts that are for the test."""
        return self.n_test / (self.n_train + self.n_test)

    @property
    def per_class(self) -> int:
        """Texts of a class that probes can use."""
        return (self.n_train + self.n_test) // 2


_OF_SAEBENCH, _OF_BUNDLED = Sizes(4000, 1000), Sizes(1000, 500)


@dataclass(frozen=True, kw_only=True)
class LabelledConfig(SaeStudyConfig):
    """Which SAEs, on which labelled texts."""

    dataset: tuple[str, ...] = ()
    """Labelled texts known by name: bundled:kind, bundled:hero, those of SAEBench by their hub id (LabHC/bias_in_bios_class_set1,
    fancyzhx/ag_news, ...), or saebench for all eight of them. None: the text of --corpus with its --label, or without one both
    bundled ones."""
    label: str | None = None
    """Column of --corpus that holds the class of a text; any file with a column of text and one of labels will do."""
    second_label: str | None = None
    """Column of --corpus that holds a second label, for studies that tell two apart."""
    n_train: int | None = None
    """Training texts of a probe, half of them of its class (count). None: 4,000 as SAEBench; of the bundled texts 1,000."""
    n_test: int | None = None
    """Test texts of a probe, half of them of its class (count). None: 1,000 as SAEBench; of the bundled texts 500."""
    text_tokens: int = 128
    """Tokens of a text that are read, BOS included (count); as SAEBench."""
    pieces_per_text: int | None = None
    """Pieces of that length that a longer text of --corpus is cut into at most, all on one side of the split (count). None: its
    beginning only, as SAEBench; of bundled:kind, whose texts are few and long, 8."""
    least_per_class: int = 40
    """Classes with fewer texts are left out (count)."""
    seed: int = 0
    """Of which texts are drawn, of the splits, and of the probes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; it must be at least {least}")
        if self.corpus.source == OF_RUN:
            self._check_names()
        elif self.dataset:
            raise ConfigError(f"dataset {', '.join(self.dataset)} and corpus {self.corpus.source} both name texts.\n  Give one.")
        elif self.label is None:
            raise ConfigError(f"corpus {self.corpus.source} has no label named.\n  Name the column of its classes with --label")

    def _check_names(self) -> None:
        if self.label is not None or self.second_label is not None:
            raise ConfigError("label and second_label are columns of a text that is named.\n  Name it with --corpus")
        allowed = (*BUNDLED_SETS, *SAEBENCH_GROUPS, ALL_OF_SAEBENCH)
        for name in self.dataset:
            if name not in allowed:
                raise ConfigError(
                    f'no labelled texts are known as "{name}".{suggest(name, allowed)}\n  Allowed: {", ".join(allowed)};'
                    "\n  or any file with --corpus FILE --label COLUMN"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """The data sets, each once."""
        if self.corpus.source != OF_RUN:
            path = Path(self.corpus.source).expanduser()
            return (path.name if path.exists() else self.corpus.source,)
        said = [each for name in self.dataset for each in (SAEBENCH_GROUPS if name == ALL_OF_SAEBENCH else (name,))]
        return tuple(dict.fromkeys(said)) or BUNDLED_SETS

    def sizes(self, name: str) -> Sizes:
        """Texts of a probe on the data set of that name."""
        default = _OF_BUNDLED if name in BUNDLED_SETS else _OF_SAEBENCH
        return Sizes(self.n_train or default.n_train, self.n_test or default.n_test)
