"""SAELens: `SAETrainer.step` and `LanguageModelSAETrainingRunner.run` as they are; the variant "autocast" is its best on a CPU.

Its sparse activations fail there ("Could not run 'aten::view' with arguments from the 'SparseCPU' backend"), so its decoder is
dense.
"""

# ruff: noqa: I001 - lines comes first: it takes the output stream before libraries print
from lines import Step, serve

import time
from typing import Any

import torch
from sae_lens import LanguageModelSAERunnerConfig, LanguageModelSAETrainingRunner, LoggingConfig, TopKTrainingSAEConfig
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.topk_sae import TopKTrainingSAE
from sae_lens.training.sae_trainer import SAETrainer

_N_SAMPLES = 10**9


def train(task: dict[str, Any]) -> Step:
    """One training step on rows [B, D]."""
    config = SAETrainerConfig(
        total_training_samples=_N_SAMPLES,
        train_batch_size_samples=task["batch"],
        autocast=task["variant"] == "autocast",
        lr_end=3e-5,  # a tenth of lr, which its runner would fill in
    )
    trainer = SAETrainer(cfg=config, sae=TopKTrainingSAE(_sae(task)), data_provider=iter(()))

    def step(x: torch.Tensor) -> None:
        trainer.step(x)
        trainer.n_training_steps += 1

    return step


def whole_run(task: dict[str, Any]) -> float:
    """Seconds of the runner, its shuffling buffer included; the model is loaded before."""
    from datasets import Dataset

    tokens = torch.load(task["tokens"], weights_only=True)
    config = LanguageModelSAERunnerConfig(
        sae=_sae(task),
        model_name=task["model"],
        model_class_name="AutoModelForCausalLM",
        hook_name=f"model.layers.{task['layer']}",
        is_dataset_tokenized=True,
        streaming=False,
        context_size=tokens.shape[1],
        prepend_bos=False,
        training_tokens=tokens.numel() // task["batch"] * task["batch"],
        train_batch_size_tokens=task["batch"],
        store_batch_size_prompts=task["batch"] // tokens.shape[1],
        autocast=task["variant"] == "autocast",
        logger=LoggingConfig(log_to_wandb=False),
        checkpoint_path=None,
        output_path=None,
        device="cpu",
    )
    # The buffer reads a little ahead of what is trained on: the same tokens again.
    dataset = Dataset.from_dict({"tokens": tokens.repeat(2, 1).numpy()}).with_format("torch")
    runner = LanguageModelSAETrainingRunner(config, override_dataset=dataset)
    began = time.perf_counter()
    runner.run()
    return time.perf_counter() - began


def _sae(task: dict[str, Any]) -> TopKTrainingSAEConfig:
    return TopKTrainingSAEConfig(d_in=task["d_model"], d_sae=task["n_latents"], k=task["k"], device="cpu")


if __name__ == "__main__":
    serve("sae-lens", train, whole_run)
