"""Bits per character of a language model on texts it never saw.

The rule: each document is tokenised with BOS in front. A document longer than the window is read in windows of
--window tokens that advance by half a window; every token after BOS is scored once, with at least half a window of
context wherever the document has it. Bits per character = summed nats / ln 2 / characters of the documents.

    python scripts/bundled_model/measure.py --corpora CORPORA --model src/monoseme/bundled/model --sets tinystories
"""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import texts
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

BOOK_CHARS = 40_000
"""Characters of each held-out book, from its first quarter on: 15 books make 0.6 M characters."""


def _held_out_books(corpora: Path) -> list[str]:
    books = texts.read_books(corpora)
    authors = texts.held_out_authors(books)
    chosen = [book.text for book in books if book.author in authors]
    return [text[len(text) // 4 : len(text) // 4 + BOOK_CHARS] for text in chosen]


SETS: dict[str, Callable[[Path], list[str]]] = {
    "tinystories": texts.read_test_stories,
    "held_out_books": _held_out_books,
    "wikitext_test": lambda corpora: [texts.read_test_wikitext(corpora)],
    "held_out_generated_stories": lambda corpora: texts.read_generated_stories(corpora).held_out,
}


class Window(NamedTuple):
    """Tokens of one forward pass, and how many at its start only give context."""

    ids: list[int]
    n_context: int


def cut_windows(ids: list[int], window: int) -> list[Window]:
    """Windows whose scored tokens are every token but the first, each once."""
    windows = [Window(ids[:window], 1)]
    stride = window // 2
    end = window
    while end < len(ids):
        begin, end = end - (window - stride), min(end + stride, len(ids))
        windows.append(Window(ids[begin:end], window - stride))
    return windows


def window_nats(model: PreTrainedModel, windows: list[Window]) -> float:
    """Summed nats of the scored tokens of some windows; sums in float64."""
    longest = max(len(w.ids) for w in windows)
    ids = torch.zeros(len(windows), longest, dtype=torch.long)
    scored = torch.zeros(len(windows), longest, dtype=torch.bool)
    for row, w in enumerate(windows):
        ids[row, : len(w.ids)] = torch.tensor(w.ids)
        scored[row, w.n_context : len(w.ids)] = True
    # Padding is on the right and attention is causal: no scored token can see it.
    logits = model(ids.to(model.device), use_cache=False).logits.float()
    nats = functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:].to(model.device), reduction="none")
    return _masked_sum(nats, scored[:, 1:].to(model.device))


def _masked_sum(values: Tensor, mask: Tensor) -> float:
    return float(values.double()[mask].sum())


def bits_per_character(model: PreTrainedModel, token_ids: list[list[int]], *, n_chars: int, window: int) -> float:
    """The rule of this file's docstring, over the token ids of the documents."""
    windows = sorted((w for ids in token_ids for w in cut_windows(ids, window)), key=lambda w: len(w.ids))
    with torch.inference_mode():
        nats = sum(window_nats(model, windows[start : start + 32]) for start in range(0, len(windows), 32))
    return nats / math.log(2) / n_chars


def main() -> None:
    """Measure the chosen sets and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=sorted(SETS))
    parser.add_argument("--max-documents", type=int, default=None, help="measure only the first so many of each set")
    parser.add_argument("--window", type=int, default=256, help="tokens; the context the model was trained with")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    parser.add_argument("--n-threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    torch.set_num_threads(args.n_threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).to(args.device).eval()
    results: dict[str, dict[str, float]] = {}
    for name in args.sets:
        documents = SETS[name](args.corpora)[: args.max_documents]
        encoded = tokenizer(documents, add_special_tokens=False)["input_ids"]
        token_ids = [[tokenizer.bos_token_id, *ids] for ids in encoded]
        n_chars = sum(map(len, documents))
        bits = bits_per_character(model, token_ids, n_chars=n_chars, window=args.window)
        results[name] = {"n_documents": len(documents), "n_characters": n_chars, "bits_per_character": round(bits, 4)}
        print(name, results[name], flush=True)
    if args.out is not None:
        args.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
