"""What each architecture finds of a world whose features are known: directions, firing, absorption.

The world (`_planted.py`) has plain, correlated, hierarchical, absorbing, slow and layer-wandering features. Every architecture
has one width and, where it has a sparsity to set, aims at the true number of features on a token.
"""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ConfigError
from monoseme.core.files import read_json, write_json
from monoseme.models import Site
from monoseme.saes import SAE, SAES, build
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._figures import recovery_map
from monoseme.studies._line_up import House, line_up
from monoseme.studies._planted import PlantedSource, PlantedWorld, WorldConfig
from monoseme.studies._recovery import FAMILIES, measure_recovery
from monoseme.studies._survivors import note_error, train_survivors, try_one
from monoseme.training import Job, ScheduleConfig, TrainConfig, train
from monoseme.training.source_feed import SourceFeed

_START_TOKENS = 8192
_TEXT = """\
A world of {n_features} known directions in {width} dimensions at {n_layers} layers, {l0:.1f} of them on a token. Every
architecture has {n_latents} latents, learns from {n_tokens:,} tokens of it on one pass, and aims at an L0 of {target:g} where it
has a sparsity to set. Numbers are from {n_measured:,} tokens that none of them saw. An SAE of one site reads the middle layer.

- *mmcs*: mean over planted features of the largest cosine to a latent's direction; *mmcs_back*: the same from the latents that
  fire to the features.
- *found*: share of features with a latent at cosine 0.9 or more. *f1*: of a feature's firing, told by its best-matched latent.
- *absorption*: how much more often the latent of a host (a feature that another one implies) is silent when the guest is there
  than when it is not, over the hosts that were found; 0 is right, 1 is full absorption.

Hierarchical are parents and children, absorbing hosts and guests. TFA's firing is that of its novel part.
"""


_COLUMNS = ("architecture", "f1", "found", "mmcs", "mmcs_back", "absorption", "l0", "fvu", "dead_fraction")
"""Of the table, in order."""


class _Entry(NamedTuple):
    """An SAE of the study, and where it learns."""

    sae: SAE
    sites: tuple[Site, ...]


