"""What architectures give up, and gain, at the same L0 on a real model, and whether their papers' findings show at this size.

All SAEs are trained on one pass of the model and measured on the same held-out text: fidelity, smoothness over time, spread over
layers, and what of a temporal SAE's reconstruction its context predicts.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from monoseme.core.artifact import open_artifact
from monoseme.core.errors import ConfigError, MonosemeError
from monoseme.evaluation import EVALUATIONS, EvalSubject, Evaluation
from monoseme.models import LanguageModel, ModelConfig
from monoseme.pipeline import (
    RUN_FILE,
    Materials,
    NamedSae,
    RunConfig,
    RunFolder,
    StreamConfig,
    open_saes,
    run_config,
    takes_several_sites,
    train_run,
)
from monoseme.saes import SAE, build
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._figures import tradeoffs
from monoseme.studies._line_up import House, line_up
from monoseme.studies._measurements import Task, measure_all
from monoseme.studies._paper_findings import findings_of, row_of
from monoseme.studies._survivors import error_line, train_survivors, try_one
from monoseme.text import CorpusConfig
from monoseme.training import Job, ScheduleConfig, TrainConfig
from monoseme.training.source_feed import SourceFeed

_TEXT_FACTOR = 2
"""Text read for each token of training: views drop some, and a tenth is held out."""
_N_REPLICATES = 20
"""Of the bootstrap: the study compares values, and each replicate costs time for each SAE."""
_GROUPS = (0.2, 0.8)
"""Of T-SAE, as published, and of Matryoshka, so that their first groups can be compared."""
_NOT_IN_RUN = "not in the run of this folder: it could not be made when that began"
_SHOWN = ("sae", "l0", "fvu", "ce_recovered", "dead_fraction", "smoothness", "part", "smoothness_of_part")
_TEXT = """\
SAEs of {n_latents:,} latents on {site} of the model {model}, those of several places at their own, trained side by side on one
pass over {n_tokens:,} tokens ({batch_size:,} a step) and measured on {n_measured:,} tokens of held-out documents. Each aims at an
L0 of {l0}; a baseline that has no such setting has one row.

- *fvu*: fraction of variance unexplained. *ce_recovered*: share of the loss that zero ablation costs which the SAE saves. An SAE
  of several places has means over them.
- *dead_fraction*: latents that never fire on the held-out text. TFA's *l0* is that of its novel part; the predicted one is dense.
- *smoothness*: relative total variation of the codes over neighbouring tokens, 0 where nothing changes, 2 where neighbours share
  no latent; also of the *part* named beside it: the first group of grouped codes, the predicted part of TFA.
