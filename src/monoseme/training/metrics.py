"""The numbers of a run: sums over a log window that stay on the device, and the file of JSON lines they end in.

`metrics.jsonl` is written by the training loop, one row per SAE and log step, and read by the report, the web app and whoever
tails it. A row has `step`, `tokens`, `sae`, the losses, what the architecture logs and `grad_norm` (means over the window), `lr`
(of the last step), `fvu` (of the last batch), `l0` (mean over the window), `dead_fraction`, `silent_fraction` (of the window),
rates, seconds and memory; a validation row has `"event": "validation"` as well. Where the kernels screened the latents in low
precision first, a row has `screen/recomputed_fraction`, the share (in [0, 1], over the window) of rows whose screen could not be
certified and which were computed plainly; the codes are exact either way. Where training turns them, a row also has `sparsity`
(the factor on the penalty), `target_l0` (what L0 is steered to at this step), `saturated` (1 while the factor is at a bound and
the target out of reach) and `k` (annealed).

**The life of the latents**: at each log and validation step a row for each SAE, all numbers of latents, over the tokens since the
row before:

    {"event": "latents", "step", "tokens", "sae",
     "density_bins": [-7, -6.75, ... 0],  edges in log10 of the share of tokens that a latent fired on
     "density": [...],                    latents in each bin (one less than edges); below the first edge counts in the first
     "silent": n,                         latents that fired on none of the tokens: in no bin
     "age_bins": [0, 0.25, ... 10],       edges in log10 of the tokens since a latent last fired
     "age": [...],                        latents in each bin; fired in the last batch (0 tokens) counts in the first
     "dead": n,                           did not fire for the SAE's `dead_after_tokens`
     "deaths": n, "revivals": n,          became dead; were dead and fired again
     "resampled": n}                      dead ones given a new direction, which are no revivals

`density` and `silent` add up to the number of latents, and so does `age`. The bins are always these.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monoseme.core.errors import ResumeError
from monoseme.core.files import guard_disk
from monoseme.kernels import Screened
from monoseme.saes import Losses
from monoseme.tensors.processes import ALONE, Group, Mesh


class Window:
    """Sums of one SAE's numbers since the last row; reading them back waits until a row or a checkpoint is due."""

    def __init__(self) -> None:
        self.n_steps = 0
        self.n_rows = 0
        self.seconds = 0.0
        self.lr = 0.0
        self._sums: dict[str, Tensor] = {}
        self._facts: dict[str, Tensor] = {}
        self._n_screened = 0
        self._n_recomputed = 0

    def add(self, losses: Losses, *, l0: Tensor | None, n_rows: int, grad_norm: Tensor, lr: float) -> None:
        """Takes in one step of `n_rows` rows; no value is read back from the device."""
        values = {"loss": losses.total, "grad_norm": grad_norm, "l0": l0}
        values |= {f"loss/{name}": value for name, value in losses.parts.items()} | dict(losses.logs)
        for name, value in values.items():
            if value is not None:
                value = value.detach().float()
                self._sums[name] = self._sums[name] + value if name in self._sums else value
        self.n_steps += 1
        self.n_rows += n_rows
        self.lr = lr

    def add_screens(self, screened: Screened) -> None:
        """Takes in what the kernels counted in one step."""
        self._n_screened += screened.n_rows
        self._n_recomputed += screened.n_uncertified

    def settle(self, mesh: Mesh) -> None:
        """What each process counted by itself becomes the first one's: before a row, and before a checkpoint."""
        if not mesh.alone:
            counts = mesh.latents.sum(mesh.rows.sum(torch.tensor([self._n_screened, self._n_recomputed])))
            self._n_screened, self._n_recomputed = counts.tolist() if mesh.first else (0, 0)

    def note(self, facts: Mapping[str, Tensor]) -> None:
        """Numbers of the last batch alone, too dear to take at each step."""
        self._facts = dict(facts)

    def clear(self) -> None:
        """Begins the next window."""
        self.n_steps, self.n_rows, self.seconds = 0, 0, 0.0
        self._sums, self._facts = {}, {}
        self._n_screened = self._n_recomputed = 0

    def row(self) -> dict[str, float]:
        """The window's means, the last batch's facts and the learning rate; waits for the device."""
        means = {name: float(total) / self.n_steps for name, total in self._sums.items()}
        facts = {name: float(value) for name, value in self._facts.items()}
        screens = {"screen/recomputed_fraction": self._n_recomputed / self._n_screened} if self._n_screened else {}
        return means | facts | screens | {"lr": self.lr}

    def state(self) -> dict[str, Any]:
        """The sums as JSON-able numbers (float32 survives that exactly), so that a resumed window is the same window."""
        sums = {name: float(total) for name, total in self._sums.items()}
        own = {"n_steps": self.n_steps, "n_rows": self.n_rows, "seconds": self.seconds, "lr": self.lr}
        return own | {"sums": sums, "screens": [self._n_screened, self._n_recomputed]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], *, device: torch.device, counts: bool = True) -> "Window":
        """The window that `state` described; `counts` False: without what each process counts by itself."""
        window = cls()
        window.n_steps, window.n_rows = state["n_steps"], state["n_rows"]
        window.seconds, window.lr = state["seconds"], state["lr"]
        window._sums = {name: torch.tensor(value, device=device) for name, value in state["sums"].items()}
        if counts:
            window._n_screened, window._n_recomputed = state.get("screens", (0, 0))  # older checkpoints know of none
        return window


