"""Runs an explainer or a scorer over an atlas and appends what it says."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from monoseme.atlas.annotations import Annotation, check_free, read_explanations, write_explanations, write_scores
from monoseme.atlas.atlas import Atlas
from monoseme.atlas.explain import EXPLAINERS
from monoseme.atlas.explain._base import Explainer
from monoseme.atlas.score import SCORERS
from monoseme.atlas.score._base import Scorer
from monoseme.core.config import suggest, to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError

T = TypeVar("T")


def explain_latents(
    atlas: Atlas,
    sae: str,
    *,
    explainer: str = "offline",
    config: Explainer.Config | None = None,
    latents: Sequence[int] | None = None,
    label: str | None = None,
) -> Annotation:
    """Explain latents (None: all) and append the explanations under `label` (None: the explainer's name).

    Raises ArtifactExistsError if the label is taken, UnknownPluginError, ConfigError.
    """
    label = label or explainer
    about = atlas.latents(sae)
    path = check_free(atlas.path, sae, label)
    chosen = EXPLAINERS.get(explainer)
    config = config or chosen.Config()
    wanted = range(about.n_latents) if latents is None else latents
    found = chosen(config).explain(atlas.evidence(sae), wanted)
    described = {"explainer": explainer, "config": to_dict(config)}
    write_explanations(path, _counted(found, f"explain {sae}", len(wanted), unit="latents"), about=about, config=described)
    return find_annotation(atlas, sae, label)


def score_explanations(
    atlas: Atlas,
    sae: str,
    *,
    explanations: str = "offline",
    scorer: str = "detection",
    config: Scorer.Config | None = None,
    label: str | None = None,
) -> Annotation:
    """Score the explanations under a label and append the scores under `label` (None: `<scorer>.<explanations>`)."""
    label = label or f"{scorer}.{explanations}"
    about = atlas.latents(sae)
    path = check_free(atlas.path, sae, label)
    source = find_annotation(atlas, sae, explanations)
    if source.holds != "explanations":
        raise ConfigError(f'"{explanations}" of {sae} holds {source.holds}, not explanations.')
    said = read_explanations(source)
    chosen = SCORERS.get(scorer)
    config = config or chosen.Config()
    n_numbers = len(said) * len(chosen.definitions)
    found = _counted(chosen(config).score(atlas.evidence(sae), said), f"score {sae}", n_numbers, unit="scores")
    described = {"scorer": scorer, "config": to_dict(config), "definitions": dict(chosen.definitions)}
    described["headline"] = next(iter(chosen.definitions))  # a manifest sorts its keys, so the order would be lost
    write_scores(path, found, about=about, explanations=source, config=described)
    return find_annotation(atlas, sae, label)


def find_annotation(atlas: Atlas, sae: str, label: str) -> Annotation:
    """The annotation of that label. Raises ConfigError if there is none."""
    found = {annotation.label: annotation for annotation in atlas.annotations(sae)}
    if label not in found:
        held = ", ".join(found) or "none yet; make one with:  monoseme explain"
        raise ConfigError(f'{sae} has no annotation "{label}".{suggest(label, found)}\n  It has: {held}')
    return found[label]


def _counted(items: Iterable[T], description: str, total: int, *, unit: str) -> Iterator[T]:
    with get_display().progress(description, total=total, unit=unit) as progress:
        for item in items:
            progress.advance()
            yield item
