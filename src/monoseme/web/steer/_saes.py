"""The SAEs of a run that can steer: by the names of the atlas, and loaded with what it knows of their latents."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from monoseme.core.artifact import open_artifact
from monoseme.core.config import suggest
from monoseme.web.run_files import NotFoundError, RunFiles, UnavailableError, check_latent
from monoseme.web.steer.answers import SteerSae

if TYPE_CHECKING:
    from monoseme.models import LanguageModel
    from monoseme.pipeline import FoundSae, KnownSaes


def steer_saes(files: RunFiles) -> list[SteerSae]:
    """Every SAE, part and site with a name of its own, in the run's order; loads none of them."""
    scanned = files.scanned()
    return [_described(files, name, key, scanned=key in scanned) for name in files.sae_paths() for key in _keys(files, name)]


def require_latent(saes: Iterable[SteerSae], key: str, latent: int) -> None:
    """Raises NotFoundError for a latent that there is not, UnavailableError for one that cannot be steered with."""
    known = {sae.key: sae for sae in saes}
    if key not in known:
        raise NotFoundError(f"this run has no SAE {key!r}.{suggest(key, list(known))}")
    sae = known[key]
    check_latent(latent, sae.n_latents, key)
    if sae.why_not is not None:
        raise UnavailableError(sae.why_not)


def known_saes(files: RunFiles, keys: Iterable[str], model: "LanguageModel") -> "KnownSaes":
    """The SAEs behind these names, on the model's device. For the worker's thread. Raises what loading raises."""
    from monoseme.pipeline import KnownSaes

    worker = files.worker
    names = tuple(sorted({name_of(files, key) for key in keys}))

    def made() -> KnownSaes:
        found = [worker.kept(model, ("found", files.sae_paths()[name]), lambda name=name: _found(files, name)) for name in names]
        for sae in found:
            sae.named.sae.to(model.device)
        return KnownSaes(found, model)

    return worker.kept(model, ("known", files.folder.path, names), made)


def name_of(files: RunFiles, key: str) -> str:
    """The SAE in the run that a name in the atlas belongs to."""
    return next(name for name in files.sae_paths() if key in _keys(files, name))


def _found(files: RunFiles, name: str) -> "FoundSae":
    from monoseme.pipeline import find_saes

    (found,) = find_saes([str(files.sae_paths()[name])])
    return found._replace(named=found.named._replace(name=name))


def _keys(files: RunFiles, name: str) -> list[str]:
    """As the atlas has them; of an SAE that was not scanned, those that it would have."""
    from monoseme.saes import SAES

    keys = files.keys_of(name)
    if keys != [name] or name in files.scanned():
        return keys
    architecture = open_artifact(files.sae_paths()[name], kind="sae").config["architecture"]
    return [f"{name}@{site}" for site in files.sites_of(name)] if SAES.get(architecture).codes_per_site else [name]


def _described(files: RunFiles, name: str, key: str, *, scanned: bool) -> SteerSae:
    sites = files.sites_of(name)
    why_not = None
    if any("@" in site for site in sites):
        why_not = f"{name} reads two models, and one is run here: it can neither steer nor be watched."
    return SteerSae(
        key=key,
        site=key.partition("@")[2] or ", ".join(sites),
        n_latents=open_artifact(files.sae_paths()[name], kind="sae").config["n_latents"],
        why_not=why_not,
        has_maxima=scanned,
    )
