"""What a linear probe reads from codes: the class of a document, which document, the part of speech; against plain activations.

The protocol is that of T-SAE (arXiv:2511.05541): the last tokens of documents; for each class the 10 latents whose mean there is
largest against the rest; a logistic regression on their union. Here no source is on both sides of a split, classes and lengths
are balanced, several seeds are drawn, and every number has an interval.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.reports.figures import Figure
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._labels import with_label
from monoseme.studies._probing.features import Gathered, gather
from monoseme.studies._probing.figures import accuracy_by_features, accuracy_by_task, confusion_map
from monoseme.studies._probing.findings import findings_of
from monoseme.studies._probing.measure import Probed, ProbeSettings, probe, read_probed, write_probed
from monoseme.studies._probing.pooled import gather_pooled
from monoseme.studies._probing.scores import Scored, confusion, headline, score
from monoseme.studies._probing.tasks import Balance, NoTask, ProbeTask
from monoseme.studies._probing.text import Frame
from monoseme.studies._probing.texts import ProbeTexts
from monoseme.studies._workbench import SHORT_FLAGS, SaeStudyConfig, Workbench
from monoseme.text.tagged import TagColumn

_TASKS = ("semantics", "context", "syntax")
_SHOWN = (
    "task",
    "subject",
    "per_class",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "balanced_accuracy",
    "macro_f1",
    "n_features",
)
_TEXT = """\
Probes of {what}. For each class, the {per_class} features whose mean in the class is largest against all other examples are
selected on the training side; a logistic regression with an L2 penalty sees their union, each divided by its standard deviation.
Numbers are from the test side: {sides}. Means over {n_seeds} splits; intervals are of 95 %, over sources and seeds.

{tasks}

