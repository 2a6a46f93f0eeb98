"""The files of a TFA checkpoint: tensors in `.pt` or `.safetensors`, settings in `conf.yaml`, read with distrust.

A training checkpoint is `{sae, optimizer, iter, config}`, where `config` is an OmegaConf object: such a file can run a program
while it is loaded, and is refused with what converts it. The published converter squeezes every tensor, so that what is [1, D] in
one file is [D] in another, and a single number has any shape of one element.
"""

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ForeignError
from monoseme.core.files import typed
from monoseme.core.foreign import as_number, as_object, as_text, read_yaml
from monoseme.interchange._assembled import matrix, one_tensor
from monoseme.tensors.foreign_file import load_plain
from monoseme.tensors.shapes import Tensor

CONF = "conf.yaml"
WEIGHTS = "latest_ckpt"
_FILE = re.compile(r"(?:latest_ckpt|ckpt_\d{1,9})\.(?:safetensors|pt)", re.ASCII)
_LAYER = re.compile(r"layer_(\d{1,3})", re.ASCII)
_SUFFIXES = (".safetensors", ".pt")


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    file: Path
    tensors: Mapping[str, Any]
    """State dict of the SAE."""
    conf: Mapping[str, Mapping[str, Any]]
    """Groups of settings; empty where there is no conf.yaml."""

    @property
    def where(self) -> str:
        """For messages."""
        return str(self.file)

    def setting(self, name: str, *groups: str) -> Any:
        """A setting of the first group that has it; None where none does."""
        return next((self.conf[group][name] for group in groups if self.conf.get(group, {}).get(name) is not None), None)

    def number(self, name: str, *groups: str) -> float | None:
        """As `setting`, a number. Raises ForeignError for anything else."""
        found = self.setting(name, *groups)
        if isinstance(found, str):  # YAML 1.1 reads 1e-3 as text
            with contextlib.suppress(ValueError):
                found = float(found)
        return None if found is None else as_number(found, where=f"{self.file.parent / CONF}: {name}")

    def whole_number(self, name: str, *groups: str) -> int | None:
        """As `number`, a count. Raises ForeignError."""
        found = self.number(name, *groups)
        if found is not None and (found != int(found) or not 1 <= found < 2**31):
            raise ForeignError(f"{self.file.parent / CONF}: {name} should be a count, not {found:g}")
        return None if found is None else int(found)

    def text(self, name: str, *groups: str) -> str | None:
        """As `setting`, a text. Raises ForeignError."""
        found = self.setting(name, *groups)
        return None if found is None else as_text(found, where=f"{self.file.parent / CONF}: {name}")


def checkpoint_file(path: Path) -> Path | None:
    """The file of weights: `path` itself, or that of a folder, safetensors before `.pt`; None where there is none."""
    if path.is_file():
        return path.parent / path.name if path.suffix in _SUFFIXES else _in_folder(path.parent) if path.name == CONF else None
    return _in_folder(path) if path.is_dir() else None


def _in_folder(folder: Path) -> Path | None:
    latest = [folder / f"{WEIGHTS}{suffix}" for suffix in _SUFFIXES]
    found = [file for file in latest if file.is_file()]
    others = sorted(file for file in folder.glob("ckpt_*") if _FILE.fullmatch(file.name)) if not found else []
    return found[0] if found else others[0] if len(others) == 1 else None


def is_named_so(file: Path) -> bool:
    """Whether a file is called as checkpoints are, with settings beside it."""
    return bool(_FILE.fullmatch(file.name)) and (file.parent / CONF).is_file()


def read_checkpoint(path: Path) -> Checkpoint:
    """Raises ForeignError."""
    file = checkpoint_file(path)
    if file is None:
        raise ForeignError(f"{path} should be, or hold, one {WEIGHTS}.safetensors or {WEIGHTS}.pt")
    conf = file.parent / CONF
    groups: dict[str, Mapping[str, Any]] = {}
    if conf.is_file():
        told = as_object(read_yaml(conf), where=str(conf))
        groups = {str(name): as_object(group, where=f"{conf}: {name}") for name, group in told.items() if isinstance(group, dict)}
        if not groups:
            raise ForeignError(f"{conf} should hold groups of settings (data, llm, sae), but has none")
    try:
        held = load_plain(file)
    except ForeignError as error:
        if "is not loaded" in str(error):
            raise ForeignError(_refusal(file)) from error
        raise
    inner = held.get("sae", held)
    return Checkpoint(file, as_object(inner, where=f"{file}: sae"), groups)


def layer_named(path: Path) -> int | None:
    """The layer that a folder above the file names: gemma-2-2B/layer_12/temporal."""
    found = [int(match[1]) for part in path.resolve().parts if (match := _LAYER.fullmatch(part))]
    return found[-1] if found else None


def squeezed(tensors: Mapping[str, Any], name: str, size: int, *, where: str) -> Tensor:
    """A vector that may come as one row. Raises ForeignError."""
    shape = tuple(matrix(tensors, name, where=where).shape)
    return one_tensor(tensors, name, (1, size) if shape == (1, size) else (size,), where=where).reshape(size)


def single(tensors: Mapping[str, Any], name: str, *, where: str) -> Tensor:
    """A number that may come with axes of one element, as float64. Raises ForeignError."""
    value = matrix(tensors, name, where=where)
    if value.numel() != 1 or not bool(torch.isfinite(value).all()):
        raise ForeignError(f"{where}: {name} should be one finite number, but has the shape {list(value.shape)}")
    return value.reshape(()).double()


def _refusal(file: Path) -> str:
    made = file.with_suffix(".safetensors")
    return (
        f"{file} is not loaded: it holds more than tensors (training keeps its configuration as an object), which can run any\n"
        "  program while it is read. If you made it yourself, convert it in an environment that may be lost, and import again\n"
        f"  (the .safetensors file is read instead). Type:  python - {typed(file)} {typed(made)} <<'END'\n"
        "import sys, torch\nfrom safetensors.torch import save_file\n"
        'found = torch.load(sys.argv[1], map_location="cpu", weights_only=False)["sae"]\n'
        "save_file({name: value.contiguous() for name, value in found.items()}, sys.argv[2])\nEND"
    )
