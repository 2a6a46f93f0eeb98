"""Teaches a small language model to answer questions about letters, so that the studies of spelling have something to study.

    python benchmarks/spelling_model.py --out runs/spelling_model
    python benchmarks/spelling_model.py --out runs/spelling_model --corpus books.jsonl.zst --steps 1500
    python benchmarks/spelling_model.py --text runs/letters.jsonl --corpus books.jsonl.zst

The bundled model writes stories and cannot spell. This goes on training it, on batches of which half the rows are text and half
are lines of questions with their answers (first letter, last letter, spelling), as the studies ask them. Words are the tokens of
its vocabulary, and one in five a word of several tokens out of the text. Prints the loss on answers and on text; writes a folder
that `--model` takes. About 25 minutes of two cores.

With `--text` nothing is trained: the same mixture is written as JSON lines, for SAEs to learn from. On stories alone the model
has no use for letters, and SAEs of such text have no latents for them.

What it can then do is learned from such prompts, token by token: it knows the letters of tokens that it was asked about. That is
enough to ask where the letter is in its activations, and which latents carry it; it says nothing of how large models learn to
spell.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch

from monoseme.core.seeds import derive_seed
from monoseme.models import LanguageModel
from monoseme.spelling import alphabetic_tokens, task_named
from monoseme.text import CorpusConfig, TokenStore

TASKS = (("first_letter", 0.6), ("last_letter", 0.15), ("spelling", 0.25))
IGNORED = -100
"""A target that counts in no loss."""


def main() -> None:
    """Trains, saves, and says where."""
    parser = argparse.ArgumentParser(description="Teaches a small language model to answer questions about letters.")
    parser.add_argument("--out", type=Path, help="folder of the model")
    parser.add_argument("--text", type=Path, help="file of texts for SAEs; with it nothing is trained")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--corpus", default="bundled")
    for name, default in (("steps", 1500), ("rows", 8), ("context", 192), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--lr", type=float, default=1e-3)
    args = parser.parse_args()
    start = LanguageModel.load(args.model)
    store = TokenStore.build(CorpusConfig(source=args.corpus), start.tokenizer, max_tokens=3_000_000)
    if args.text is not None:
        write_text(args.text, start, text_rows(store, args), letter_rows(start, store, args))
        return
    if args.out is None:
        parser.error("give --out, the folder of the model, or --text")
    model: Any = start.in_float32()._model  # the library's models are not for training: this is the one place that does
    torch.manual_seed(args.seed)
    train(model.train().requires_grad_(True), text_rows(store, args), letter_rows(start, store, args), args)
    args.out.mkdir(parents=True, exist_ok=True)
    model.eval().to(torch.bfloat16).save_pretrained(args.out)
    start.tokenizer.save_pretrained(args.out)
    print(f"model -> {args.out}")


def train(model: Any, text: Iterator[np.ndarray], letters: Iterator[tuple[np.ndarray, np.ndarray]], args: Any) -> None:
    """Adam with a warm-up and a linear decay; the two losses count alike."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.01)
    warm = max(args.steps // 20, 1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: min((i + 1) / warm, (args.steps - i) / args.steps))
    began = time.monotonic()
    for step in range(args.steps):
        plain = torch.from_numpy(next(text))
        asked, answers = (torch.from_numpy(x) for x in next(letters))
        logits = model(input_ids=torch.cat([plain, asked])).logits
        losses = [
            torch.nn.functional.cross_entropy(logits[rows, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=IGNORED)
            for rows, targets in ((slice(0, len(plain)), plain), (slice(len(plain), None), answers))
        ]
        torch.stack(losses).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 25 == 24:
            rate = (step + 1) / (time.monotonic() - began)
            print(f"step {step + 1:5d}  text {losses[0]:.3f}  answers {losses[1]:.3f}  {rate:.2f} steps/s", flush=True)


def write_text(
    path: Path, model: LanguageModel, text: Iterator[np.ndarray], letters: Iterator[tuple[np.ndarray, np.ndarray]]
) -> None:
    """One text of each kind in turn, about a million tokens in all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    n_written = 0
    with path.open("w", encoding="utf-8") as file:
        while n_written < 1_000_000:
            for ids in (row for pair in zip(next(text), next(letters)[0], strict=True) for row in pair):
                kept = ids[1:] if ids[0] == model.bos_id else ids
                file.write(json.dumps({"text": model.token_text(kept.tolist())}) + "\n")
                n_written += len(kept)
    print(f"{n_written:,} tokens -> {path}")


def text_rows(store: TokenStore, args: Any) -> Iterator[np.ndarray]:
    """Stretches of text, [rows, context]."""
    store.finish()
    ids = np.concatenate([group.tokens.ids for group in store.groups]).astype(np.int64)
    rng = np.random.default_rng(derive_seed(args.seed, "text"))
    while True:
        starts = rng.integers(0, len(ids) - args.context, size=args.rows)
        yield np.stack([ids[start : start + args.context] for start in starts])


def letter_rows(model: LanguageModel, store: TokenStore, args: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of questions with their answers, and targets that count on the answers alone, both [rows, context]."""
    rng = np.random.default_rng(derive_seed(args.seed, "letters"))
    words = alphabetic_tokens(model, leading_space=True, min_letters=2)
    longer = _longer_words(model, store)
    while True:
        rows = [_row(model, words, longer, rng, args.context) for _ in range(args.rows)]
        yield np.stack([ids for ids, _ in rows]), np.stack([targets for _, targets in rows])


def _longer_words(model: LanguageModel, store: TokenStore) -> list[str]:
    """Words of the text that are several tokens."""
    documents = (model.token_text(store.document(i).tolist()) for i in range(min(store.n_documents, 400)))
    found = {word for text in documents for word in text.split() if word.isascii() and word.isalpha()}
    return [f" {word}" for word in sorted(found) if len(word) <= 12 and len(model.tokenizer.tokenize(f" {word}")) > 1]


def _row(
    model: LanguageModel, words: Sequence[str], longer: Sequence[str], rng: np.random.Generator, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Lines of one task after the token that begins a text, cut at `length`."""
    names, shares = zip(*TASKS, strict=True)
    task = task_named(str(rng.choice(names, p=shares)))
    ids, targets = [model.bos_id or 0], [IGNORED]
    encode = model.tokenizer.encode
    while len(ids) < length:
        pool = longer if longer and rng.random() < 0.2 else words
        word = pool[int(rng.integers(len(pool)))]
        question = encode("\n" + task.question(word), add_special_tokens=False)
        answer = encode(task.answer(word), add_special_tokens=False)
        ids += question + answer
        targets += [IGNORED] * len(question) + answer
    return np.array(ids[:length], dtype=np.int64), np.array(targets[:length], dtype=np.int64)


if __name__ == "__main__":
    main()
