"""The folders of a sparsify run: which hold an SAE, what each is called, and what their JSON says."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ConfigError, ForeignError, MonosemeError
from monoseme.core.foreign import read_json_object
from monoseme.models.hook_names import module_site
from monoseme.models.site import Site

CFG, WEIGHTS, RUN = "cfg.json", "sae.safetensors", "config.json"
_SEED = re.compile(r"seed\d{1,9}", re.ASCII)
_DEEPEST = 4
"""save_dir / run / best / hook point / seed: folders below the one that is named."""
_MOST_FOLDERS = 10_000
_KEPT = ("model", "dataset", "ctx_len", "split", "loss_fn", "hookpoints", "sae", "transcode")
_POST_NORMED = ("gemma-2", "gemma2", "gemma-3", "gemma3")
"""Models in which a norm comes after attention and the MLP, before the residual stream: outputs of those modules are no sites."""


class Hook(NamedTuple):
    """One SAE of a run."""

    folder: Path
    name: str
    hookpoint: str

    @classmethod
    def of(cls, folder: Path, below: Path | None = None) -> "Hook":
        """Named by its path below the run, else by its own folder."""
        at = folder.resolve()
        seeded = _SEED.fullmatch(at.name) is not None
        hookpoint = at.parent.name if seeded else at.name
        names = folder.relative_to(below).parts if below else ((hookpoint, at.name) if seeded else (hookpoint,))
        return cls(folder, re.sub(r"[^\w.-]", "_", "-".join(names), flags=re.ASCII)[:200] or "sae", hookpoint)

    def site(self, model: str | None) -> Site | None:
        """The output of that module as a site of ours; None where it is not known to be one."""
        site = module_site(self.hookpoint)
        after_a_norm = site is not None and site.kind != "resid_post"
        if after_a_norm and any(name in (model or "").lower() for name in _POST_NORMED):
            return None
        return site


class Cfg(NamedTuple):
    """What cfg.json says."""

    d_in: int
    n_latents: int
    k: int
    groups: bool
    signed: bool
    skip: bool
    transcode: bool
    multi_topk: bool


def is_hook(folder: Path) -> bool:
    """Whether both files are there."""
    try:
        return (folder / CFG).is_file() and (folder / WEIGHTS).is_file()
    except (OSError, ValueError):
        return False


def hooks_below(folder: Path) -> list[Hook]:
    """The SAEs in the folders of a run, by name; links are not followed."""
    found: list[Hook] = []
    level = [folder]
    for _ in range(_DEEPEST):
        level = [path for parent in level for path in _folders(parent)][:_MOST_FOLDERS]
        found += [Hook.of(path, folder) for path in level if is_hook(path)]
    return sorted(found, key=lambda hook: [(len(part), part) for part in re.split(r"(\d+)", hook.name)])


def read_cfg(path: Path, run: dict[str, Any], *, k: int | None, transcode: bool | None) -> Cfg:
    """Raises ForeignError for values that cannot be, ConfigError where k is not there."""
    given = read_json_object(path)
    where = str(path)
    d_in = _count(given, "d_in", where)
    n_latents = _count(given, "num_latents", where, default=0, least=0)
    n_latents = n_latents or d_in * _count(given, "expansion_factor", where)
    if k is None and "k" not in given:
        raise ConfigError(f"{where} does not say how many latents are kept per token. Give it:  --k 32")
    k = _count(given, "k", where) if k is None else k
    if not 1 <= k <= n_latents:
        raise ForeignError(f"{where}: k is {k}; it must be from 1 to the number of latents, {n_latents}")
    activation = given.get("activation", "topk")
    if activation not in ("topk", "groupmax"):
        raise ForeignError(f"{where}: activation is {str(activation)[:60]!r}; known are topk and groupmax")
    if activation == "groupmax" and n_latents % k:
        raise ForeignError(f"{where}: groupmax needs groups of one size, but {n_latents} latents do not part into {k}")
    flags = {name: _flag(given, name, where) for name in ("signed", "skip_connection", "multi_topk")}
    said = given if "transcode" in given else run
    transcode = _flag(said, "transcode", where) if transcode is None else transcode
    groups = activation == "groupmax"
    return Cfg(d_in, n_latents, k, groups, flags["signed"], flags["skip_connection"], transcode, flags["multi_topk"])


def run_facts(folder: Path) -> dict[str, Any]:
    """What the `config.json` of a run says that is worth keeping: of this folder, else of one of the two above.

    Raises ForeignError where the one of this folder is no run's; those above may be anyone's.
    """
    own = folder / RUN
    if own.is_file():
        found = read_json_object(own)
        if not isinstance(found.get("sae"), dict):
            raise ForeignError(f"{own} is no config.json of a sparsify run: it has no table sae")
        return _facts(found, str(own))
    for parent in list(folder.resolve().parents)[:2]:
        try:
            found = read_json_object(parent / RUN)
        except MonosemeError:
            continue
        if isinstance(found.get("sae"), dict):
            return _facts(found, str(parent / RUN))
    return {}


def _facts(found: dict[str, Any], where: str) -> dict[str, Any]:
    kept = {name: found[name] for name in _KEPT if name in found}
    if not isinstance(kept.get("model", ""), str):
        raise ForeignError(f"{where}: model is not a name")
    return kept


def _folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []


def _count(given: dict[str, Any], name: str, where: str, *, default: int | None = None, least: int = 1) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 1 << 31:
        raise ForeignError(f"{where}: {name} should be a count of at least {least}, but is {str(value)[:60]}")
    return value


def _flag(given: dict[str, Any], name: str, where: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise ForeignError(f"{where}: {name} should be true or false, but is {str(value)[:60]}")
    return value
