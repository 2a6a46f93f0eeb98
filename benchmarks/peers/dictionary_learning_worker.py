"""dictionary-learning: `TopKTrainer.update` as it is. No whole run: see the page on benchmarks for what fails."""

# ruff: noqa: I001 - lines comes first: it takes the output stream before libraries print
from lines import Step, serve

from typing import Any

from dictionary_learning.trainers.top_k import TopKTrainer

_N_STEPS = 30_000


def train(task: dict[str, Any]) -> Step:
    """One training step on rows [B, D]."""
    sizes = {"activation_dim": task["d_model"], "dict_size": task["n_latents"], "k": task["k"]}
    trainer = TopKTrainer(steps=_N_STEPS, layer=0, lm_name="none", device="cpu", seed=0, **sizes)
    done = iter(range(_N_STEPS))
    return lambda x: trainer.update(next(done), x)


def whole_run(task: dict[str, Any]) -> float:
    """Not offered."""
    raise NotImplementedError(f"dictionary-learning has no whole run of {task['kind']} here")


if __name__ == "__main__":
    serve("dictionary-learning", train, whole_run)
