"""Loading a language model from a folder or the hub, and saying clearly why it cannot be loaded."""

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors import SafetensorError
from torch import nn

from monoseme.core.errors import ExtraMissingError, GatedModelError, ModelError, ModelNotFoundError
from monoseme.models._env import HubSettings, hub_settings
from monoseme.models.config import ModelConfig
from monoseme.models.local import folder_or_id, local_folder


class Loaded(NamedTuple):
    """A model in evaluation mode, its tokenizer, and the folder its files are in."""

    model: nn.Module
    tokenizer: Any
    folder: Path


def load(config: ModelConfig) -> Loaded:
    """Loads what `config` names.

    Raises ModelNotFoundError, GatedModelError, ExtraMissingError, or ModelError with what transformers said.
    """
    _check_extras(config)
    name, folder, hub, where = _place(config)
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        with without_progress_bar():
            loaded: Any = AutoModelForCausalLM.from_pretrained(name, **where, **_options(config), output_loading_info=True)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError, SafetensorError) as error:
        raise _explained(error, config) from error
    model, report = cast(tuple[nn.Module, Any], loaded)
    _check_whole(report, config)
    if config.device_map is None and config.quantise is None:
        model = model.to(device_of(config.device))
    return Loaded(model, tokenizer, folder or _snapshot(name, config, hub))


class _Place(NamedTuple):
    """Where a model is read from."""

    name: str
    folder: Path | None
    """On this machine; None for one of the hub."""
    hub: HubSettings
    options: dict[str, Any]
    """What transformers' loaders are told."""


def _place(config: ModelConfig) -> _Place:
    hub = hub_settings()
    name = folder_or_id(config.model)
    folder = _folder(name, config, hub)
    options: dict[str, Any] = {"trust_remote_code": config.trust_remote_code}
    if folder is None:
        options |= {"revision": config.revision, "token": hub.token, "cache_dir": hub.cache_dir}
    return _Place(name, folder, hub, options)


def load_sizes(config: ModelConfig) -> Loaded:
    """What `config` names with its weights on torch's meta device, where they have shapes and types but no memory.

    Raises what `load` raises, but for weights that are missing, which are not looked for.
    """
    name, folder, hub, where = _place(config)
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        settings: Any = AutoConfig.from_pretrained(name, **where)
        dtype = settings.dtype or torch.float32 if config.dtype == "auto" else getattr(torch, config.dtype)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(settings, dtype=dtype, trust_remote_code=config.trust_remote_code)
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        raise _explained(error, config) from error
    return Loaded(model, tokenizer, folder or _snapshot(name, config, hub))


def _check_whole(report: Any, config: ModelConfig) -> None:
    """Raises ModelError when weights are not in the files: transformers would draw them at random and only log it."""
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"{config.model} lacks {len(missing)} of its weights, first {', '.join(missing[:3])}. "
            "Is a file missing, or is config.json that of another model?"
        )


@contextlib.contextmanager
def without_progress_bar() -> Iterator[None]:
    """Keeps transformers from drawing its own bar for the weights: progress is shown by whoever loads the model."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()


def _folder(name: str, config: ModelConfig, hub: HubSettings) -> Path | None:
    """The local folder `name`, or None for a hub id that the hub (or its cache) has."""
    folder = local_folder(name, hub, revision=config.revision)
    if folder is not None:
        return folder
    try:
        _hub_file(name, config, hub)
    except OSError as error:
        raise _explained(error, config) from error
    except ValueError as error:  # huggingface_hub refuses what cannot be an id
        raise ModelNotFoundError(f'"{name}" is neither a folder nor a hub id (owner/name): {error}') from error
    return None


def _hub_file(name: str, config: ModelConfig, hub: HubSettings) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, "config.json", revision=config.revision, token=hub.token, cache_dir=hub.cache_dir))


def _snapshot(name: str, config: ModelConfig, hub: HubSettings) -> Path:
    """The folder in the hub's cache where the files just loaded are."""
    return _hub_file(name, config, hub).parent


def _options(config: ModelConfig) -> dict[str, Any]:
    options: dict[str, Any] = {"dtype": "auto" if config.dtype == "auto" else getattr(torch, config.dtype)}
    if config.attention is not None:
        options["attn_implementation"] = config.attention
    if config.device_map is not None:
        options["device_map"] = config.device_map
    if config.quantise is not None:
        from transformers import BitsAndBytesConfig

        is_8bit = config.quantise == "8bit"
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=is_8bit, load_in_4bit=not is_8bit)
        options.setdefault("device_map", {"": config.device})
    return options


def _check_extras(config: ModelConfig) -> None:
    if config.quantise is not None and importlib.util.find_spec("bitsandbytes") is None:
        raise ExtraMissingError(f'loading a model with quantise="{config.quantise}"', extra="quantise")
    needs_accelerate = config.device_map is not None or config.quantise is not None
    if needs_accelerate and importlib.util.find_spec("accelerate") is None:
        raise ExtraMissingError("spreading a model over devices (device_map)", extra="device-map")


def device_of(name: str) -> torch.device:
    """The device of that name. Raises ModelError for one that does not exist, or is not there."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f'"{name}" is no device. Give cpu, cuda, cuda:1 or mps.') from error
    is_there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}.get(device.type, lambda: True)()
    if not is_there:
        raise ModelError(f'device "{name}" is not available here. Give --device cpu, or check the driver and the build of torch.')
    return device


def _explained(error: Exception, config: ModelConfig) -> ModelError:
    """The error in our words, by what is deepest in its chain of causes."""
    from huggingface_hub import errors as hub

    for cause in _causes(error):
        if isinstance(cause, hub.GatedRepoError):
            return GatedModelError(
                f"{config.model} is gated: its authors ask you to accept a licence first.\n"
                f"  1. Accept it at https://huggingface.co/{config.model}\n"
                "  2. Type:  hf auth login      (or set HF_TOKEN, also in a .env file here)"
            )
        if isinstance(cause, hub.RevisionNotFoundError):
            return ModelNotFoundError(f"{config.model} has no revision {config.revision!r} on the hub")
        if isinstance(cause, hub.RepositoryNotFoundError):
            return ModelNotFoundError(
                f"no model {config.model} on the hub, and no such folder here. Is it spelt right? "
                "A private model needs HF_TOKEN (type:  hf auth login)."
            )
        if isinstance(cause, hub.LocalEntryNotFoundError):
            return ModelNotFoundError(
                f"{config.model} is no folder here, is not in the hub's cache, and the hub cannot be reached.\n"
                f"  Where there is a network, type:  hf download {config.model}"
            )
    return ModelError(f"{config.model} cannot be loaded: {_first_words(error)}")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()[:500]}"
