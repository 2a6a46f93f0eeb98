"""The language model inside MLSAE's `-tfm` files: weights under `transformer.model.`, as transformers names them."""

from pathlib import Path

import torch

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.shapes import Tensor

_PREFIX = "transformer.model."


def transformer_tensors(model: str) -> dict[str, Tensor]:
    """The weights of a model that lies in a folder, in the names of the form. Raises ConfigError where there are none."""
    folder = Path(model).expanduser()
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not files:
        raise ConfigError(f"{model} is no folder with the weights of a language model (*.safetensors)")
    found: dict[str, Tensor] = {}
    try:
        for file in files:
            found |= {f"{_PREFIX}{name}": value.clone() for name, value in load_table(file).items()}
    except ForeignError as error:
        raise ConfigError(f"the language model in {model} cannot be read: {error}") from error
    return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
