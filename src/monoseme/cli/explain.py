"""Explain the latents of a scanned run or of an atlas, with scores on documents that made none of the explanations.

    monoseme explain RUN
    monoseme explain RUN --explainer offline --scorer detection --most-latents 100
    monoseme explain RUN --explainer llm_top --explainer.n_top 20 --judge anthropic --judge.model claude-haiku-4-5 --dry-run
    monoseme explain RUN --explainer llm_top --judge anthropic --judge.model claude-haiku-4-5 --sample 50 --budget 5 --batch
    monoseme explain RUN --explainer llm_contrastive --scorer llm_detection --judge local --judge.model FOLDER --latents 0-99
    monoseme explain --explainer llm_deciles --judge openai --help       the settings of these plug-ins

What is not said is as the run's own config has it; `--scorer none` leaves the scores out. The `offline` explainer needs no
language model and no network: it finds the tokens and contexts that most predict firing. For explainers and scorers that ask one,
what it costs is told before (`--dry-run` tells it and stops) and after; a budget is never passed. Keys come from the
environment. Interrupted, the same command goes on and pays nothing twice.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monoseme.atlas import EXPLAINERS, SCORERS
from monoseme.atlas.choice import LatentChoice
from monoseme.cli._ask_flags import PluginFlag, flag, parse_flags, settings_of, take_name, with_file
from monoseme.cli._options import take_files
from monoseme.cli._verbs import document
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed
from monoseme.judges import JUDGES, DeskSettings
from monoseme.pipeline import AtlasPlace, ExplainConfig, explain_atlas, outcome_facts, run_config


def main(words: list[str]) -> int:
    """Explains each run or atlas named."""
    first = read_flags(words)
    if not first.paths:
        raise ConfigError("explain needs a path.\n  Type, for example:  monoseme explain runs/demo")
    told: dict[str, Any] = {}
    for word in first.paths:
        place = AtlasPlace.at(Path(word))
        base = ExplainConfig() if place.run is None else run_config(place.run).atlas.explain
        said = read_flags(words, base)
        outcome = explain_atlas(place, said.config, saes=said.saes, dry_run=said.dry_run)
        told[word] = outcome_facts(outcome)
        if outcome.labels and place.run is not None:
            place.run.add({"explanations": "atlas/annotations"})
            get_display().say(f"  look at them:  monoseme serve {typed(word)}")
        if outcome.labels and said.config.scorer is None:
            label = typed(said.config.label or said.config.explainer)
            get_display().say(
                f"  score them:  monoseme score {typed(word)} --explanations {label} --scorer NAME (monoseme ls scorers)"
            )
    get_display().result({"atlases": [str(AtlasPlace.at(Path(word)).folder) for word in first.paths], "told": told})
    return 0


def _usual_scorer(explainer: str | None, start: ExplainConfig, base: ExplainConfig) -> tuple[str | None, Mapping[str, Any]]:
    """The scorer where the words name none: the run's own is for its own explainer, and another one goes without."""
    if explainer != base.explainer and (start.scorer, start.scorer_config) == (base.scorer, base.scorer_config):
        return None, {}
    return start.scorer, start.scorer_config


@dataclasses.dataclass(frozen=True)
class _Said:
    """What the words say."""

    paths: tuple[str, ...]
    saes: tuple[str, ...]
    config: ExplainConfig
    dry_run: bool


def read_flags(words: Sequence[str], base: ExplainConfig | None = None) -> _Said:
    """The words on top of `base` (None: the defaults); `--help` prints the options and ends the program.

    Raises ConfigError, UnknownPluginError.
    """
    import tyro  # reads the types of the plug-ins' settings

    said, rest = take_files(words)
    start: ExplainConfig = with_file(base or ExplainConfig(), said)
    explainer, rest = take_name(rest, PluginFlag("explainer", EXPLAINERS, start.explainer, start.explainer_config))
    scorer, rest = take_name(rest, PluginFlag("scorer", SCORERS, *_usual_scorer(explainer.name, start, base or ExplainConfig())))
    judge, rest = take_name(rest, PluginFlag("judge", JUDGES, start.judge, start.judge_config))
    if explainer.name is None:
        raise ConfigError(f"explain needs an explainer.\n  Allowed: {', '.join(EXPLAINERS.names())}")
    fields = {
        "paths": (tyro.conf.Positional[tuple[str, ...]], ()),
        "sae": (flag(tuple[str, ...], "SAEs of the atlas, with commas between them. None: all."), ()),
        "label": (flag(str | None, "What the explanations are called. None: as the explainer is."), start.label),
        "most_latents": (flag(int | None, "Only the first so many of the chosen latents (count)."), start.most_latents),
        "dry_run": (flag(bool, "Tell what asking would cost, and stop."), False),
        "which": (flag(LatentChoice, "", name=""), start.which),
        "desk": (flag(DeskSettings, "", name=""), start.desk),
    }
    plugins = (explainer, scorer, judge)
    flags = parse_flags(rest, fields, plugins, verb="explain", summary=document("explain"))
    chosen = {name: value for plugin in plugins for name, value in settings_of(flags, plugin).items()}
    others = {name: getattr(flags, name) for name in ("label", "most_latents", "which", "desk")}
    return _Said(flags.paths, flags.sae, ExplainConfig(**chosen, **others), flags.dry_run)
