"""Verifies an atlas by its manifests: the text, the model and the SAEs that they name are opened again and held against it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from monoseme.activations import ActivationSource, FirstBlocks, LiveSource, SinkFilter
from monoseme.atlas import Target, open_atlas
from monoseme.atlas.latents import Latents
from monoseme.atlas.verify import Verification, VerifyConfig, verify_atlas
from monoseme.core.config import from_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.core.files import typed
from monoseme.models import LanguageModel, ModelConfig, Site
from monoseme.pipeline._folder import RUN_FILE, RunFolder
from monoseme.pipeline._found import OF_RUN, find_saes, settings_for
from monoseme.pipeline._saes import NamedSae
from monoseme.text import CorpusConfig, TokenStore


def verify_place(
    place: Path, *, saes: Sequence[str] = (), model: ModelConfig | None = None, config: VerifyConfig | None = None
) -> Verification:
    """Verify the atlas of a run, or in a folder, against the SAEs that words mean (none: those of the run it lies in).

    SAEs are known by their hashes, whatever they are called now. `model` None: that of the SAEs' run, or the one their own
    files name. Raises ArtifactMissingError where there is no atlas or no SAE for a part of it, ConfigError where the model or the
    kind of scan is not known.
    """
    run = RunFolder(place) if (place / RUN_FILE).is_file() else RunFolder(place.parent)
    atlas = open_atlas(run.atlas if run.path == place else place)
    words = list(saes) or ([str(run.path)] if (run.path / RUN_FILE).is_file() else [])
    if not words:
        raise ConfigError(f"{place} lies in no run, so its SAEs are not known.\n  Name them:  --sae RUN or RUN/saes/NAME")
    found = find_saes(words)
    settings = model or settings_for(found, model=ModelConfig(model=OF_RUN)).model
    get_display().say(f"loading {settings.model}")
    language_model = LanguageModel.load(settings)
    named = [sae.named for sae in found]
    parts = [atlas.latents(key) for key in atlas.saes()]
    targets = list({target.key: target for latents in parts for target in [_target(latents, named)]}.values())
    source = _source(_told_source(parts), language_model)
    return verify_atlas(atlas, source, targets, config=config, model=language_model)


def _target(latents: Latents, saes: Sequence[NamedSae]) -> Target:
    """The scanned SAE: by its hash, else by its name, and then the hash will be told to be another one."""
    told = latents.artifact.config
    by_hash = [sae for sae in saes if sae.content_hash == latents.artifact.inputs["sae"]]
    by_name = [sae for sae in saes if sae.name == told["name"]]
    if not by_hash and not by_name:
        given = ", ".join(sae.name for sae in saes)
        raise ArtifactMissingError(
            f"{latents.key} was scanned from an SAE that is not among {given}.\n"
            f"  Name it too:  --sae RUN/saes/{typed(told['name'])}"
        )
    sae = (by_hash or by_name)[0]
    return Target(told["name"], sae.sae, sae.sites, part=told["part"], sae_hash=sae.content_hash)


def _told_source(parts: Sequence[Latents]) -> dict[str, Any]:
    """What the manifests say of the activations: the sites of all parts, and else what they have in common.

    Raises ConfigError for scans of different text, and for activations that did not come from one live model.
    """
    specs = [cast(dict[str, Any], latents.artifact.config["source"]) for latents in parts]
    if any(spec != specs[0] for spec in specs):
        raise ConfigError("the parts of this atlas were scanned from different sources, so they cannot be verified in one pass.")
    if specs[0].get("kind") != "live":
        raise ConfigError(f"a scan of the kind {specs[0].get('kind')!r} is not made again; check its checksums.")
    return specs[0]


def _source(spec: Mapping[str, Any], model: LanguageModel) -> ActivationSource:
    """The activations that a manifest tells of, from the same text by the same settings."""
    plan, sinks = spec["plan"], spec["sinks"]
    corpus = from_dict(CorpusConfig, plan["text"]["corpus"], where="the manifest's corpus")
    store = TokenStore.build(corpus, model.tokenizer, max_tokens=plan["text"]["max_tokens"])
    live = LiveSource(
        model,
        store.contexts(plan["split"]),
        [Site.parse(site) for site in spec["sites"]],
        contexts_per_block=spec["contexts_per_block"],
        contexts_per_forward=spec["contexts_per_forward"],
        filter=None if sinks is None else SinkFilter(factor=sinks["factor"], thresholds=sinks["thresholds"]),
    )
    return FirstBlocks(live, spec["first_blocks"]) if "first_blocks" in spec else live
