"""The stages that add to an atlas what is said of its latents: explanations, and scores of them.

What asking a judge costs is told before it is asked, and after. An interrupted stage goes on when the same is asked for again:
what was finished is kept, and the judge's answers are in the atlas's folder `asked`.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from monoseme.atlas import EXPLAINERS, SCORERS, Atlas, Explainer, Scorer, open_atlas
from monoseme.atlas.choice import LatentChoice
from monoseme.atlas.coder import Coder
from monoseme.core.config import from_dict, suggest
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.registry import Registry
from monoseme.judges import CostReport, Desk, Estimate, desk_of
from monoseme.pipeline._explain_config import AskConfig, ExplainConfig, ScoreConfig
from monoseme.pipeline._explain_steps import ExplainStep, ScoreStep, Step
from monoseme.pipeline._folder import RunFolder

ASKED = "asked"
"""Folder of an atlas with what judges were asked and answered, and what it cost."""

_MOST_REASONS = 8
"""Reasons that are told one by one (count): a judge's answers can fail in as many ways as there are latents."""

_LAST_NUMBER = re.compile(r"(?<=: )\d+$")

P = TypeVar("P", Explainer, Scorer)


class AtlasPlace(NamedTuple):
    """An atlas, and the run it is of, if any."""

    folder: Path
    run: RunFolder | None

    @classmethod
    def at(cls, path: Path) -> "AtlasPlace":
        """The atlas that a path means: a run's, or the folder itself where it holds one. Raises what `RunFolder.record` does."""
        if (path / "text").is_dir() and (path / "latents").is_dir():
            return cls(path, None)
        run = RunFolder(path)
        run.record()
        return cls(run.atlas, run)


class Outcome(NamedTuple):
    """What a stage did, or with a dry run would ask."""

    labels: tuple[str, ...]
    """`SAE/LABEL` of each annotation that was written."""
    estimates: Mapping[str, Estimate]
    """What was told before of each step that asks a judge, by what it does."""
    report: CostReport | None
    """What it cost; None where no judge was asked."""


