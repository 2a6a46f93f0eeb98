"""Turn the texts into a tokenizer and token files: the first step of making the bundled model.

Writes `tokenizer.json` and one `<source>.npy` (uint16, every document begins with id 1) per source. Read by train.py.

    python scripts/bundled_model/prepare.py --corpora CORPORA --out runs/bundled/data
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import texts
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

N_VOCABULARY = 4096
PAD, BOS = "<pad>", "<s>"
MISREAD_FRACTION = 0.04
"""Share of stories that are given misread quotes. TinyStories has a few per cent of such; the generated ones have none."""

TOKENIZER_BOOK_CHARS = 60_000
"""Characters of each training book that the tokenizer learns from: 15 MB of books beside 12 MB of stories."""


def story_variants(stories: list[str], *, seed: int) -> list[str]:
    """Each story twice, once in either form of paragraphs, a few with misread quotes."""
    chance = random.Random(seed)
    both = [form for story in stories for form in (story, texts.blank_line_paragraphs(story))]
    return [texts.misread_quotes(story) if chance.random() < MISREAD_FRACTION else story for story in both]


def training_sources(corpora: Path, *, seed: int) -> dict[str, list[str]]:
    """Documents to learn from, by source."""
    books = texts.read_books(corpora)
    held_out = texts.held_out_authors(books)
    return {
        "stories": story_variants(texts.read_generated_stories(corpora).train, seed=seed),
        "books": [book.text for book in books if book.author not in held_out],
        "wikipedia": texts.read_wikipedia(corpora),
        "medical": texts.read_medical(corpora),
    }


def train_tokenizer(sources: dict[str, list[str]]) -> Tokenizer:
    """A byte-level BPE: every text decodes to exactly itself. It puts BOS before a text by default."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=N_VOCABULARY,
        special_tokens=[PAD, BOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_tokenizer_texts(sources), trainer)
    bos_id = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[(BOS, bos_id)]
    )
    return tokenizer


def _tokenizer_texts(sources: dict[str, list[str]]) -> Iterator[str]:
    yield from sources["stories"][::2]
    yield from sources["stories"][1::8]  # enough of the other form of paragraphs for its merges
    for name in ("wikipedia", "medical"):
        yield from sources[name][::2]
    for book in sources["books"]:
        middle = len(book) // 2
        yield book[middle : middle + TOKENIZER_BOOK_CHARS]


def encode(tokenizer: Tokenizer, documents: list[str]) -> np.ndarray:
    """One stream of ids, each document preceded by BOS."""
    batch = 256
    parts = [
        np.asarray(encoding.ids, dtype=np.uint16)
        for start in range(0, len(documents), batch)
        for encoding in tokenizer.encode_batch(documents[start : start + batch])
    ]
    return np.concatenate(parts)


def main() -> None:
    """Read, train the tokenizer, write the token files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    sources = training_sources(args.corpora, seed=args.seed)
    tokenizer = train_tokenizer(sources)
    tokenizer.save(str(args.out / "tokenizer.json"))
    held_out = {"stories_held_out": story_variants(texts.read_generated_stories(args.corpora).held_out, seed=args.seed)}
    for name, documents in (sources | held_out).items():
        ids = encode(tokenizer, documents)
        np.save(args.out / f"{name}.npy", ids)
        n_chars = sum(map(len, documents))
        print(f"{name}: {len(documents)} documents, {n_chars} characters, {ids.size} tokens")


if __name__ == "__main__":
    main()
