"""What any run holds besides its tensors: imports, kernels, and what the tokenizer makes of text.

These were measured, not derived (RssAnon; x86-64 Linux, glibc, Python 3.11, torch 2.13, numba 0.68; books of 260 kB): tokenising
the first 300,000 tokens added 289 MB with a tokenizer of 4,096 tokens and 236 MB with one of 512, 1,500,000 tokens 460 MB
and 236 MB. Imports differ so much between builds of torch that they are measured on each machine.
"""

import math
from pathlib import Path

from monoseme.planning.parts import Part
from monoseme.text import CorpusConfig
from monoseme.text.store import GROUP_TOKENS

KERNELS_BYTES = 25e6
"""numba's import (18 MB), and compiled code from its cache."""
COMPILING_BYTES = 200e6
"""What compiling all kernels adds once on a machine: a run of TopK held 761 MB with, and 545 MB without."""
_KERNELS_NOTE = (
    f"numba, and code from its cache; the first run on a machine compiles it, with some {COMPILING_BYTES / 1e6:.0f} MB more"
)
_BATCH_CHARACTERS = 1 << 20
"""Of the documents that are tokenised together, as `monoseme.text.sections` cuts them."""
_BYTES_PER_CHARACTER = 200
_BYTES_PER_TOKEN = 130
"""Of a group of a million, of which lists of Python integers are made."""


def imports(n_bytes: float) -> Part:
    """What the process holds before it does anything."""
    return Part("imports", n_bytes, "host", "Python, torch, transformers", "measured")


def kernels_part() -> Part:
    """Of the CPU's kernels, where they are used."""
    return Part("kernels", KERNELS_BYTES, "host", _KERNELS_NOTE)


def tokenising(corpus: CorpusConfig | None, max_tokens: int | None) -> Part:
    """What the tokenizer makes of the text at hand, and what the allocator keeps of it."""
    if corpus is None:
        return Part("tokenising", 0.0, "host", "none")
    characters = min(_BATCH_CHARACTERS, _corpus_bytes(corpus.source))
    tokens = min(GROUP_TOKENS, max_tokens or GROUP_TOKENS, _corpus_bytes(corpus.source))
    value = characters * _BYTES_PER_CHARACTER + tokens * _BYTES_PER_TOKEN
    return Part("tokenising", value, "host", "a million characters at once, and what the allocator keeps", "estimated")


def _corpus_bytes(source: str) -> float:
    """Of the files of a local corpus; infinite for any other, which is taken to be large."""
    path = Path(source).expanduser()
    if path.is_dir():
        return float(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
    return float(path.stat().st_size) if path.is_file() else math.inf
