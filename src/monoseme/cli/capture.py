"""Write a model's activations to disk: captured once, read shuffled by any number of SAEs.

    monoseme capture --model gpt2 --corpus books.jsonl --site resid_post.7 --out stores/books
    monoseme capture --site resid_post.* --dtype int8 --max_bytes 200GB --out stores/all
    monoseme capture --out stores/books --resume
    torchrun --nproc-per-node 4 -m monoseme capture --out s3://bucket/books --model.device cuda

Several sites cost one pass of the model. Killed at any moment, a capture resumes to the same bytes.
Short forms: --model for --model.model, --corpus for --corpus.source, --site for --sites; --dtype, --shard_bytes and --max_bytes
for --storage.*
"""

from monoseme.activations.store.finish import StoreSummary
from monoseme.cli._capture_options import parse_capture
from monoseme.cli._verbs import document
from monoseme.core.display import counted, get_display
from monoseme.core.files import typed
from monoseme.pipeline import capture_run


def main(words: list[str]) -> int:
    """Captures, or goes on capturing."""
    config, out, resume = parse_capture(words, verb="capture", summary=document("capture"))
    summary = capture_run(config, out, resume=resume)
    display = get_display()
    for line in _told(summary, out):
        display.say(line)
    display.result(_as_json(summary, out))
    return 0


def _told(summary: StoreSummary, out: str) -> list[str]:
    """What was written, and what to type next."""
    heldout = f", {summary.n_heldout:,} of them held out" if summary.n_heldout else ""
    lines = [
        f"stored {counted(summary.n_tokens, 'tokens')} ({counted(summary.n_contexts, 'contexts')}{heldout}) in "
        f"{counted(summary.n_shards, 'shards')} -> {out}",
        f"  {summary.n_bytes:,} bytes, {summary.n_bytes / max(summary.n_tokens, 1):,.1f} per token",
    ]
    for site, error in summary.storage_errors.items():
        told = "exact" if not error.squares else "not defined" if error.fvu is None else f"{error.fvu:.2g} of the variance lost"
        lines.append(f"  {site}: {told} in storage")
    return [*lines, f"  train on it:  monoseme train --activations {typed(out)}", f"  look at it:  monoseme show {typed(out)}"]


def _as_json(summary: StoreSummary, out: str) -> dict[str, object]:
    errors = {site: error._asdict() for site, error in summary.storage_errors.items()}
    return {"activations": out, **summary._asdict(), "storage_errors": errors}
