"""Environments of other libraries: one for each, made where it is missing, with the torch of our own constraints.

Pins and workers lie in `benchmarks/peers` of the repository, environments in the user's cache (MONOSEME_CACHE, XDG_CACHE_HOME
or ~/.cache), two GB each. One holds a copy of the pins that it was made from, and is brought up to date when they change.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import monoseme
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.core.files import typed, write_atomic


class Peer(NamedTuple):
    """Another library."""

    name: str
    """On PyPI."""
    worker: str
    """Its script in `benchmarks/peers`."""
    variants: tuple[str, ...]
    """Settings in which its steps are timed; "" as it comes."""
    variants_of_runs: tuple[str, ...] = ()
    """Settings in which its whole runs are; none where it has no run of a model in memory."""
    unwanted: tuple[str, ...] = ()
    """Packages to take out again after the install."""


PEERS = (
    Peer("eai-sparsify", "eai_sparsify_worker.py", ("", "adam"), ("",)),
    Peer("sae-lens", "sae_lens_worker.py", ("", "autocast"), ("", "autocast")),
    # nnsight drags in torchvision, whose wheel breaks the import of transformers beside a CPU build of torch.
    Peer("dictionary-learning", "dictionary_learning_worker.py", ("",), unwanted=("torchvision",)),
)
_PINS = "pins.txt"


def peers_folder() -> Path:
    """`benchmarks/peers` of the repository. Raises ConfigError for an installation without it."""
    folder = Path(monoseme.__file__).resolve().parents[2] / "benchmarks" / "peers"
    if not folder.is_dir():
        raise ConfigError(
            "the peers are timed from a copy of the repository, which has their pins and workers in benchmarks/peers"
        )
    return folder


def python_of(peer: Peer) -> Path:
    """The interpreter of the peer's environment, which is made if need be. Raises ConfigError when that fails."""
    pins = (peers_folder() / f"{peer.name}.txt").read_text(encoding="utf-8")
    folder = _cache() / "peers" / peer.name
    python = folder / "bin" / "python"
    if (folder / _PINS).is_file() and (folder / _PINS).read_text(encoding="utf-8") == pins:
        return python
    get_display().say(f"making an environment for {peer.name} in {folder} (a minute or two)")
    if not python.is_file():
        _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "-r", str(peers_folder() / f"{peer.name}.txt")])
    if peer.unwanted:
        _run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *peer.unwanted])
    write_atomic(folder / _PINS, pins)
    return python


def _cache() -> Path:
    own = os.environ.get("MONOSEME_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monoseme"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shown = " ".join(typed(word) for word in command)
        raise ConfigError(f"this failed:\n  {shown}\n{done.stderr.strip()[-2000:]}")
