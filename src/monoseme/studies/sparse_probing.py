"""Sparse probing: how well a few latents tell a class of texts, one class against the others.

The measure of SAEBench on any model and any labelled texts: the mean over a text's tokens of each latent; the k whose mean
differs most between a class and the others; a logistic regression on these. Beside it, under `as_saebench`, SAEBench's own
numbers where its definition is off: its choice of latents and its penalty depend on the unit of each latent, so that dense ones
with large codes are preferred, and its probes of all features are picked on the test.

Source: Karvonen et al. 2025 (SAEBench), arXiv:2503.09532, section on sparse probing, and its code; Gurnee et al. 2023,
arXiv:2305.01610.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monoseme.core.config import to_dict
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.reports.plain_tables import markdown_text
from monoseme.studies._base import Study, StudyResult
from monoseme.studies._labelled.bench import LabelledBench
from monoseme.studies._labelled.config import LabelledConfig
from monoseme.studies._sparse_probing.figures import accuracies, by_features
from monoseme.studies._sparse_probing.measure import Measured, Settings, measure, read_measured, write_measured
from monoseme.studies._sparse_probing.tables import (
    OVERALL,
    accuracy_rows,
    class_rows,
    dataset_rows,
    finding_of,
    metrics_of,
    saebench_files,
)
from monoseme.studies._workbench import SHORT_FLAGS

_SHOWN = ("dataset", "subject", "features", "accuracy", "accuracy_low", "accuracy_high", "as_saebench")
_TEXT = """\
{datasets}. Each text is its first {n_tokens} tokens, and what a probe sees of it is the mean over them. For each class the
features are chosen whose mean in the class differs most from that in the others, in standard deviations, on the training side;
a logistic regression (C = 1) sees these. Half of a probe's texts are of its class, so that 0.5 is guessing. Means over classes
and {n_seeds} seeds; intervals are of 95 %, over sources and seeds.

- *accuracy*: features are chosen and seen divided by their standard deviation, so that no unit matters; a probe of all features
  is stopped by texts held back from training.
- *as_saebench*: features are chosen and seen as they are, so that latents with large codes come first and the penalty holds small
  ones back; the probe of all features is the best of its epochs on the test.
- *activations*: dimensions of what the SAE reads, selected in the same way; *PCA*: its principal components.{left_out}
"""


class SparseProbing(Study):
    """How well a few latents tell a class of texts, as SAEBench measures it, on any labelled texts."""

    @dataclass(frozen=True, kw_only=True)
    class Config(LabelledConfig):
        """The SAEs, the labelled texts, and how probes are fitted."""

        n_features: tuple[int, ...] = (1, 2, 5, 10, 20)
        """Features that a probe sees (counts)."""
        epochs: int = 40
        """Passes of a probe of all features over its texts, of which one is taken (count)."""
        n_seeds: int = 3
        """Drawings of splits and negatives, each with probes of its own (count)."""
        n_replicates: int = 200
        """Drawings of sources and seeds that intervals come from (count)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name, least in (("epochs", 1), ("n_seeds", 1), ("n_replicates", 20)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
            if not self.n_features or min(self.n_features) < 1:
                raise ConfigError("n_features must be one count or more, each at least 1")
            if self.second_label is not None:
                raise ConfigError("second_label has no effect: one label is probed.\n  Leave it out.")

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Pools and probes each data set that `work` does not hold yet. Raises what reading the texts raises."""
        config = self.config
        bench = LabelledBench(config, work)
        found = [self._measured(bench, name, work) for name in bench.names]
        saes = {subject.name: to_dict(subject.sae.config) for subject in bench.subjects}
        several = len({subject.placed.inputs[0] for subject in bench.subjects}) > 1
        sites = {s.name: f"activations ({s.placed.inputs[0]})" if several else "activations" for s in bench.subjects}
        rows = accuracy_rows(found, list(saes))
        drawn = [row for row in rows if row["dataset"] != OVERALL or len(found) > 2]  # of two sets a reader sees the mean
        figures = [accuracies(drawn), by_features(drawn)]
        return StudyResult(
            title="What a few latents tell of a text",
            text=_text(config, bench, found),
            tables={
                "accuracy": rows,
                "datasets": dataset_rows(found),
                "classes": class_rows(found),
                "latents": [row for one in found for row in one.latents],
            },
            shown={"accuracy": _SHOWN, "classes": (), "latents": ()},
            metrics=metrics_of(found, list(saes)),
            figures=[figure for figure in figures if figure is not None],
            findings=[finding_of(found, list(saes), sites)],
            files=saebench_files(found, saes, sites, _as_saebench(config)),
            inputs=bench.workbench.inputs(),
            seeds={"seed": config.seed},
        )

    def _measured(self, bench: LabelledBench, name: str, work: Path) -> Measured:
        file = work / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.json"
        if not file.is_file():
            write_measured(file, measure(bench.pooled(name), self._settings(name)))
        return read_measured(file)

    def _settings(self, name: str) -> Settings:
        config, sizes = self.config, self.config.sizes(name)
        return Settings(
            n_features=tuple(sorted(set(config.n_features))),
            n_train=sizes.n_train,
            n_test=sizes.n_test,
            seeds=tuple(derive_seed(config.seed, "sparse probing", i) % 2**31 for i in range(config.n_seeds)),
            n_replicates=config.n_replicates,
            epochs=config.epochs,
            seed=config.seed,
        )


def _text(config: SparseProbing.Config, bench: LabelledBench, found: Sequence[Measured]) -> str:
    told = [
        f"{one.dataset} ({one.n_texts:,} texts, {len(one.classes)} classes: {', '.join(map(markdown_text, one.classes))})"
        for one in found
    ]
    left = "".join(f"\n- {name} is left out: {why}." for name, why in bench.left_out.items())
    return _TEXT.format(datasets="; ".join(told), n_tokens=config.text_tokens, n_seeds=config.n_seeds, left_out=left)


def _as_saebench(config: SparseProbing.Config) -> dict[str, object]:
    """The settings under the names that SAEBench has for them."""
    return {
        "random_seed": config.seed,
        "probe_train_set_size": config.n_train,
        "probe_test_set_size": config.n_test,
        "context_length": config.text_tokens,
        "k_values": list(config.n_features),
        "model_name": config.model.model,
    }
