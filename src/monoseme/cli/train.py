"""Train SAEs on a model's activations; killed and resumed, to the same bits.

    monoseme train --model gpt2 --corpus books.jsonl --site resid_post.7 --sae topk --sae.k 32 --out runs/a
    monoseme train --out runs/a --resume

Lists on a `--sae` flag make a sweep, trained side by side on one pass of the model.
"""

from pathlib import Path

from monoseme.cli._run_options import known_config, parse_run
from monoseme.cli._verbs import document
from monoseme.core.display import get_display
from monoseme.core.files import typed
from monoseme.pipeline import train_run

_OUT = Path("runs/run")


def main(words: list[str]) -> int:
    """Trains, or goes on training."""
    config, out, resume = parse_run(words, verb="train", summary=document("train"), default=known_config(words, _OUT), out=_OUT)
    run = train_run(config, out, resume=resume)
    get_display().say(
        f"  measure them:  monoseme eval {typed(run.path)}\n  all of the rest:  monoseme run --out {typed(run.path)} --resume"
    )
    get_display().result({"run": str(run.path), "saes": {name: str(run.sae(name)) for name in run.sae_names()}})
    return 0
