"""How fast a training step of an SAE is, as ratios to the plain dense kernels, in interleaved rounds of one process.

    python benchmarks/train_step.py --d-in 192 --n-latents 4096 --k 32 --batch 2048 --rounds 5

Prints JSON: for each architecture and kernel set the best and median seconds of a step, and the ratio of the dense kernels' best
and median to it. Times on shared machines spread by half; ratios of one run by a seventh.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from monoseme.core.seeds import generator
from monoseme.saes import SAE, config_from_dict
from monoseme.saes import build as build_sae
from monoseme.training import TrainConfig
from monoseme.training.feed import Rows
from monoseme.training.learner import Job, Learner

KERNELS = ("reference", "torch")
ARCHITECTURES = ("topk", "batchtopk")


def make_step(architecture: str, kernel: str, args: argparse.Namespace) -> Callable[[int], None]:
    """A function that takes training step i on fixed random rows."""
    settings = {"architecture": architecture, "d_in": args.d_in, "n_latents": args.n_latents, "k": args.k}
    sae: SAE = build_sae(config_from_dict(settings))
    sae.use_kernels(kernel)
    x = torch.randn(args.batch, args.d_in, generator=generator(0, "bench"))
    sae.start(x)
    learner = Learner(Job(architecture, sae, ()), TrainConfig(n_steps=10_000, batch_size=args.batch))
    return lambda i: learner.step(Rows(x), step=i)


def main() -> None:
    """Times every pair in turn, round after round."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("d-in", 192), ("n-latents", 4096), ("k", 32), ("batch", 2048), ("rounds", 5), ("steps", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    steps = {(a, kernel): make_step(a, kernel, args) for a in ARCHITECTURES for kernel in KERNELS}
    seconds: dict[tuple[str, str], list[float]] = {pair: [] for pair in steps}
    for round_ in range(args.rounds + 1):
        for pair, step in steps.items():
            for i in range(args.steps):
                began = time.perf_counter()
                step(round_ * args.steps + i)
                if round_:  # the first round warms up
                    seconds[pair].append(time.perf_counter() - began)
    rows = [_row(pair, seconds, batch=args.batch) for pair in steps]
    print(
        json.dumps({"threads": torch.get_num_threads(), "torch": torch.__version__, **vars(args), "steps_timed": rows}, indent=2)
    )


def _row(pair: tuple[str, str], seconds: dict[tuple[str, str], list[float]], *, batch: int) -> dict[str, object]:
    own, dense = seconds[pair], seconds[pair[0], "reference"]
    return {
        "architecture": pair[0],
        "kernel": pair[1],
        "best_seconds": round(min(own), 4),
        "median_seconds": round(statistics.median(own), 4),
        "tokens_per_second": round(batch / min(own)),
        "ratio_of_best": round(min(dense) / min(own), 2),
        "ratio_of_median": round(statistics.median(dense) / statistics.median(own), 2),
    }


if __name__ == "__main__":
    main()
