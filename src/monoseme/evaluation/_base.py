"""The contract of evaluations: what one is given, what it says of itself, what it returns.

An evaluation is one public file of this package with one concrete subclass of `Evaluation`. It declares the metrics it can give
(`definitions`), so that docs and reports know them without running it, and returns typed results; see `fidelity.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError, UndefinedMetricError
from monoseme.evaluation._metric import Definition, Metric

if TYPE_CHECKING:
    import pyarrow as pa

    from monoseme.activations import ActivationSource
    from monoseme.models import LanguageModel, Site
    from monoseme.saes import SAE
    from monoseme.splice import Placed
    from monoseme.tensors.shapes import Tensor


@dataclass(frozen=True, kw_only=True)
class EvalSubject:
    """An SAE, and what to measure it on."""

    name: str
    """How results call it."""
    sae: "SAE"
    source: "ActivationSource"
    """Held-out activations: documents that neither the SAE nor its thresholds saw."""
    sites: "tuple[Site, ...]"
    """The places it learned from, in that order."""
    model: "LanguageModel | None" = None
    """The model they come from; without it, metrics of the model's losses are missing."""
    part: str | None = None
    """Rebuild from this part of the codes only; None means from all of them."""
    domain_of: Callable[[int], str] | None = None
    """Document id -> domain (`stories`, `python_docs`); gives the rows of the table `domains`. None: one domain, `all`."""

    def __post_init__(self) -> None:
        """Raises ConfigError without a site, and for a number of sites that the SAE cannot have."""
        if not self.sites:
            raise ConfigError(f'the subject "{self.name}" has no site: give sites=(Site.parse("resid_post.3"),), as it learned')
        _ = self.placed  # raises where the SAE cannot have so many

    @property
    def placed(self) -> "Placed":
        """The SAE in its places."""
        from monoseme.splice import Placed  # here: a subject is described without torch

        return Placed(self.sae, self.sites)

    @property
    def site(self) -> "Site":
        """The first place that it gives back."""
        return self.placed.outputs[0]


@dataclass(frozen=True, kw_only=True)
class EvalResult:
    """What an evaluation found about one subject."""

    evaluation: str
    """The plug-in's name."""
    subject: str
    metrics: tuple[Metric, ...]
    tables: "Mapping[str, pa.Table]" = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """JSON-able: what was measured on, thresholds used. No timings: these are not part of the result."""
    replicates: "Mapping[str, Tensor]" = field(default_factory=dict)
    """Metric -> its value under each weighting of the documents [1 + R], float64, the estimate first; not written to files. SAEs
    measured together have paired replicates, from which intervals of differences follow. Empty where none are kept."""

    def __getitem__(self, name: str) -> Metric:
        """The metric of that name. Raises UndefinedMetricError with a suggestion."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        names = [metric.name for metric in self.metrics]
        raise UndefinedMetricError(
            f'{self.evaluation} has no metric "{name}".{suggest(name, names)}\n  It has: {", ".join(names)}'
        )


class Evaluation(ABC):
    """Measures SAEs. Subclasses nest their own `Config`."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Settings of an evaluation."""

        plugin_name: ClassVar[str]

    plugin_name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("activations",)
    """What a subject must bring: `activations`, `model`, `text`, `judge`."""
    uses: ClassVar[tuple[str, ...]] = ()
    """What it uses when the subject brings it; metrics that depend on it are missing otherwise."""

    def __init__(self, config: "Evaluation.Config | None" = None) -> None:
        self.config = config if config is not None else type(self).Config()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config!r})"

    @classmethod
    @abstractmethod
    def definitions(cls) -> tuple[Definition, ...]:
        """All metrics it can give, in the order of its results."""

    @abstractmethod
    def run(self, subject: EvalSubject) -> EvalResult:
        """Measures one subject."""

    def run_many(self, subjects: Sequence[EvalSubject]) -> list[EvalResult]:
        """Measures each subject; evaluations that can share one pass over the source do so. Same results as one by one."""
        return [self.run(subject) for subject in subjects]
