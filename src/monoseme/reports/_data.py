"""What a run's report shows, as plain typed data: whoever composes a run fills it in, nothing here opens a model or an atlas.

All texts may come from models and corpora: they are data, and escaped wherever they are shown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from monoseme.atlas.said import Score
from monoseme.atlas.score_summary import ScoreSummary
from monoseme.evaluation import EvalResult, Metric

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class TokenExample:
    """A stretch of text on which a latent fires."""

    tokens: tuple[str, ...]
    """Display text of each token."""
    values: tuple[float, ...]
    """The latent's code at each token; 0 where it does not fire."""
    source: str = ""
    """Where the text is from (document, domain), shown beside it."""

    def __post_init__(self) -> None:
        """Raises ValueError when tokens and values differ in number."""
        if len(self.tokens) != len(self.values):
            raise ValueError(f"{len(self.tokens)} tokens with {len(self.values)} values")


@dataclass(frozen=True, kw_only=True)
class LatentSample:
    """One latent, worth showing."""

    latent: int
    density: float | None = None
    """Share of tokens on which it fires."""
    explanation: str | None = None
    """None where nobody explained it."""
    score: Score | None = None
    """How well the explanation predicts the firing."""
    controls: tuple[Score, ...] = ()
    """The same number of what it is held against: another latent's explanation, none, the table of tokens."""
    top_tokens: tuple[str, ...] = ()
    """Tokens whose logits it raises most."""
    bottom_tokens: tuple[str, ...] = ()
    examples: tuple[TokenExample, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SaeReport:
    """One SAE of a run: a column of the report."""

    name: str
    architecture: str
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Label -> value: latents, k, tokens it was trained on."""
    results: tuple[EvalResult, ...] = ()
    samples: tuple[LatentSample, ...] = ()
    scores: tuple[ScoreSummary, ...] = ()
    """How well its explanations do over all scored latents, beside their controls."""

    def metrics(self) -> Iterator[Metric]:
        """All metrics of all evaluations, in their order."""
        for result in self.results:
            yield from result.metrics

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, None where no evaluation has it."""
        return next((m for m in self.metrics() if m.name == name), None)

    def table(self, name: str) -> "pa.Table | None":
        """The first table of that name."""
        return next((result.tables[name] for result in self.results if name in result.tables), None)


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Everything a report shows."""

    title: str
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Label -> value, shown under the title: model, site, text, device."""
    saes: tuple[SaeReport, ...]
    training: tuple[Mapping[str, Any], ...] = ()
    """Rows of `metrics.jsonl`."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The whole resolved config, shown folded."""
    has_given_saes: bool = False
    """Whether the SAEs were trained elsewhere: what they learned from is not known, and so no document is held out of it."""
