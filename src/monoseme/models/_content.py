"""What makes two language models the same: a hash over weights, configuration and tokenizer."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monoseme.core.files import hash_file, hash_json

_WEIGHTS = ("*.safetensors", "*.bin")
_OTHERS = (
    "config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)


def hash_folder(folder: Path) -> str:
    """Hash of the files that weights, configuration and tokenizer are read from; the folder's name does not count."""
    weights = [path for pattern in _WEIGHTS for path in sorted(folder.glob(pattern))]
    # A folder that has both forms is read from its safetensors.
    safe = [path for path in weights if path.suffix == ".safetensors"]
    others = [folder / name for name in _OTHERS if (folder / name).is_file()]
    return hash_json({path.name: hash_file(path) for path in (safe or weights) + others})


def hash_modules(model: nn.Module, tokenizer: Any) -> str:
    """Hash of the tensors of a model in memory, by name, and of its tokenizer's vocabulary."""
    digests = {name: _hash_tensor(tensor) for name, tensor in sorted(model.state_dict().items())}
    return hash_json({"tensors": digests, "vocabulary": tokenizer.get_vocab() if tokenizer is not None else None})


def _hash_tensor(tensor: torch.Tensor) -> str:
    digest = hashlib.sha256(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))  # pyright: ignore[reportArgumentType]
    return digest.hexdigest()
