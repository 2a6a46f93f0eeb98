"""The atlas stages: one scan over the text for all SAEs of a run, then an explanation with its score for each latent."""

from monoseme.atlas import PassOptions, Target, explain_latents, names_of, open_atlas, scan, score_explanations
from monoseme.core.display import get_display
from monoseme.core.files import typed
from monoseme.pipeline._evaluate import run_config
from monoseme.pipeline._explain_config import ExplainConfig
from monoseme.pipeline._folder import RunFolder
from monoseme.pipeline._materials import Materials
from monoseme.pipeline._saes import NamedSae, open_saes


def scan_run(run: RunFolder, *, materials: Materials | None = None, resume: bool = False) -> None:
    """Writes the atlas of every SAE of the run. Raises ArtifactExistsError for one scanned before; `resume` keeps it instead."""
    materials = materials or Materials(run_config(run))
    targets = [_target(sae) for sae in open_saes(str(run.path), device=materials.sae_device)]
    options = PassOptions(resume=resume, resume_command=f"monoseme run --out {typed(run.path)} --resume")
    keep, names = materials.config.atlas.scan, names_of(materials.text)
    result = scan(materials.whole, targets, run.atlas, config=keep, model=materials.model, names=names, options=options)
    get_display().say(f"scanned {result.n_tokens:,} tokens -> {run.atlas}")
    run.add({"atlas": "atlas"})


def _target(named: NamedSae) -> Target:
    """The SAE's whole code, or the novel part of a code that has one: predicted codes are dense, so firing would say nothing."""
    part = "novel" if "novel" in named.sae.parts else None
    return Target(named.name, named.sae, named.sites, part=part, sae_hash=named.content_hash)


def explain_run(run: RunFolder, config: ExplainConfig | None = None, *, resume: bool = False) -> None:
    """Explains the latents of every SAE in the run's atlas, and scores what it says. Needs neither model nor network.

    Raises ArtifactMissingError before a scan, ArtifactExistsError for SAEs explained before (`resume` keeps those instead),
    UnknownPluginError.
    """
    config = config or run_config(run).atlas.explain
    for name in open_atlas(run.atlas).saes():
        atlas = open_atlas(run.atlas)
        most = config.most_latents
        latents = None if most is None else range(min(most, atlas.latents(name).n_latents))
        kept = {annotation.label for annotation in atlas.annotations(name)} if resume else set[str]()
        if config.explainer not in kept:
            explain_latents(atlas, name, explainer=config.explainer, latents=latents)
        if config.scorer is not None and f"{config.scorer}.{config.explainer}" not in kept:
            score_explanations(open_atlas(run.atlas), name, explanations=config.explainer, scorer=config.scorer)
    get_display().say(f"explained the latents of {', '.join(open_atlas(run.atlas).saes())} -> {run.atlas}")
