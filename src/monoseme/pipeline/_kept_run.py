"""A run of SAEs that were not trained in it, such as those of other tools: it can be scanned, explained, reported and served."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from monoseme.core.display import get_display
from monoseme.core.drafts import new_folder
from monoseme.core.errors import ConfigError
from monoseme.pipeline._config import RunConfig, run_config_to_dict
from monoseme.pipeline._folder import RunFolder, new_run, require_free
from monoseme.pipeline._found import FoundSae
from monoseme.saes import save_sae


def keep_run(found: Sequence[FoundSae], config: RunConfig, out: Path) -> RunFolder:
    """Writes SAEs as artifacts of a new run with the model and the text of `config`; whole or absent.

    Raises ConfigError for an SAE of two models, ArtifactExistsError where something is there, DiskFullError.
    """
    require_free(out)
    for sae in found:
        if any(site.model is not None for site in sae.named.sites):
            raise ConfigError(f"{sae.named.name} reads two models, of which a run of given SAEs has one: leave out --out")
    jobs = {sae.named.name: ",".join(map(str, sae.named.sites)) for sae in found}
    placed = tuple(dataclasses.replace(sae.named.sae.config, sites=tuple(map(str, sae.named.sites))) for sae in found)
    with new_folder(out) as draft:
        run = new_run(draft, config=run_config_to_dict(dataclasses.replace(config, saes=placed)), jobs=jobs, is_trained=False)
        for sae in found:
            known = {"site": jobs[sae.named.name], **({"model": sae.named.model} if sae.named.model else {})}
            own = {key: value for key, value in known.items() if key not in sae.named.sae.provenance}
            inputs = {"sae": sae.named.content_hash} if sae.named.content_hash else {}
            save_sae(sae.named.sae, run.sae(sae.named.name), inputs=inputs, extra_config=own)
        run.add({"saes": {name: f"saes/{name}" for name in jobs}})
    get_display().say(f"run -> {out}")
    return RunFolder(out)