def mean_l0(losses: Losses) -> Tensor | None:
    """Active latents per row, or None where the architecture does not say which are active."""
    if losses.active is None:
        return None
    return (losses.active.values != 0).sum(dtype=torch.float32) / max(1, losses.active.n_rows)


def batch_facts(losses: Losses, rows: Group = ALONE) -> dict[str, Tensor]:
    """`fvu` of one batch: sum|x - x_hat|^2 / sum|x - mean(x)|^2 over the rows of all processes.

    Sums are in float64 (float32 on MPS).
    """
    wide = torch.float32 if losses.x.device.type == "mps" else torch.float64
    x = losses.x.to(losses.x_hat.dtype)
    mean = x.mean(dim=0)
    if rows.size > 1:
        total = rows.sum(torch.cat([x.sum(dim=0, dtype=wide), x.new_full((1,), len(x), dtype=wide)]))
        mean = (total[:-1] / total[-1]).to(x.dtype)
    error = (x - losses.x_hat).square().sum(dtype=wide)
    spread = (x - mean).square().sum(dtype=wide)
    error, spread = rows.sum(torch.stack([error, spread])).unbind()
    return {"fvu": error / spread}


class MetricsFile:
    """`metrics.jsonl`, appended row by row and cut back on resume to where a checkpoint left it."""

    def __init__(self, path: Path, *, keep_bytes: int) -> None:
        """Opens the file, dropping whatever lies beyond `keep_bytes` (rows that a resumed run writes again).

        Raises ResumeError when the file is shorter than that.
        """
        there = path.stat().st_size if path.exists() else 0
        if there < keep_bytes:
            raise ResumeError(
                f"{path} has {there:,} bytes, but the checkpoint knows of {keep_bytes:,}: rows were lost.\n"
                "  Put the whole file back, or start anew in another folder."
            )
        with guard_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
            self._file.truncate(keep_bytes)
            self._file.seek(0, os.SEEK_END)
        self.path = path

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends one row and hands it to the system. A number that is not finite becomes null. Raises DiskFullError."""
        plain = {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}
        with guard_disk(self.path):
            self._file.write(json.dumps(plain, allow_nan=False, ensure_ascii=False).encode() + b"\n")
            self._file.flush()

    def sync(self) -> int:
        """Flushes to disk; returns the length in bytes, for the checkpoint."""
        with guard_disk(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete rows of a metrics file; a last line that a kill cut short is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]