def outcome_facts(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON-able values."""
    return {
        "labels": list(outcome.labels),
        "estimates": {name: dataclasses.asdict(estimate) for name, estimate in outcome.estimates.items()},
        "cost": None if outcome.report is None else dataclasses.asdict(outcome.report),
    }


def explain_run(run: RunFolder, config: ExplainConfig | None = None, *, resume: bool = False) -> None:
    """Explains the latents of every SAE in the run's atlas, and scores what it says.

    Raises ArtifactMissingError before a scan, ArtifactExistsError for SAEs explained before (`resume` keeps those instead),
    UnknownPluginError.
    """
    from monoseme.pipeline._evaluate import run_config  # torch comes with it, and an atlas alone needs none

    explain_atlas(AtlasPlace(run.atlas, run), config or run_config(run).atlas.explain, resume=resume)


def explain_atlas(
    place: AtlasPlace, config: ExplainConfig, *, saes: Sequence[str] = (), resume: bool = False, dry_run: bool = False
) -> Outcome:
    """Explains latents of SAEs (none named: all) of an atlas, and scores what it says, unless `scorer` is None.

    What an earlier call with the same settings finished is kept, as long as something is left to do; with `resume`, whatever
    there is under a label. `dry_run` tells the cost alone. Raises what `explain_latents` and `score_explanations` raise.
    """
    desk = _desk(place, config, is_asked=not dry_run)
    explainer = _plugin(EXPLAINERS, config.explainer, config.explainer_config, desk)
    scorer = None if config.scorer is None else _plugin(SCORERS, config.scorer, config.scorer_config, desk)
    _refuse_idle(desk, explainer, scorer)
    atlas, label = open_atlas(place.folder), config.label or config.explainer
    steps: list[Step] = []
    for sae in _saes(atlas, saes):
        latents = config.which.of(atlas.latents(sae))[: config.most_latents]
        steps.append(ExplainStep(sae=sae, label=label, explainer=explainer, latents=latents))
        if scorer is not None:
            steps.append(_score_step(place, sae, scorer, label, planned=latents))
    return _take(atlas, steps, desk, resume=resume, dry_run=dry_run)


def score_atlas(place: AtlasPlace, config: ScoreConfig, *, saes: Sequence[str] = (), dry_run: bool = False) -> Outcome:
    """Scores explanations of SAEs (none named: all that have some under the label). Raises what `score_explanations` raises."""
    desk = _desk(place, config, is_asked=not dry_run)
    scorer = _plugin(SCORERS, config.scorer, config.scorer_config, desk)
    _refuse_idle(desk, scorer)
    atlas = open_atlas(place.folder)
    steps: list[Step] = []
    for sae in _saes(atlas, saes) if saes else _explained(atlas, config.explanations):
        label = config.explanations or _newest(atlas, sae)
        step = _score_step(place, sae, scorer, label)
        latents = None if config.which == LatentChoice() else config.which.of(atlas.latents(sae))
        steps.append(dataclasses.replace(step, label=config.label or step.label, latents=latents))
    return _take(atlas, steps, desk, resume=False, dry_run=dry_run)


def _take(atlas: Atlas, steps: Sequence[Step], desk: Desk | None, *, resume: bool, dry_run: bool) -> Outcome:
    """Take the steps that are left, each with its cost told before."""
    left = [step for step in steps if not _is_done(step, atlas, resume=resume)]
    if not left and not resume:
        left = list(steps)  # each says that it is there already
    for step in left:
        step.check_free(atlas)  # all of them, before anything is paid
    estimates: dict[str, Estimate] = {}
    labels: list[str] = []
    for step in left:
        estimate = step.estimate(atlas)
        if estimate is not None:
            estimates[step.name] = estimate
            if dry_run or estimate.n_to_ask:
                get_display().say(f"{step.name}: {estimate.text()}")
        if not dry_run:
            labels.append(_taken(step, atlas))
    report = None if desk is None or dry_run else desk.report()
    if report is not None:
        get_display().say(report.text())
    if labels:
        get_display().say(f"wrote {', '.join(labels)} -> {atlas.path / 'annotations'}")
    return Outcome(tuple(labels), estimates, report)


def _taken(step: Step, atlas: Atlas) -> str:
    """`SAE/LABEL` of what the step made; what it has no value of is told with the reasons."""
    annotation = step.take(atlas)
    lacking = Counter(step.lacking(annotation))
    if lacking:
        get_display().say(f"{step.name}: {lacking_text(lacking)}")
    return f"{step.sae}/{annotation.label}"


def lacking_text(lacking: Counter[str]) -> str:
    """How many latents have no value, and why, the most frequent reason first; `lacking`: reason -> latents (count).

    Reasons that differ only in the number at their end are told as one, with the range of the number.
    """
    n = lacking.total()
    without = "1 latent has none" if n == 1 else f"{n:,} latents have none"
    reasons = _ranged(lacking).most_common()
    if len(reasons) == 1:
        return f"{without}: {reasons[0][0]}"
    told = [f"{count:,} because: {why}" for why, count in reasons[:_MOST_REASONS]]
    if left := reasons[_MOST_REASONS:]:
        told.append(f"{sum(count for _, count in left):,} for {len(left):,} other reasons, which their pages tell")
    return f"{without}, {'; '.join(told)}"


def _ranged(lacking: Counter[str]) -> Counter[str]:
    """The reasons with those that differ only in the number at their end as one."""
    alike: dict[str, list[int]] = {}
    counts: Counter[str] = Counter()
    for why, count in lacking.items():
        ends = _LAST_NUMBER.search(why)
        stem = why if ends is None else why[: ends.start()]
        counts[stem] += count
        alike.setdefault(stem, []).extend([] if ends is None else [int(ends[0])])
    return Counter({stem + _span(alike[stem]): count for stem, count in counts.items()})


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return ""
    return f"{min(numbers)}" if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _is_done(step: Step, atlas: Atlas, *, resume: bool) -> bool:
    found = step.found(atlas)
    return found is not None and (resume or step.made(found, atlas))


def _desk(place: AtlasPlace, config: AskConfig, *, is_asked: bool) -> Desk | None:
    settings = config.judge_settings
    return None if settings is None else desk_of(settings, place.folder / ASKED, is_asked=is_asked)


def _plugin(registry: Registry[P], name: str, settings: Mapping[str, Any], desk: Desk | None) -> P:
    """The plug-in, made. Raises ConfigError for a setting it has not, or where it asks a judge and there is none."""
    kind = registry.get(name)
    config: Any = from_dict(kind.Config, settings, where=f"{registry.kind[:-1]}.{name}")
    return kind(config, desk=desk if kind.asks_judge else None)


def _refuse_idle(desk: Desk | None, *plugins: Explainer | Scorer | None) -> None:
    """Raises ConfigError where a judge is named and nothing asks it."""
    used = [plugin for plugin in plugins if plugin is not None]
    if desk is not None and not any(plugin.asks_judge for plugin in used):
        names = " and ".join(plugin.plugin_name for plugin in used)
        raise ConfigError(f"a judge is named, but {names} asks none.\n  Leave --judge out, or see:  monoseme ls explainers")


def _saes(atlas: Atlas, wanted: Sequence[str]) -> list[str]:
    names = atlas.saes()
    for name in wanted:
        if name not in names:
            raise ConfigError(f'this atlas has no SAE "{name}".{suggest(name, names)}\n  It has: {", ".join(names)}')
    return list(dict.fromkeys(wanted)) or names


def _explained(atlas: Atlas, label: str | None) -> list[str]:
    """The SAEs with that annotation; all where none has it (each then says what it has) or where no label is named."""
    names = atlas.saes()
    return [sae for sae in names if label in [part.label for part in atlas.annotations(sae)]] or names


def _newest(atlas: Atlas, sae: str) -> str:
    """Label of the SAE's newest explanations. Raises ConfigError where it has none."""
    found = next((part.label for part in atlas.annotations(sae) if part.holds == "explanations"), None)
    if found is None:
        raise ConfigError(f"{sae} has no explanations to score.\n  Make them with:  monoseme explain")
    return found


def _score_step(place: AtlasPlace, sae: str, scorer: Scorer, label: str, *, planned: Sequence[int] = ()) -> ScoreStep:
    return ScoreStep(
        sae=sae,
        label=f"{scorer.plugin_name}.{label}",
        scorer=scorer,
        explanations=label,
        planned=planned,
        coder=None if place.run is None else _coder(place.run),
    )


def _coder(run: RunFolder) -> Callable[[str], Coder]:
    def made(sae: str) -> Coder:
        from monoseme.pipeline._coder import coder_of  # loads the model

        return coder_of(run, sae)

    return made
