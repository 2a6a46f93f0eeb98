"""Language models on this machine: whether a name means a folder, without loading what is in it and without a network."""

import contextlib
import re
from pathlib import Path

from monoseme.core.display import get_display
from monoseme.core.errors import ModelError, ModelNotFoundError
from monoseme.models._env import HubSettings, hub_settings

_PLAIN = re.compile(r"[\w.-]+")
_HUB_OF_ONE_PART = re.compile(r"(distil)?(gpt2|openai-gpt|ctrl|transfo-xl|xlnet|xlm|bert|roberta|albert|camembert|t5)\b")
"""Families of models that the hub took in before names there had an owner; there will be no others.

What is pushed or exported says which it is (`name_elsewhere`); what a user types does not, nor what was pushed before that.
"""
_BUNDLED = Path(__file__).parent.parent / "bundled" / "model"


def folder_or_id(model: str) -> str:
    """Where a model that is named in settings is: the one that ships with monoseme, one in a home folder, else as it is named."""
    if model == "bundled":
        return str(_BUNDLED)
    with contextlib.suppress(RuntimeError):  # the home of somebody who is not known here
        return str(Path(model).expanduser()) if model.startswith("~") else model
    return model


def local_folder(name: str, hub: HubSettings, *, revision: str | None = None) -> Path | None:
    """The model's folder, or None for what may be a hub id, which is not looked up.

    Raises ModelNotFoundError for a folder that is not there or holds no model, ModelError for a folder with a `revision`.
    """
    path = Path(name)
    if _is_folder(path):
        if not (path / "config.json").is_file():
            raise ModelNotFoundError(_not_a_model(path))
        if revision is not None:
            raise ModelError(f"{name} is a folder, so revision={revision!r} has no meaning. Leave it out.")
        return path
    if _is_there(path) or _looks_like_path(name):
        raise ModelNotFoundError(
            f"no model folder at {name}.\n  Give a folder that holds config.json, a hub id such as openai-community/gpt2, "
            f'or "bundled" for the model that ships with monoseme.{_was_elsewhere(name)}'
        )
    if "/" not in name and _PLAIN.fullmatch(name) and not _HUB_OF_ONE_PART.match(name) and not _is_in_cache(name, hub, revision):
        # Asked here, since a hub that is out of reach answers only after many tries.
        raise ModelNotFoundError(
            f'no model folder "{name}" here, and no model of the hub is called so (owner/name).{_was_elsewhere(name)}'
        )
    return None


def name_elsewhere(model: str) -> str:
    """What a model is called off this machine: a path is `./NAME`, which no hub id can be; any other name stays.

    So that a folder /data/gpt2 is not taken for the hub's gpt2, and its path tells nobody of this machine. Only the form counts,
    not what lies here: the same settings always become the same.
    """
    if model == "bundled" or not _looks_like_path(model):
        return model
    last = re.split(r"[\\/:]", model.rstrip("\\/"))[-1]
    return "./model" if last.startswith("~") or not last.strip(".") else f"./{last}"


def require_model(model: str) -> None:
    """Raises what `local_folder` raises; warns of a name that may be a hub id and looks like a folder that is not there."""
    name, hub = folder_or_id(model), hub_settings()
    beside = Path(name).parent
    if local_folder(name, hub) is None and beside.name and _is_folder(beside) and not _is_in_cache(name, hub):
        get_display().warn(f"there is no folder {name}: it is taken for a name of the hub, and looked for when it is needed.")


def _is_folder(path: Path) -> bool:
    return _is_there(path) and path.is_dir()


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for any
        return False


def _was_elsewhere(name: str) -> str:
    """What to type where a name can be that of a folder of another machine."""
    is_one = re.fullmatch(r"(\./)?[^/\\]+", name)
    told = "\n  Was it a folder on the machine where the SAEs were made? Then name that model here:  --model FOLDER"
    told += '   (in Python: model="FOLDER", also of monoseme.open)'
    return told if is_one else ""


def _looks_like_path(name: str) -> bool:
    is_of_drive = re.match(r"[A-Za-z]:", name) is not None
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name or is_of_drive


def _is_in_cache(name: str, hub: HubSettings, revision: str | None = None) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, "config.json", cache_dir=hub.cache_dir, revision=revision), str)
    except HFValidationError:  # what can be no name there
        return False


def _not_a_model(path: Path) -> str:
    inside = sorted(p.parent.name for p in path.glob("*/config.json"))
    hint = f"\n  These folders in it do: {', '.join(inside[:5])}" if inside else ""
    return f"{path} holds no config.json, so it is no model folder in Hugging Face layout.{hint}"
