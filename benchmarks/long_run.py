"""Whether the fast kernels end a long run where the reference ends it, on real activations.

    python benchmarks/long_run.py --n-latents 2048 --batch 1024 --steps 2000 --out runs/long_run

One pass of the bundled model trains, on the same batches and from the same seed, TopK with the reference kernels, three more of
the same whose first weights were moved by 1e-7 (what rounding alone does to a run of this length), and one with each fast set.
Prints final FVU on held-out text, dead fraction, and the distances from the reference; exits with 1 where a fast set is further
away in FVU than max(0.001, the largest distance of the moved ones), or than 0.005 in dead fraction. About half an hour.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from monoseme.core.seeds import generator
from monoseme.pipeline import Materials
from monoseme.presets import demo
from monoseme.saes import SAE, build, config_from_dict
from monoseme.training import Job, TrainConfig, read_metrics, train

MOVED = ("moved-1", "moved-2", "moved-3")
NUDGE = 1e-7
DEAD_AFTER = 200_000


class Ending(NamedTuple):
    """Where a run ended."""

    fvu: float
    dead: float


def main() -> None:
    """Trains all of them side by side, prints the table and judges it."""
    parser = argparse.ArgumentParser(description="Whether fast kernels end a long run where the reference ends it.")
    for name, default in (("n-latents", 2048), ("batch", 1024), ("steps", 2000), ("k", 32), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--kernels", nargs="+", default=["numba", "torch"])
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as spare:
        folder = args.out or Path(spare) / "training"
        train_all(folder, args)
        endings = found(folder)
    sys.exit(0 if judged(endings, fast=args.kernels) else 1)


def train_all(folder: Path, args: argparse.Namespace) -> None:
    """One run of all of them."""
    materials = Materials(demo.config())
    site = materials.sites[0]
    config = TrainConfig(n_steps=args.steps, batch_size=args.batch, log_every=50, checkpoint_at=(), validate_every=args.steps)
    width = materials.training.widths[site]
    saes = {name: made(args, kernel="reference", width=width) for name in ("reference", *MOVED)}
    for name in MOVED:
        move(saes[name], name)
    saes |= {kernel: made(args, kernel=kernel, width=width) for kernel in args.kernels}
    jobs = [Job(name, sae, (site,)) for name, sae in saes.items()]
    train(materials.training, jobs, config, folder=folder, held_out=materials.held_out)


def made(args: argparse.Namespace, *, kernel: str, width: int) -> SAE:
    """A TopK of the run, with the weights that the seed gives."""
    sizes = {"d_in": width, "n_latents": args.n_latents, "k": args.k, "seed": args.seed, "dead_after_tokens": DEAD_AFTER}
    sae = build(config_from_dict({"architecture": "topk", **sizes}))
    sae.use_kernels(kernel)
    return sae


@torch.no_grad()
def move(sae: SAE, name: str) -> None:
    """Adds noise of standard deviation 1e-7 to both matrices."""
    stream = generator(0, "long_run", name)
    for weight in (sae.W_enc, sae.W_dec):
        weight.add_(torch.randn(weight.shape, generator=stream), alpha=NUDGE)


def found(folder: Path) -> dict[str, Ending]:
    """The last validation and the last log row of each SAE."""
    rows = read_metrics(folder / "metrics.jsonl")
    fvu = {row["sae"]: row["fvu"] for row in rows if row.get("event") == "validation"}
    dead = {row["sae"]: row["dead_fraction"] for row in rows if "dead_fraction" in row and "event" not in row}
    return {name: Ending(fvu[name], dead[name]) for name in fvu}


def judged(endings: dict[str, Ending], *, fast: list[str]) -> bool:
    """Prints the table; whether every fast set is close enough."""
    base = endings["reference"]
    room = max(0.001, *(abs(endings[name].fvu - base.fvu) for name in MOVED))
    print("| run | FVU | from the reference | dead | from the reference |\n|---|---|---|---|---|")
    for name, ending in endings.items():
        print(
            f"| {name} | {ending.fvu:.5f} | {ending.fvu - base.fvu:+.5f} | {ending.dead:.4f} | {ending.dead - base.dead:+.4f} |"
        )
    print(f"room in FVU: {room:.5f}, in dead fraction: 0.005")
    return all(abs(endings[n].fvu - base.fvu) <= room and abs(endings[n].dead - base.dead) <= 0.005 for n in fast)


if __name__ == "__main__":
    main()