*activations*: all dimensions of what the SAEs read. *PCA*: its principal components, selected as latents are. *difference in
means*: one direction for each class. *random SAE*: directions that learned nothing, of the same L0. *token alone* and *position
alone* see no activations: what a probe reads beyond them, the model has put there.
"""


class Probing(Study):
    """Linear probes for semantics, context and syntax."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """The SAEs, the labelled text, and how probes are fitted."""

        label: str | None = None
        """Column that holds the class of a document. None: its domain, where it has one."""
        label_names: str | None = None
        """File with names of classes: a csv with a header and the columns class, name; or a txt whose line i names class i."""
        tags: str | None = None
        """CoNLL-U file with the words and parts of speech that syntax is probed on. None: syntax is left out, unless `tagger` is
        spacy."""
        tagger: Literal["conllu", "spacy"] = "conllu"
        """Where parts of speech come from: the file of `tags`, or spaCy, which tags the text of the study."""
        tag_column: TagColumn = "upos"
        """Universal parts of speech, or those of the language (xpos)."""
        spacy_model: str = "en_core_web_sm"
        """Pipeline that spaCy tags with."""
        probed_tokens: Literal["last", "all"] = "last"
        """Of a word of several tokens, probe the last or all."""
        n_documents: int = 4000
        """Documents (semantics) and tagged tokens (syntax) at most (count)."""
        n_context_documents: int = 40
        """Documents to tell apart at most (context; count)."""
        pooled_tokens: int = 1
        """Last tokens of a document whose mean code the semantics probe sees (count); 1: the last one alone, as the paper has it.
        More helps where the model keeps little of a document in one token."""
        tokens_per_document: int = 25
        """Last tokens of each of these (count)."""
        n_tokens: int = 3_000_000
        """Tokens of the text that documents are chosen from, at most (count)."""
        test_fraction: float = 0.25
        """Share of the examples that probes are measured on (fraction)."""
        balanced: Balance = "lengths"
        """How documents are chosen: as many of each class among those of about one length (lengths), as many of each class
        (classes), or as they come, as the paper has it (none)."""
        least_per_class: int = 20
        """Classes with fewer examples are left out (count)."""
        per_class: int = 10
        """Features selected for each class (count); as the paper has it."""
        sparse: tuple[int, ...] = (1, 2, 5)
        """Further numbers of features, for semantics and syntax (counts)."""
        inverse_penalty: float = 1.0
        """Inverse strength of the penalty (C of scikit-learn)."""
        n_seeds: int = 3
        """Splits, each with probes of its own (count)."""
        n_replicates: int = 200
        """Drawings of sources and seeds that intervals come from (count)."""
        seed: int = 0
        """Of the choice of documents and of all splits."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in (
                "n_documents",
                "n_context_documents",
                "pooled_tokens",
                "tokens_per_document",
                "n_tokens",
                "per_class",
                "n_seeds",
            ):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
            if not 0.0 < self.test_fraction < 1.0:
                raise ConfigError(f"test_fraction is {self.test_fraction}; it must be between 0 and 1")
            if min(self.sparse, default=1) < 1 or self.inverse_penalty <= 0:
                raise ConfigError("sparse must be counts of at least 1, and inverse_penalty above 0")
            if self.tokens_per_document < 2 or self.least_per_class < 2:
                raise ConfigError("tokens_per_document and least_per_class must be at least 2: one for each side of a split")
            if self.tags is not None and self.tagger == "spacy":
                raise ConfigError("tags is given, but the tagger is spacy, which reads no such file.\n  Leave out one of them.")
            if self.corpus.only_roles is not None:
                raise ConfigError("corpus.only_roles has no effect: the last tokens of documents are probed whoever speaks")

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Sets the tasks that the text allows, probes every representation, and scores the probes."""
        bench = Workbench(replace(self.config, corpus=with_label(self.config.corpus, self.config.label)))
        texts = ProbeTexts(self.config, bench)
        makers: dict[str, Callable[[], ProbeTask | NoTask]] = {
            "semantics": texts.semantics,
            "context": texts.context,
            "syntax": texts.syntax,
        }
        found: list[Probed] = []
        missing: dict[str, str] = {}
        for name, make in makers.items():
            file = work / f"{name}.json"
            if not file.is_file():
                task = make()
                if isinstance(task, NoTask):
                    missing[name] = task.why
                    continue
                write_probed(file, probe(self._gathered(bench, task, texts.frame), self._settings(name)))
            found.append(read_probed(file))
        if not found:
            raise ConfigError("nothing can be probed:\n" + "\n".join(f"  {name}: {why}" for name, why in missing.items()))
        return self._result(bench, found, missing)

    def _gathered(self, bench: Workbench, task: ProbeTask, frame: Frame) -> Gathered:
        n_tokens = self.config.pooled_tokens
        if task.name == "semantics" and n_tokens > 1:
            return gather_pooled(bench, task, frame, n_tokens=n_tokens)
        return gather(bench, task, frame)

    def _settings(self, task: str) -> ProbeSettings:
        """Of the many classes of the context task, only the paper's number of features: each fit is costly, and no figure of 160
        classes by single features would be read."""
        config = self.config
        counts = {config.per_class} | (set(config.sparse) if task != "context" else set())
        return ProbeSettings(
            seeds=tuple(derive_seed(config.seed, "probes", i) % 2**31 for i in range(config.n_seeds)),
            test_fraction=config.test_fraction,
            per_class=tuple(sorted(counts)),
            inverse_penalty=config.inverse_penalty,
            keeps_telling=task != "context",
        )

    def _result(self, bench: Workbench, found: Sequence[Probed], missing: Mapping[str, str]) -> StudyResult:
        config = self.config
        scored = [each for task in found for each in score(task, n_replicates=config.n_replicates, seed=config.seed)]
        main = headline(scored, config.per_class)
        decided = findings_of(main, bench.subjects, bench.found, missing=missing)
        confusions = [row for task in found if task.task != "context" for each in _best_sae(main, task)
                      for row in confusion(task, each.rival, each.per_class)]  # fmt: skip
        return StudyResult(
            title="What linear probes read from codes",
            text=_text(config, found, missing),
            tables={
                "accuracy": [each.row for each in main],
                "differences": decided.differences,
                "tasks": [_task_row(task) for task in found],
                "features": [each.row for each in scored if each.per_class is not None],
                "seeds": [_seed_row(each, i) for each in main for i in range(config.n_seeds)],
                "classes": [row for task in found if task.task != "context" for row in _class_rows(task)],
                "confusion": confusions,
                "latents": [row for task in found for row in task.telling],
            },
            shown={"accuracy": _SHOWN} | dict.fromkeys(("features", "seeds", "confusion", "latents"), ()),
            metrics={s.name: [m for each in main if each.rival == s.name for m in each.metrics] for s in bench.subjects},
            figures=_figures(scored, main, confusions),
            findings=decided.findings,
            inputs=bench.inputs(),
            seeds={"seed": config.seed},
        )


def _best_sae(main: Sequence[Scored], task: Probed) -> list[Scored]:
    """The most accurate SAE of a task."""
    saes = [each for each in main if each.task == task.task and each.is_sae]
    return [max(saes, key=lambda each: float(each.replicates["accuracy"][0]))] if saes else []


def _figures(scored: Sequence[Scored], main: Sequence[Scored], confusions: Sequence[Row]) -> list[Figure]:
    maps = [confusion_map([row for row in confusions if row["task"] == task], task) for task in _TASKS]
    made = [accuracy_by_task(main), accuracy_by_features(scored), *maps]
    return [figure for figure in made if figure is not None]


def _text(config: Probing.Config, found: Sequence[Probed], missing: Mapping[str, str]) -> str:
    names = [task.task for task in found]
    sides = {"semantics": "sources the probe has not seen", "context": "a stretch of each document", "syntax": "other documents"}
    told = [
        f"- **{task.task}**: {len(task.labels):,} tokens of {len(set(task.units)):,} sources, {len(task.classes)} classes; "
        f"guessing gives {1 / len(task.classes):.3f}."
        for task in found
    ]
    return _TEXT.format(
        what=", ".join(names),
        per_class=config.per_class,
        sides="; ".join(f"{sides[name]} ({name})" for name in names),
        n_seeds=config.n_seeds,
        tasks="\n".join(told + [f"- **{name}** was not probed: {why}." for name, why in missing.items()]),
    )


def _task_row(task: Probed) -> Row:
    return {
        "task": task.task,
        "n_examples": len(task.labels),
        "n_units": len(set(task.units)),
        "n_classes": len(task.classes),
        "chance": 1 / len(task.classes),
        "n_test_per_seed": sum(len(test) for test in task.tests.values()) / len(task.tests),
        "n_hidden": task.n_hidden,
    }


def _class_rows(task: Probed) -> list[Row]:
    units = [{u for label, u in zip(task.labels, task.units, strict=True) if label == i} for i in range(len(task.classes))]
    return [
        {"task": task.task, "class": name, "n_examples": task.labels.count(i), "n_sources": len(units[i])}
        for i, name in enumerate(task.classes)
    ]


def _seed_row(scored: Scored, i: int) -> Row:
    return {"task": scored.task, "subject": scored.rival, "seed": i} | {name: v[i] for name, v in scored.per_seed.items()}
