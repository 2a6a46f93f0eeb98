"""EleutherAI's sparsify: a step is the body of its trainer's hook, by its public methods; a run is its `Trainer` as it is.

Sparse decoder by embedding bags and sparse encoder gradients are its own choice on a CPU. Its default optimiser is a
schedule-free signed SGD; the variant "adam" takes torch's Adam, its other choice. Run whole, it passes every layer and the
unembedding, and its batches are not shuffled.
"""

# ruff: noqa: I001 - lines comes first: it takes the output stream before libraries print
from lines import Step, serve

import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from schedulefree import ScheduleFreeWrapper
from sparsify import SaeConfig, SparseCoder, TrainConfig, Trainer
from sparsify.sign_sgd import SignSGD


def train(task: dict[str, Any]) -> Step:
    """One training step on rows [B, D]."""
    config = SaeConfig(num_latents=task["n_latents"], k=task["k"])
    sae = SparseCoder(task["d_model"], config, "cpu", dtype=torch.float32)
    optimiser = _optimiser(sae, task)
    tokens_since_fired = torch.zeros(task["n_latents"], dtype=torch.long)

    def step(x: torch.Tensor) -> None:
        sae.set_decoder_norm_to_unit_norm()
        total_variance = (x - x.mean(0)).pow(2).sum()
        out = sae(x=x, y=x, dead_mask=None, total_variance=total_variance)
        fired = torch.zeros_like(tokens_since_fired, dtype=torch.bool)
        fired[out.latent_indices.flatten()] = True
        out.fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        optimiser.step()
        optimiser.zero_grad()
        tokens_since_fired.add_(x.shape[0])
        tokens_since_fired[fired] = 0

    return step


def _optimiser(sae: SparseCoder, task: dict[str, Any]) -> Any:
    scale = (task["n_latents"] / 2**14) ** 0.5
    if task["variant"] == "adam":
        return torch.optim.Adam(sae.parameters(), lr=2e-4 / scale)
    optimiser = ScheduleFreeWrapper(SignSGD([{"params": sae.parameters(), "lr": 5e-3 / scale}]), momentum=0.95)
    optimiser.train()
    return optimiser


def whole_run(task: dict[str, Any]) -> float:
    """Seconds of `Trainer.fit`."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM

    tokens = torch.load(task["tokens"], weights_only=True)
    dataset = Dataset.from_dict({"input_ids": tokens.numpy()}).with_format("torch")
    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            sae=SaeConfig(num_latents=task["n_latents"], k=task["k"]),
            batch_size=task["batch"] // tokens.shape[1],
            hookpoints=[f"layers.{task['layer']}"],
            save_every=10**9,
            save_dir=folder,
            log_to_wandb=False,
        )
        return _timed(Trainer(config, dataset, model).fit)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    serve("eai-sparsify", train, whole_run)
