"""Broken twins of a good foreign file: every way of breaking one that a format must answer with one clear error.

`broken(folder)` yields names and functions; each function breaks a copy of the folder in place. All are wrong for any format: a
cut or empty file, a tensor that is missing, of another shape, of whole numbers, NaN or infinite, JSON that is cut, of another
kind or without end, and pickles that run code.
"""

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

Break = Callable[[Path], None]
_PICKLED = (".pt", ".pth", ".ckpt")
_TEXTS = (".json", ".yaml", ".yml")
_OURS = "fingerprint.safetensors"


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


def broken(folder: Path, *, optional: tuple[str, ...] = (), witness: Path) -> Iterator[tuple[str, Break]]:
    """(name, break) for each way of breaking the files of a folder.

    `optional` are tensors and files that may be missing; `witness` is what a pickle that runs code would make.
    """
    files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file() and path.name != _OURS]
    for file in files:
        text = str(file)
        if text not in optional:
            yield f"{text}: missing", lambda at, file=file: (at / file).unlink()
        yield f"{text}: empty", lambda at, file=file: (at / file).write_bytes(b"")
        for share in (0.02, 0.5, 0.97):
            yield f"{text}: cut at {share}", lambda at, file=file, share=share: _cut(at / file, share)
        yield f"{text}: bytes of a picture", lambda at, file=file: (at / file).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
        if file.suffix in _TEXTS:
            yield from _broken_text(file)
        if file.suffix in _PICKLED:
            yield from _broken_pickle(file, witness)
        if file.suffix in (*_PICKLED, ".safetensors", ".npz"):
            yield from _broken_tensors(file, tensors_of(folder / file), optional)


def _cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: max(1, int(len(data) * share))])


def _broken_text(file: Path) -> Iterator[tuple[str, Break]]:
    for name, content in {
        "a list": b"[1, 2, 3]",
        "a number": b"17",
        "deep": b"[" * 100_000,
        "no text": b"\xff\xfe\x00\x01",
        "an empty table": b"{}",
    }.items():
        yield f"{file}: {name}", lambda at, content=content: (at / file).write_bytes(content) and None


def _broken_pickle(file: Path, witness: Path) -> Iterator[tuple[str, Break]]:
    yield f"{file}: a pickle that runs code", lambda at: (at / file).write_bytes(pickle.dumps(Payload(witness))) and None
    yield f"{file}: torch.save of code", lambda at: torch.save(Payload(witness), at / file)
    yield (
        f"{file}: a table with code in it",
        lambda at: _hide(at / file, Payload(witness)),
    )
    yield f"{file}: a list", lambda at: torch.save([1, 2, 3], at / file)
    yield f"{file}: a tensor", lambda at: torch.save(torch.ones(3), at / file)


def _hide(path: Path, payload: Payload) -> None:
    torch.save({**torch.load(path), "hidden": payload}, path)


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """The floating tensors of a file, by name; those in an inner table under `outer/inner`."""
    if path.suffix == ".safetensors":
        return {name: value for name, value in load_file(path).items() if value.is_floating_point()}
    if path.suffix == ".npz":
        with np.load(path) as found:
            return {name: torch.from_numpy(found[name]) for name in found.files}
    return {"/".join(at): v for at, v in _walk(torch.load(path, weights_only=True)) if v.is_floating_point() and v.ndim}


def _walk(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield at, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, (*at, str(name)))


def change_tensor(path: Path, name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
    """Writes a file again with one tensor changed, or left out where `change` gives None."""
    if path.suffix in _PICKLED:
        whole = torch.load(path, weights_only=True)
        table, *_, last = whole, *name.split("/")
        for step in name.split("/")[:-1]:
            table = table[step]
        _put(table, last, change)
        torch.save(whole, path)
        return
    tensors = load_file(path) if path.suffix == ".safetensors" else dict(tensors_of(path))
    _put(tensors, name, change)
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    else:
        np.savez(path, **{key: value.numpy() for key, value in tensors.items()})


def _put(table: dict[str, Any], name: str, change: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
    made = change(table[name])
    if made is None:
        del table[name]
    else:
        table[name] = made


def _broken_tensors(file: Path, tensors: dict[str, torch.Tensor], optional: tuple[str, ...]) -> Iterator[tuple[str, Break]]:
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor | None]] = {
        "missing": lambda x: None,
        "one row more": lambda x: torch.cat([x, x[:1]]),
        "one axis more": lambda x: x.unsqueeze(0).repeat(2, *[1] * x.ndim),
        "NaN": lambda x: torch.where(torch.arange(x.numel()).reshape(x.shape) == x.numel() - 1, torch.nan, x),
        "infinite": lambda x: torch.where(torch.arange(x.numel()).reshape(x.shape) == 0, -torch.inf, x),
        "whole numbers": lambda x: x.to(torch.int64),
        "no rows": lambda x: x[:0],
    }
    for name, tensor in tensors.items():
        for way, change in ways.items():
            if tensor.ndim and not (way == "missing" and name in optional):
                yield f"{file}: {name} {way}", lambda at, name=name, change=change: change_tensor(at / file, name, change)


def copied(folder: Path, to: Path) -> Path:
    """A copy to break."""
    shutil.copytree(folder, to)
    return to
