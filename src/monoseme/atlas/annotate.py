"""Runs an explainer or a scorer over an atlas and appends what it says; tells before what asking a judge would cost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from monoseme.atlas.annotations import Annotation, check_free, read_explanations, write_explanations, write_scores
from monoseme.atlas.atlas import Atlas
from monoseme.atlas.explain import EXPLAINERS
from monoseme.atlas.explain._base import Explainer
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.score import SCORERS
from monoseme.atlas.score._base import Scorer
from monoseme.core.config import suggest, to_dict
from monoseme.core.display import counted, get_display
from monoseme.core.errors import ConfigError, JudgeError
from monoseme.judges import Desk, Estimate

S = TypeVar("S", Explanation, Score)


def explain_latents(
    atlas: Atlas,
    sae: str,
    *,
    explainer: str | Explainer = "offline",
    config: Explainer.Config | None = None,
    latents: Sequence[int] | None = None,
    label: str | None = None,
) -> Annotation:
    """Explain latents (None: all) and append the explanations under `label` (None: the explainer's name).

    An explainer that asks a judge is given made, with its desk; `config` goes with a name alone. What a judge answered before an
    interruption is kept by the desk, so that the same call goes on and pays nothing twice.
    Raises ArtifactExistsError if the label is taken, UnknownPluginError, ConfigError, and what `Desk.answers` raises.
    """
    chosen = _made(EXPLAINERS.get(explainer)(config) if isinstance(explainer, str) else explainer, config)
    about = atlas.latents(sae)
    path = check_free(atlas.path, sae, label or chosen.plugin_name)
    wanted = range(about.n_latents) if latents is None else latents
    found: Iterable[Explanation] = _counted(chosen.explain(atlas.evidence(sae), wanted), f"explain {sae}", len(wanted))
    if chosen.asks_judge:
        found = list(found)
        _refuse_nothing(found, sae)
    write_explanations(path, found, about=about, config=explainer_facts(chosen))
    return find_annotation(atlas, sae, path.name)


def score_explanations(
    atlas: Atlas,
    sae: str,
    *,
    explanations: str = "offline",
    scorer: str | Scorer = "detection",
    config: Scorer.Config | None = None,
    latents: Sequence[int] | None = None,
    label: str | None = None,
) -> Annotation:
    """Score the explanations under a label, and append the scores under `label` (None: `<scorer>.<explanations>`).

    `latents` are those whose explanations are scored; None takes all.
    A scorer that asks a judge is given made, with its desk. What a judge said of every single excerpt is kept beside the scores.
    """
    chosen = _made(SCORERS.get(scorer)(config) if isinstance(scorer, str) else scorer, config)
    about = atlas.latents(sae)
    path = check_free(atlas.path, sae, label or f"{chosen.plugin_name}.{explanations}")
    source, said = find_explanations(atlas, sae, explanations, latents=latents)
    chosen.judgements.clear()  # a scorer may score several SAEs, each with a file of its own
    found = _counted(chosen.score(atlas.evidence(sae), said), f"score {sae}", len(said))
    facts = scorer_facts(chosen)
    write_scores(path, found, about=about, explanations=source, config=facts, judgements=chosen.judgements)
    return find_annotation(atlas, sae, path.name)


def cost_of_explaining(atlas: Atlas, sae: str, explainer: Explainer, latents: Sequence[int]) -> Estimate | None:
    """What `explain_latents` would cost; nothing is asked. None for an explainer that asks no judge."""
    return explainer.desk and explainer.desk.estimate(explainer.questions(atlas.evidence(sae), latents))


def cost_of_scoring(atlas: Atlas, sae: str, scorer: Scorer, explanations: Sequence[Explanation]) -> Estimate | None:
    """What scoring these explanations would cost; nothing is asked. None for a scorer that asks no judge."""
    return scorer.desk and scorer.desk.estimate(scorer.questions(atlas.evidence(sae), explanations))


def find_explanations(
    atlas: Atlas, sae: str, label: str, *, latents: Sequence[int] | None = None
) -> tuple[Annotation, list[Explanation]]:
    """The explanations under a label, of some latents or of all.

    Raises ConfigError if there are none, or if held-out documents made them, so that no score of them would be honest.
    """
    source = find_annotation(atlas, sae, label)
    if source.holds != "explanations":
        raise ConfigError(f'"{label}" of {sae} holds {source.holds}, not explanations.')
    if source.artifact.config.get("uses_heldout"):
        raise ConfigError(
            f'"{label}" of {sae} was made from held-out documents too, so a score of it would say too much.\n'
            "  Explain again without the setting that takes all documents, under another --label."
        )
    said = read_explanations(source)
    if latents is not None:
        wanted = set(latents)
        said = [one for one in said if one.latent in wanted]
        if not said:
            raise ConfigError(f'"{label}" of {sae} explains none of the {len(wanted):,} latents that are asked for.')
    return source, said


def find_annotation(atlas: Atlas, sae: str, label: str) -> Annotation:
    """The annotation of that label. Raises ConfigError if there is none."""
    found = {annotation.label: annotation for annotation in atlas.annotations(sae)}
    if label not in found:
        held = ", ".join(found) or "none yet; make one with:  monoseme explain"
        raise ConfigError(f'{sae} has no annotation "{label}".{suggest(label, found)}\n  It has: {held}')
    return found[label]


P = TypeVar("P", Explainer, Scorer)


def _made(plugin: P, config: object) -> P:
    """The plug-in; raises ConfigError where settings were given beside one that has its own."""
    if config is not None and plugin.config is not config:
        raise ConfigError(f"{plugin.plugin_name} was made with settings of its own, so that `config` would not be used.")
    return plugin


def explainer_facts(explainer: Explainer) -> dict[str, Any]:
    """What the manifest of its explanations says of an explainer."""
    facts = {"explainer": explainer.plugin_name, "config": to_dict(explainer.config), **_asked(explainer.desk)}
    return facts | ({"uses_heldout": True} if explainer.uses_heldout else {})


def scorer_facts(scorer: Scorer) -> dict[str, Any]:
    """What the manifest of its scores says of a scorer."""
    facts = {"scorer": scorer.plugin_name, "config": to_dict(scorer.config), "definitions": dict(scorer.definitions)}
    # a manifest sorts its keys, so that the order of the definitions would be lost
    return facts | {"headline": next(iter(scorer.definitions)), **_asked(scorer.desk)}


def _asked(desk: Desk | None) -> dict[str, Any]:
    """What a manifest says of the judge."""
    return {} if desk is None else {"judge": desk.judge.identity}


def _refuse_nothing(found: Sequence[Explanation], sae: str) -> None:
    """Raises JudgeError where the judge was asked and explained no latent: what says nothing shall not take a label."""
    lacking = Counter(one.why_missing for one in found if one.text is None and one.n_firings)
    if lacking and all(one.text is None for one in found):
        why, n = lacking.most_common(1)[0]
        none = f"none of {counted(len(found), 'latents')} of {sae}"
        raise JudgeError(f"the judge explained {none}, so nothing was written.\n  {n:,} of them: {why}")


def _counted(items: Iterable[S], description: str, n_latents: int) -> Iterator[S]:
    """The items, in the order of their latents; a latent counts when its first item is there."""
    last: int | None = None
    with get_display().progress(description, total=n_latents, unit="latents") as progress:
        for item in items:
            if item.latent != last:
                progress.advance()
            last = item.latent
            yield item
