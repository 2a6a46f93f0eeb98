"""The tables of docs/coming-from: their rows, and their commands made small enough to run."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monoseme.presets import PRESETS

PAGES = Path(__file__).resolve().parents[1] / "docs" / "coming-from"
HEAD = ("theirs", "what it is", "here", "what differs")
_CODE = re.compile(r"`([^`]+)`")
_NAME = re.compile(r"monoseme(\.\w+)+")
_SMALL_RUN: dict[str, str] = {
    "--model": "bundled",
    "--model.device": "cpu",
    "--model.dtype": "float32",
    "--corpus": "bundled",
    "--corpus.context_len": "64",
    "--corpus.truncate_tokens": "None",
    "--corpus.min_tokens": "16",
    "--corpus.holdout_fraction": "0.1",
    "--stream.max_tokens": "12000",
    "--stream.contexts_per_block": "8",
    "--stream.validation_loss_tokens": "None",
    "--train.n_tokens": "None",
    "--train.n_steps": "6",
    "--train.batch_size": "256",
    "--train.accumulate": "1",
    "--train.autocast": "None",
    "--train.start_tokens": "512",
    "--train.shuffle_window": "2",
    "--train.validation_tokens": "512",
    "--train.schedule.warmup_steps": "1",
    "--fidelity.max_tokens": "512",
    "--fidelity.max_loss_tokens": "256",
    "--fidelity.n_replicates": "10",
    "--atlas.n_tokens": "2000",
}
_ALWAYS_SMALL = frozenset({"--model", "--corpus", "--model.dtype", "--train.n_steps", "--train.n_tokens"})
"""What a row says is replaced: hub ids, and counts that would take hours."""
_WITHOUT_K = frozenset({"relu", "gated", "jumprelu", "identity", "spade"})


class Row(NamedTuple):
    """One row of a page."""

    page: str
    cells: tuple[str, ...]

    @property
    def commands(self) -> list[str]:
        """Those of the third cell."""
        return [code for code in _CODE.findall(self.cells[2]) if code.startswith("monoseme ")]

    @property
    def names(self) -> list[str]:
        """Python names in the third cell."""
        return [code for code in _CODE.findall(self.cells[2]) if _NAME.fullmatch(code)]


def rows_of(text: str, page: str) -> list[Row]:
    """The rows of the tables with our head."""
    found: list[Row] = []
    inside = False
    for line in text.splitlines():
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|")) if line.startswith("|") else ()
        if not cells:
            inside = False
        elif cells == HEAD:
            inside = True
        elif inside and set(line) - set("|- "):
            found.append(Row(page, cells))
    return found


def all_rows() -> list[Row]:
    """Of every page."""
    return [row for page in sorted(PAGES.glob("*.md")) for row in rows_of(page.read_text(), page.name)]


def small(command: str, *, out: str) -> list[str]:
    """The words of a command, on the bundled model and little text; what it writes goes to `out`."""
    words = shlex.split(command)[1:]
    verb, rest = words[0], words[1:]
    if "--help" in rest:
        return words
    flags = {word.partition("=")[0] for word in rest if word.startswith("--")}
    if verb in ("train", "run", "plan"):
        rest = _small_run(rest, flags)
    elif verb == "capture":
        rest = _replaced(_replaced(rest, "--model", "bundled"), "--corpus", "bundled")
        rest = [word.replace("resid_post.12", "resid_post.1").replace("attn_in.22", "attn_in.1") for word in rest]
    elif verb == "generate":
        rest = [*rest, "--max_tokens", "4"]
    elif verb == "study":
        rest = [*rest, "--out", out]
        if rest[0] in ("alignment", "sequences"):  # a small run holds out too little
            rest += ["--corpus", "bundled", *(["--label", "domain"] if rest[0] == "alignment" else [])]
    elif verb == "explain":
        rest = [*rest, "--label", Path(out).name, *(["--latents", "0-15"] if "--sample" not in flags else [])]
    elif verb == "eval" and not {"--overwrite", "--part"} & flags and "@" not in rest[0]:
        rest = [*rest, "--overwrite"]
    return [verb, *_replaced(rest, "--out", f"{out}.parquet" if verb == "sentences" else out)]


def _small_run(rest: Sequence[str], flags: set[str]) -> list[str]:
    words = list(rest)
    asked = words[words.index("--preset") + 1] if "--preset" in words else None
    assert asked is None or asked in PRESETS.names()
    learns_on = "--start_from" in flags and "--sae" not in flags
    for flag, value in _SMALL_RUN.items():
        if flag in flags and flag in _ALWAYS_SMALL:
            words = _replaced(words, flag, value)
        elif flag not in flags:
            words += [flag, value]
    if "--site" not in flags and asked is not None and not asked.startswith("mlsae"):
        words += ["--site", "attn_in.1" if asked.startswith("llama3") else "resid_post.1"]
    if not learns_on:
        names = words[words.index("--sae") + 1].split(",") if "--sae" in words else []
        words += [] if "--sae.n_latents" in flags or names == ["identity"] else ["--sae.n_latents", "64"]
        has_k = not names or set(names) - _WITHOUT_K
        words += ["--sae.k", "4"] if has_k and not {"--sae.k", "--sae.target_l0", "--sae.tfa.novel"} & flags else []
        words += ["--sae.jumprelu.target_l0", "4"] if asked is not None and asked.startswith("standard") else []
    return words


def _replaced(words: Sequence[str], flag: str, value: str) -> list[str]:
    """The words with another value of a flag, where they have it."""
    found = list(words)
    for i, word in enumerate(found[:-1]):
        if word == flag:
            found[i + 1] = value
    return found