class Synthetic(Study):
    """Which planted features each architecture finds."""

    @dataclass(frozen=True, kw_only=True)
    class Config(Study.Config):
        """The world, and how the SAEs learn from it."""

        sae: tuple[str, ...] | None = None
        """Architectures to compare. None: all that are installed."""
        world: WorldConfig = field(default_factory=WorldConfig)
        """The planted features."""
        n_latents: int = 256
        """Latents of each SAE (count)."""
        target_l0: float = 7.0
        """L0 that each SAE aims at (count); about as many features as are on."""
        n_steps: int = 3000
        """Optimiser steps."""
        batch_size: int = 256
        """Tokens of a step (count)."""
        n_measured: int = 32_768
        """Tokens on which the SAEs are measured (count)."""
        seed: int = 0
        """Of the weights and the order."""

        def __post_init__(self) -> None:
            for name in ("n_latents", "n_steps", "batch_size", "n_measured"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")

    config: Config

    def investigate(self, work: Path) -> StudyResult:
        """Trains what can be trained, measures it, and reports."""
        world = PlantedWorld(self.config.world)
        entrants = line_up(self.config.sae, self._house())
        source = world.source("train", n_blocks=self._blocks(self.config.n_steps * self.config.batch_size))

        def trial(name: str) -> None:
            entry = self._place(entrants.configs[name])
            feed = SourceFeed(source, [Job(name, entry.sae, entry.sites)], self._training)
            try_one(entry.sae, [feed.advance()[0] for _ in range(2)])

        def attempt(names: tuple[str, ...], folder: Path) -> dict[str, _Entry]:
            entries = {name: self._place(entrants.configs[name]) for name in names}
            jobs = [Job(name, entry.sae, entry.sites) for name, entry in entries.items()]
            trained = train(source, jobs, self._training, folder=folder, resume=folder.exists()).saes
            return {name: _Entry(trained[name].export(), entry.sites) for name, entry in entries.items()}

        survived = train_survivors(list(entrants.configs), work, trial=trial, attempt=attempt)
        rows = self._measure(survived.result, world, work)
        missing = entrants.left_out | dict(survived.failed)
        return self._result(rows, missing, world)

    @property
    def _training(self) -> TrainConfig:
        config = self.config
        return TrainConfig(
            n_steps=config.n_steps,
            batch_size=config.batch_size,
            schedule=ScheduleConfig(kind="linear", decay_fraction=0.3),
            start_tokens=_START_TOKENS,
            checkpoint_at=(0.5,),
            seed=config.seed,
        )

    def _house(self) -> House:
        config = self.config
        return House(
            common={
                "n_latents": config.n_latents,
                "target_l0": config.target_l0,
                "dead_after_tokens": max(1, config.n_steps * config.batch_size // 10),
                "seed": config.seed,
            },
            own={"identity": {"target_l0": None}, "tfa": {"bottleneck": 4}},
            left_out={
                "thresholded": "for use and fine-tuning only: from scratch it has no sparsity to learn",
                "lensed_topk": "topk behind a tuned lens; this world has none, and without one it is topk",
                "clt": "its latents write to every later layer, so none has one direction to compare",
            },
        )

    def _blocks(self, n_tokens: int) -> int:
        world = self.config.world
        return max(1, -(-n_tokens // (2 * world.document_len * world.contexts_per_block)))

    def _place(self, config: SAE.Config) -> _Entry:
        """A new SAE at the middle layer, at all layers, or at the first two, whichever its architecture takes."""
        n_layers = self.config.world.n_layers
        settings: dict[str, Any] = {"d_in": self.config.world.width}
        layers = (n_layers // 2,)
        if any(setting.name == "n_sites" for setting in dataclasses.fields(config)):
            layers = tuple(range(_n_sites(config, n_layers)))
            settings["n_sites"] = len(layers)
        return _Entry(build(dataclasses.replace(config, **settings)), tuple(Site("resid_post", layer) for layer in layers))

    def _measure(self, entries: dict[str, _Entry], world: PlantedWorld, work: Path) -> list[Row]:
        """A row for each SAE; those measured before are read back."""
        held_out = world.source("held out", n_blocks=self._blocks(self.config.n_measured))
        rows: list[Row] = []
        for name, entry in entries.items():
            file = work / "measured" / f"{name}.json"
            if not file.is_file():
                try:
                    write_json(file, _row(name, entry, held_out))
                except Exception as error:  # noqa: BLE001 - a plug-in may fail in any way; the others must not suffer
                    rows.append({"architecture": name, "error": note_error(work, name, error)})
                    continue
            rows.append(read_json(file))
        return rows

    def _result(self, rows: list[Row], missing: dict[str, str], world: PlantedWorld) -> StudyResult:
        config = self.config
        measured = sorted((row for row in rows if "error" not in row), key=lambda row: -row["f1"])
        absent = missing | {row["architecture"]: row["error"] for row in rows if "error" in row}
        families = [row for found in measured for row in _family_rows(found)]
        truth = world.firing("held out", 0).on[:, :, config.world.n_layers // 2]
        text = _TEXT.format(
            n_features=len(world.directions),
            width=config.world.width,
            n_layers=config.world.n_layers,
            l0=float(truth.double().sum(-1).mean()),
            n_latents=config.n_latents,
            n_tokens=config.n_steps * config.batch_size,
            target=config.target_l0,
            n_measured=config.n_measured,
        )
        return StudyResult(
            title="What each architecture finds of a planted world",
            text=text,
            tables={
                "recovery": [{name: row[name] for name in _COLUMNS} for row in measured],
                "families": families,
                "left_out": [{"architecture": name, "why": why} for name, why in sorted(absent.items())],
            },
            figures=[recovery_map(families, "f1"), recovery_map(families, "mmcs")] if families else [],
            seeds={"world": config.world.seed, "training": config.seed},
        )


def _n_sites(config: SAE.Config, n_layers: int) -> int:
    """As many layers as there are, or two for an architecture that goes from one to another."""
    try:
        SAES.get(config.plugin_name).roles(n_layers)
    except ConfigError:
        return 2
    return n_layers


def _row(name: str, entry: _Entry, held_out: PlantedSource) -> Row:
    found = measure_recovery(entry.sae, entry.sites, held_out)._asdict()
    return {"architecture": name} | found


def _family_rows(row: Row) -> list[Row]:
    return [
        {"architecture": row["architecture"], "features": family} | row["families"][family]
        for family in FAMILIES
        if family in row["families"]
    ]
