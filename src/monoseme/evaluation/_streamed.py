"""Evaluations that take one pass over held-out activations, several SAEs together."""

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalResult, EvalSubject, Evaluation
from monoseme.evaluation._bootstrap import DocumentWeights
from monoseme.evaluation._chunks import Chunk
from monoseme.evaluation._shared_pass import check_shared, shared_pass


@runtime_checkable
class Stream(Protocol):
    """What gathers the numbers of one subject."""

    def update(self, chunk: Chunk) -> None:
        """Adds the unmasked tokens of a chunk."""
        ...

    def result(self) -> EvalResult:
        """What was found."""
        ...


class StreamedEvaluation(Evaluation):
    """An evaluation that says how one subject's chunks are gathered."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Evaluation.Config):
        """What to measure on."""

        max_tokens: int | None = None
        """Unmasked tokens; None: the whole source."""
        batch_contexts: int = 16
        """Contexts handled at once; also the batch of the metrics `*_as_<peer>` that depend on one."""
        n_replicates: int = 200
        """Replicates of the bootstrap over documents."""
        seed: int = 0
        """Of the bootstrap; SAEs measured with one seed on the same documents have paired replicates."""

        def __post_init__(self) -> None:
            """Raises ConfigError for a count below 1, or below 2 replicates."""
            for name, least in (("max_tokens", 1), ("batch_contexts", 1), ("n_replicates", 2)):
                value = getattr(self, name)
                if value is not None and value < least:
                    raise ConfigError(f"{name} must be at least {least}, not {value}")

    config: Any  # a subclass narrows it to its own Config

    @abstractmethod
    def start(self, subject: EvalSubject, weights: DocumentWeights) -> Stream:
        """What gathers this subject's numbers."""

    def run(self, subject: EvalSubject) -> EvalResult:
        """Measures one SAE."""
        return self.run_many([subject])[0]

    def run_many(self, subjects: Sequence[EvalSubject]) -> list[EvalResult]:
        """Measures SAEs that share one source on one pass; raises ConfigError where they do not share it."""
        if not subjects:
            return []
        config, name = self.config, re.sub(r"(?<!^)(?=[A-Z])", " ", type(self).__name__).lower()
        check_shared(subjects, evaluation=name)
        weights = DocumentWeights(n_replicates=config.n_replicates, seed=config.seed)
        streams = [self.start(subject, weights) for subject in subjects]
        for chunk in shared_pass(subjects, name, n_contexts=config.batch_contexts, max_tokens=config.max_tokens):
            if bool(chunk.text.mask.any()):
                for stream in streams:
                    stream.update(chunk)
        return [stream.result() for stream in streams]