"""


class Architectures(Study):
    """Architectures side by side at matched L0."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Study.Config):
        """The model, the SAEs, and how long they learn."""

        sae: tuple[str, ...] | None = None
        """Architectures to compare. None: all that are installed."""
        l0: tuple[float, ...] = (8.0, 16.0, 32.0)
        """L0 to aim at, an SAE of each architecture for each (count)."""
        n_latents: int = 1024
        """Latents of each SAE (count)."""
        n_tokens: int = 500_000
        """Tokens to learn from (count)."""
        batch_size: int = 1024
        """Tokens of a step (count)."""
        n_measured: int = 16_000
        """Held-out tokens measured (count)."""
        n_loss_tokens: int = 4_000
        """Held-out tokens on which the model's loss is measured too (count)."""
        site: str = "resid_post.3"
        """Where SAEs of one place learn; those of several have places of their own."""
        model: ModelConfig = field(default_factory=ModelConfig)
        """The language model."""
        corpus: CorpusConfig = field(default_factory=CorpusConfig)
        """The text."""
        seed: int = 0
        """Of the weights and the order."""

        def __post_init__(self) -> None:
            for name in ("n_latents", "n_tokens", "batch_size", "n_measured", "n_loss_tokens"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
            if not self.l0 or min(self.l0) <= 0:
                raise ConfigError(f"l0 is {self.l0}; it must be one or more numbers above 0")

    config: Config
    short_flags: ClassVar[Mapping[str, str]] = {
        "--model": "--model.model",
        "--corpus": "--corpus.source",
        "--tokens": "--n_tokens",
    }

    def investigate(self, work: Path) -> StudyResult:
        """Trains what can be trained, measures it, and compares."""
        bench = _Bench(self.config, LanguageModel.load(self.config.model))
        entrants = bench.line_up()
        tried = bench.materials([config for configs in entrants.configs.values() for config in configs])

        def trial(name: str) -> None:
            placed = next(p for p in tried.placed if p.config.plugin_name == name)
            sae = build(dataclasses.replace(placed.config, d_in=tried.training.widths[placed.sites[0]]))
            feed = SourceFeed(tried.training, [Job(name, sae, placed.sites)], tried.config.train)
            try_one(sae, [feed.advance()[0] for _ in range(2)])

        def attempt(names: tuple[str, ...], folder: Path) -> RunFolder:
            if _is_trained(RunFolder(folder)):
                return RunFolder(folder)
            materials = bench.materials([config for name in names for config in entrants.configs[name]])
            return train_run(materials.config, folder, materials=materials, resume=folder.exists())

        survived = train_survivors(list(entrants.configs), work, trial=trial, attempt=attempt)
        saes = open_saes(str(survived.result.path), device=Materials(run_config(survived.result)).sae_device)
        measured = measure_all(bench.subjects(survived.result, saes), bench.tasks(), work)
        rows = [row_of(sae.name, bench.trained_as(survived.result, sae), measured[sae.name]) for sae in saes]
        absent = set(entrants.configs) - {row["architecture"] for row in rows}
        left_out = dict.fromkeys(absent, _NOT_IN_RUN) | entrants.left_out | dict(survived.failed)
        return bench.result(rows, left_out, survived.result)


def _is_trained(run: RunFolder) -> bool:
    """Whether the folder holds a run whose SAEs are all finished."""
    return (run.path / RUN_FILE).is_file() and set(run.sae_names()) == set(run.record()["jobs"])


class _LineUp(NamedTuple):
    """Configs of each architecture, one for each L0, and who is left out."""

    configs: dict[str, list[Any]]
    left_out: dict[str, str]


class _Bench:
    """The model, and everything that is made from it and the study's config."""

    def __init__(self, config: Architectures.Config, model: LanguageModel) -> None:
        self._config = config
        self._model = model

    def line_up(self) -> _LineUp:
        """Every architecture at every L0, as far as it has a place in the model; one without a sparsity to set once."""
        found = [line_up(self._config.sae, self._house(l0)) for l0 in self._config.l0]
        left_out = dict(found[0].left_out)
        configs: dict[str, list[Any]] = {}
        for name, first in found[0].configs.items():
            try:
                _ = self.materials([first]).placed
            except MonosemeError as error:
                left_out[name] = error_line(error)
                continue
            configs[name] = [first] if first.target_l0 is None else [each.configs[name] for each in found if name in each.configs]
        return _LineUp(configs, left_out)

    def materials(self, saes: Sequence[SAE.Config]) -> Materials:
        """Model, text and activations for a run of these SAEs."""
        config = self._config
        run = RunConfig(
            model=config.model,
            corpus=config.corpus,
            stream=StreamConfig(max_tokens=_TEXT_FACTOR * config.n_tokens, validation_loss_tokens=None),
            sites=None if all(takes_several_sites(sae) for sae in saes) else (config.site,),  # those have places of their own
            train=TrainConfig(
                n_tokens=config.n_tokens,
                batch_size=config.batch_size,
                schedule=ScheduleConfig(kind="linear", decay_fraction=0.3),
                validate_every=10 * math.ceil(config.n_tokens / config.batch_size),  # at the end: all is measured later anyway
                validation_tokens=4096,
                checkpoint_at=(0.25, 0.5, 0.75),
                keep=1,
                seed=config.seed,
            ),
            saes=tuple(saes),
        )
        return Materials(run, model=self._model)

    def subjects(self, run: RunFolder, saes: Sequence[NamedSae]) -> list[EvalSubject]:
        """The run's SAEs on the documents that it held out."""
        materials = Materials(run_config(run), model=self._model)
        return [EvalSubject(name=s.name, sae=s.sae, sites=s.sites, source=materials.held_out, model=self._model) for s in saes]

    def tasks(self) -> list[Task]:
        """The evaluations, and which SAEs they are for."""
        config = self._config
        n_measured = config.n_measured
        return [
            Task(_evaluation("fidelity", max_tokens=n_measured, max_loss_tokens=config.n_loss_tokens), lambda _: True),
            Task(_evaluation("smoothness", max_tokens=n_measured, as_tsae=False), lambda _: True),
            Task(_evaluation("layer_spread", max_tokens=n_measured), lambda subject: subject.sae.codes_per_site),
            Task(_evaluation("predicted_share", max_tokens=n_measured), lambda subject: "predicted" in subject.sae.parts),
        ]

    def trained_as(self, run: RunFolder, sae: NamedSae) -> dict[str, Any]:
        """The config that the SAE learned with."""
        return open_artifact(run.sae(sae.name), kind="sae").config["trained_as"]

    def result(self, rows: Sequence[Row], left_out: Mapping[str, str], run: RunFolder) -> StudyResult:
        """Everything put together."""
        config = self._config
        ordered = sorted(rows, key=lambda row: (row["architecture"], row["target_l0"] or 0.0))
        text = _TEXT.format(
            n_latents=config.n_latents,
            site=config.site,
            model=config.model.model,
            n_tokens=config.n_tokens,
            batch_size=config.batch_size,
            n_measured=config.n_measured,
            l0=", ".join(f"{l0:g}" for l0 in config.l0),
        )
        inputs = {f"sae/{name}": open_artifact(run.sae(name)).content_hash for name in run.sae_names()}
        return StudyResult(
            title="Architectures at the same L0",
            text=text,
            findings=findings_of(ordered),
            tables={
                "architectures": ordered,
                "left_out": [{"architecture": name, "why": why} for name, why in sorted(left_out.items())],
            },
            shown={"architectures": _SHOWN},
            figures=[tradeoffs(ordered)] if ordered else [],
            inputs=inputs | {"model": self._model.content_hash()},
            seeds={"training": config.seed},
        )

    def _house(self, l0: float) -> House:
        config = self._config
        return House(
            common={
                "n_latents": config.n_latents,
                "target_l0": l0,
                "dead_after_tokens": max(1, config.n_tokens // 5),
                "seed": config.seed,
            },
            own={
                "identity": {"target_l0": None},
                "matryoshka": {"group_fractions": _GROUPS},
                "tsae": {"group_fractions": _GROUPS},
                "tfa": {"bottleneck": 8},
            },
            left_out={
                "thresholded": "for use and fine-tuning only: from scratch it has no sparsity to learn",
                "lensed_topk": "topk behind a tuned lens, which someone has to train first; without one it is topk",
            },
        )


def _evaluation(name: str, **settings: Any) -> Evaluation:
    kind: Any = EVALUATIONS.get(name)  # its Config is known by name only
    return kind(kind.Config(n_replicates=_N_REPLICATES, **settings))
