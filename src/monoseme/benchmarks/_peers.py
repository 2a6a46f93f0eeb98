"""Other libraries as contestants: each works in a process of its own environment and takes its steps when it is asked to.

All processes are alive at once and wait for their turn asleep; they share nothing but the data, a file. What they speak is told
in `benchmarks/peers/lines.py`.
"""

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monoseme.benchmarks._environments import PEERS, Peer, peers_folder, python_of
from monoseme.benchmarks._rounds import Contestant
from monoseme.benchmarks._sizes import Sizes
from monoseme.core.errors import ConfigError


class PeerProcess:
    """One library in one setting."""

    def __init__(self, peer: Peer, variant: str, task: Mapping[str, Any], *, log: Path) -> None:
        """Starts it with its task; what it prints goes to `log`. Raises ConfigError when the environment cannot be made."""
        self.name = f"{peer.name} ({variant})" if variant else peer.name
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(python_of(peer)), str(peers_folder() / peer.worker)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
            )
        self._send({**task, "variant": variant, "threads": torch.get_num_threads()})

    def __call__(self) -> float:
        """Seconds of its next step."""
        self._send({"steps": 1})
        return float(self.receive()["seconds"][0])

    def peak_memory_mb(self) -> float:
        """MB above its imports and data so far."""
        self._send({"memory": True})
        return float(self.receive()["peak_mb"])

    def receive(self) -> dict[str, Any]:
        """Its next answer. Raises ConfigError, with the end of what it printed, if it ended instead."""
        stream = self._process.stdout
        line = stream.readline() if stream is not None else ""
        if not line:
            told = self._log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
            raise ConfigError(f"{self.name} ended without an answer. The last that it printed:\n{told}")
        return json.loads(line)

    def close(self) -> None:
        """Ends it."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(timeout=30)

    def _send(self, values: Mapping[str, Any]) -> None:
        stream = self._process.stdin
        if stream is None:
            raise AssertionError("the process was started with a pipe")
        with contextlib.suppress(BrokenPipeError):  # `receive` tells why
            stream.write(json.dumps(dict(values)) + "\n")
            stream.flush()


def peer_contestants(stack: contextlib.ExitStack, x: Tensor, sizes: Sizes) -> dict[str, Contestant]:
    """Every peer in every setting, ready to take steps of TopK on the rows x; they end with the stack."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    np.save(folder / "x.npy", x.numpy())
    task = {"kind": "train", "data": str(folder / "x.npy"), **sizes._asdict()}
    started: dict[str, PeerProcess] = {}
    for peer in PEERS:
        for variant in peer.variants:
            process = PeerProcess(peer, variant, task, log=folder / f"{peer.name}.{variant}.log")
            stack.callback(process.close)
            started[process.name] = process
    for process in started.values():  # all of them are importing by now
        process.receive()
    return {**started}


def whole_run(peer: Peer, variant: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """Its answer to a task of kind e2e."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        process = PeerProcess(peer, variant, {"kind": "e2e", **task}, log=Path(folder) / "log")
        stack.callback(process.close)
        return {"name": process.name, **process.receive()}
