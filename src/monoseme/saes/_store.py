"""An SAE on disk: a `sae` artifact with the config in its manifest and one safetensors file.

Written by `save_sae` (training, importers, export), read by `load_sae` (everything that uses an SAE). The manifest's config is
the SAE's own (`architecture` and its settings) with what it was trained on beside it (`site`, `model`, ...). Keys of the tensor
file are the names of parameters and buffers.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from monoseme.core.artifact import Artifact, new_artifact, open_artifact
from monoseme.core.errors import ArtifactDamagedError, ConfigError
from monoseme.saes._base import SAE
from monoseme.saes._registry import ARCHITECTURE, SAES, build, config_from_dict, config_to_dict
from monoseme.tensors.saving import save_tensors

TENSORS = "sae.safetensors"


def save_sae(
    sae: SAE,
    path: Path,
    *,
    inputs: Mapping[str, str] | None = None,
    extra_config: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Writes `sae` as an artifact; `extra_config` says what it belongs to (`site`, `model`, ...), `inputs` hashes.

    Raises ConfigError when `extra_config` uses the name of a setting, ArtifactExistsError, DiskFullError.
    """
    own, extra = config_to_dict(sae.config), {**sae.provenance, **(extra_config or {})}
    if clash := sorted(set(own) & set(extra)):
        raise ConfigError(f"extra_config repeats settings of the SAE: {', '.join(clash)}")
    seeds = {"sae": sae.config.seed}
    with new_artifact(path, kind="sae", config={**own, **extra}, inputs=inputs, seeds=seeds, overwrite=overwrite) as out:
        # safetensors has no strides: W_enc is written as [D, F] in plain order and takes its layout again when copied in
        save_tensors(sae.state_dict(), out.folder / TENSORS)


def load_sae(path: Path, *, device: torch.device | str = "cpu") -> SAE:
    """The SAE of an artifact, on `device`, bit for bit as saved; `provenance` holds the rest of its manifest's config.

    Raises the errors of `open_artifact`, and ArtifactDamagedError when the tensors are not those of the config.
    """
    artifact = open_artifact(path, kind="sae")
    own, extra = _split(artifact)
    sae = build(config_from_dict(own, where=f"{path}: config"))
    try:
        tensors = load_file(artifact.file(TENSORS))
    except SafetensorError as error:
        raise ArtifactDamagedError(f"{Path(path) / TENSORS} cannot be read: {error}") from error
    load_tensors(sae, tensors, where=str(path))
    sae.provenance = extra
    return sae.to(device)


def load_tensors(sae: SAE, tensors: Mapping[str, torch.Tensor], *, where: str) -> None:
    """Copies tensors into `sae`, in the dtypes saved. Raises ArtifactDamagedError when names or shapes differ."""
    wanted = {name: tuple(tensor.shape) for name, tensor in sae.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != given:
        wrong = sorted(name for name in wanted.keys() | given.keys() if wanted.get(name) != given.get(name))
        told = ", ".join(f"{name} (needs {wanted.get(name)}, has {given.get(name)})" for name in wrong)
        raise ArtifactDamagedError(f"the tensors of {where} are not those of its config: {told}")
    for name, tensor in sae.state_dict().items():
        if tensor.dtype != tensors[name].dtype:
            _cast(sae, name, tensors[name].dtype)
    sae.load_state_dict(dict(tensors))


def _cast(sae: SAE, name: str, dtype: torch.dtype) -> None:
    """Gives one parameter or buffer another dtype, so that what is copied in keeps its bits."""
    owner_name, _, leaf = name.rpartition(".")
    owner = sae.get_submodule(owner_name)
    tensor = getattr(owner, leaf)
    tensor.data = tensor.data.to(dtype)


def _split(artifact: Artifact) -> tuple[dict[str, Any], dict[str, Any]]:
    """The SAE's own config, and what stands beside it."""
    name = artifact.config.get(ARCHITECTURE)
    names = {ARCHITECTURE}
    if isinstance(name, str):
        names |= {field.name for field in fields(SAES.get(name).Config) if field.init}
    own = {key: value for key, value in artifact.config.items() if key in names}
    return own, {key: value for key, value in artifact.config.items() if key not in names}
