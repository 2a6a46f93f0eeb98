"""Whether the penalty finds the L0 asked for: ReLU, gated and JumpReLU at three targets, on one pass of the bundled model.

    python benchmarks/target_l0.py --n-latents 1024 --batch 512 --steps 3000 --out runs/target_l0

Prints a table: the mean L0 of the last tenth of training and that on held-out text, both as distances from the target, the FVU
on held-out text, the dead latents, and the factor that the penalty ended with. Nothing is tuned per row: all settings but the
target are the architectures' own defaults. Takes about half an hour of one core.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from monoseme.pipeline import Materials
from monoseme.presets import demo
from monoseme.saes import build, config_from_dict
from monoseme.training import Job, TrainConfig, TrainResult, read_metrics, train

ARCHITECTURES = ("relu", "gated", "jumprelu")
TARGETS = (20, 50, 100)


def main() -> None:
    """Trains all of them side by side and prints the table."""
    parser = argparse.ArgumentParser(description="Whether the penalty finds the L0 that is asked for.")
    for name, default in (("n-latents", 1024), ("batch", 512), ("steps", 3000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        folder = args.out or Path(spare) / "training"
        train_all(folder, args)
        found = results(folder, n_steps=args.steps)
    print("| architecture | target L0 | last tenth | held out | FVU | dead | factor |\n|---|---|---|---|---|---|---|")
    for result in found:
        print(result.line())


def train_all(folder: Path, args: argparse.Namespace) -> TrainResult:
    """One run of the nine."""
    materials = Materials(demo.config())
    site = materials.sites[0]
    config = TrainConfig(n_steps=args.steps, batch_size=args.batch, log_every=50, checkpoint_at=(), validate_every=args.steps)
    width = materials.training.widths[site]
    jobs = [
        Job(f"{architecture}-{target}", build(config_from_dict(_settings(architecture, target, args, width=width))), (site,))
        for architecture in ARCHITECTURES
        for target in TARGETS
    ]
    return train(materials.training, jobs, config, folder=folder, held_out=materials.held_out)


def _settings(architecture: str, target: int, args: argparse.Namespace, *, width: int) -> dict[str, Any]:
    sizes = {"d_in": width, "n_latents": args.n_latents, "seed": args.seed, "dead_after_tokens": 100_000}
    return {"architecture": architecture, "target_l0": float(target), **sizes}


class Result(NamedTuple):
    """How one SAE ended."""

    architecture: str
    target: int
    last_tenth: float
    """Mean L0 of the last tenth of training over the target, less 1."""
    held_out: float
    """L0 on held-out text over the target, less 1."""
    fvu: float
    dead: float
    factor: float

    def line(self) -> str:
        """A row of the table."""
        errors = f"{self.last_tenth:+.1%} | {self.held_out:+.1%}"
        return f"| {self.architecture} | {self.target} | {errors} | {self.fvu:.4f} | {self.dead:.1%} | {self.factor:.3g} |"


def results(folder: Path, *, n_steps: int) -> list[Result]:
    """What the metrics of a run say of the nine."""
    rows = read_metrics(folder / "metrics.jsonl")
    return [_result(rows, architecture, target, n_steps=n_steps) for architecture in ARCHITECTURES for target in TARGETS]


def _result(rows: list[dict[str, Any]], architecture: str, target: int, *, n_steps: int) -> Result:
    own = [row for row in rows if row["sae"] == f"{architecture}-{target}"]
    training = [row for row in own if "event" not in row]
    held_out = [row for row in own if row.get("event") == "validation"][-1]
    last = [row["l0"] for row in training if row["step"] > 0.9 * n_steps]
    end = training[-1]
    errors = sum(last) / len(last) / target - 1, held_out["l0"] / target - 1
    return Result(architecture, target, *errors, held_out["fvu"], end["dead_fraction"], end["sparsity"])


if __name__ == "__main__":
    main()
