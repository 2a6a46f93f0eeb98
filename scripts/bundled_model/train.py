"""Train the language model that ships inside the package: a stock Llama of 3.1 M parameters, from scratch.

Reads what prepare.py wrote; writes a Hugging Face folder (weights in bf16, tokenizer, configs). Stops and resumes:
the state is saved every --save-every steps, and the same command goes on from there.

    python scripts/bundled_model/train.py --data runs/bundled/data --out runs/bundled/model --n-steps 2500 --compile
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import batches
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEQ_LEN = 256
N_POSITIONS = 512
WARMUP_STEPS = 100
MATRIX_LR = 5e-3
"""Peak rate of Muon, in its form that matches AdamW's update size. Not tuned: one run of 500 steps fell smoothly."""
EMBEDDING_LR = 3e-3
"""Peak rate of AdamW for the embedding (tied to the output) and the norms."""


def model_config() -> LlamaConfig:
    """3.1 M parameters: with the tokenizer and a sample of text it stays under 8 MB."""
    return LlamaConfig(
        vocab_size=4096,
        hidden_size=192,
        intermediate_size=416,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=N_POSITIONS,
        rms_norm_eps=1e-6,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
        tie_word_embeddings=True,
        attn_implementation="sdpa",
    )


def build_model(seed: int) -> LlamaForCausalLM:
    """Random weights; what each block adds to the residual begins at zero, so early steps train the embedding."""
    torch.manual_seed(seed)  # transformers draws its initial weights from the global generator only
    model = LlamaForCausalLM(model_config())
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            nn.init.zeros_(parameter)
    return model


class Optimizers(NamedTuple):
    """Muon for the matrices of the blocks, AdamW for everything else."""

    matrices: torch.optim.Optimizer
    others: torch.optim.Optimizer

    def set_schedule(self, factor: float) -> None:
        """Scale both peak rates."""
        for optimizer, peak in zip(self, (MATRIX_LR, EMBEDDING_LR), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor

    def step(self) -> None:
        """Update, then clear the gradients."""
        for optimizer in self:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def build_optimizers(model: LlamaForCausalLM) -> Optimizers:
    """Muon is there because it usually needs fewer tokens than AdamW, and on a CPU tokens are scarce; not compared here."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    is_matrix = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in is_matrix]
    return Optimizers(
        torch.optim.Muon(matrices, lr=MATRIX_LR, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=EMBEDDING_LR, betas=(0.9, 0.95), weight_decay=0.0),
    )


def schedule(step: int, n_steps: int) -> float:
    """Linear warm-up, then a cosine down to zero."""
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP_STEPS) / max(1, n_steps - WARMUP_STEPS)))


def next_token_loss(model: LlamaForCausalLM, ids: Tensor) -> Tensor:
    """Mean nats per token over ids [B, T+1]; matrix products in bf16, softmax and mean in float32."""
    with torch.autocast(ids.device.type, torch.bfloat16):
        logits = model(ids[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


class Run:
    """One training run: what is saved, and what a resumed run takes up again."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.model = build_model(args.seed).to(args.device)
        self.optimizers = build_optimizers(self.model)
        self.rng = np.random.default_rng(args.seed)
        self.step = 0
        self.seconds = 0.0
        self.state_path = args.out.with_suffix(".state.pt")

    def save_state(self) -> None:
        """Everything that the next step depends on."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "rng": json.dumps(self.rng.bit_generator.state),
            "step": self.step,
            "seconds": self.seconds,
            "n_steps": self.args.n_steps,
        }
        partial = self.state_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.state_path)

    def resume(self) -> None:
        """Go on from a saved state, if there is one."""
        if not self.state_path.exists():
            return
        state = torch.load(self.state_path, weights_only=True)
        if state["n_steps"] != self.args.n_steps:
            raise SystemExit(f"{self.state_path} is of a run of {state['n_steps']} steps, not {self.args.n_steps}.")
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.step, self.seconds = state["step"], state["seconds"]

    def train(self) -> None:
        """Take the remaining steps."""
        args = self.args
        sources = batches.load_sources(args.data)
        held_out = np.load(args.data / "stories_held_out.npy")
        validation = torch.from_numpy(batches.fixed_windows(held_out, n_rows=96, seq_len=SEQ_LEN)).to(args.device)
        loss_of = torch.compile(next_token_loss) if args.compile else next_token_loss
        mean_loss, begun = math.nan, time.monotonic() - self.seconds
        while self.step < args.n_steps:
            self.optimizers.set_schedule(schedule(self.step, args.n_steps))
            drawn = batches.draw_batch(sources, n_rows=args.batch_rows, seq_len=SEQ_LEN, rng=self.rng)
            loss = loss_of(self.model, torch.from_numpy(drawn).to(args.device))
            loss.backward()
            self.optimizers.step()
            mean_loss = loss.item() if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * loss.item()
            self.step += 1
            self.seconds = time.monotonic() - begun
            if self.step % args.save_every == 0 or self.step == args.n_steps:
                with torch.no_grad():
                    val = torch.stack([next_token_loss(self.model, part) for part in validation.split(32)]).mean()
                print(f"step {self.step} {self.seconds:.0f} s: train {mean_loss:.3f}, stories {val:.3f}", flush=True)
                self.save_state()


def save_pretrained(model: LlamaForCausalLM, *, tokenizer_file: Path, out: Path) -> None:
    """Write the folder that AutoModelForCausalLM and AutoTokenizer load."""
    model.to("cpu", torch.bfloat16).save_pretrained(out)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_file),
        bos_token="<s>",
        eos_token="<s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
        model_max_length=N_POSITIONS,
    )
    tokenizer.save_pretrained(out)


def main() -> None:
    """Train, or go on training, and write the model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--n-steps", type=int, required=True)
    parser.add_argument("--batch-rows", type=int, default=32, help="windows of 256 tokens per step")
    parser.add_argument("--save-every", type=int, default=100, help="steps between saved states")
    parser.add_argument("--n-threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="1.4 to 2 times as fast; needs a C++ compiler on a CPU")
    args = parser.parse_args()

    torch.set_num_threads(args.n_threads)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    run = Run(args)
    run.resume()
    run.train()
    save_pretrained(run.model, tokenizer_file=args.data / "tokenizer.json", out=args.out)
    print(f"{args.out}: {sum(p.numel() for p in run.model.parameters())} parameters, {run.seconds:.0f} s of training")


if __name__ == "__main__":
    main()
