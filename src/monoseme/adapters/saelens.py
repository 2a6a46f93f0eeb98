"""An SAE of ours as SAELens' analysis code takes one: in `HookedSAETransformer`, in its evaluations, in SAEBench.

Where SAELens has the architecture, it is an instance of SAELens' own class, made of an export in its format; else one of a
subclass of its base class, which calls ours.
"""

import importlib.util
import tempfile
import types
from pathlib import Path
from typing import Any

from monoseme.adapters._linear import for_use, hook_of, place
from monoseme.core.errors import ConfigError, ExtraMissingError, UnknownPluginError
from monoseme.interchange import ExportSource, export_sae
from monoseme.models.site import Site
from monoseme.saes import SAE

_TOOL = "SAELens"


def as_saelens(
    sae: SAE,
    *,
    site: Site | str,
    model_name: str,
    context_size: int = 128,
    prepend_bos: bool = True,
    own_class: bool | None = None,
) -> Any:
    """The SAE as a `sae_lens.SAE`, on the CPU in its own type; `.to` moves it.

    `own_class` True asks for an instance of SAELens' own class, False for the subclass that calls ours, None for the first where
    there is one. Raises ExtraMissingError without SAELens; SiteError and ConfigError as `as_saebench` does, and ConfigError where
    `own_class` is True and SAELens has no such architecture.
    """
    theirs = _saelens()
    site = place(site)
    metadata: dict[str, Any] = {
        "model_name": model_name,
        "hook_name": hook_of(site, tool=_TOOL),
        "hook_layer": site.layer,
        "hook_head_index": None,
        "context_size": context_size,
        "prepend_bos": prepend_bos,
    }
    made = _in_own_class(theirs, sae, site, model_name, must=own_class is True) if own_class is not False else None
    if made is None:
        made = _subclass(sae, site)
    for name, value in metadata.items():
        setattr(made.cfg.metadata, name, value)
    return made


def _saelens() -> types.ModuleType:
    if importlib.util.find_spec("sae_lens") is None:
        raise ExtraMissingError("an SAE of SAELens", extra="saelens")
    return importlib.import_module("sae_lens")


def _in_own_class(theirs: Any, sae: SAE, site: Site, model_name: str, *, must: bool) -> Any:
    """An instance of SAELens' own class; None where it has none for this SAE, unless there must be one."""
    source = ExportSource(name=sae.plugin_name, sites=(site,), model=model_name)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "sae"
        try:
            export_sae(sae, out, format="saelens", source=source, fingerprint=False)
        except (ConfigError, UnknownPluginError):
            if must:
                raise
            return None
        (config,) = out.rglob("cfg.json")
        return theirs.SAE.load_from_disk(str(config.parent))


def _subclass(sae: SAE, site: Site) -> Any:
    from monoseme.adapters._saelens_class import MonosemeConfig, MonosemeSAE

    made = for_use(sae, tool=_TOOL).cpu()
    heads = "hook_z" if site.kind == "head_out" else "none"
    cfg = MonosemeConfig(d_in=made.d_in, d_sae=made.n_latents, reshape_activations=heads, computed_by=made.plugin_name)
    return MonosemeSAE(cfg, made)
