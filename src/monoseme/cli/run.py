"""The whole road on your model and text: train, evaluate, scan, explain, report.

    monoseme run --model gpt2 --corpus books.jsonl --sae topk,batchtopk --out runs/a
    monoseme run --preset gemma_2_2b --out runs/gemma
    monoseme run --out runs/a --resume

Each stage that is complete is kept; `--resume` goes on where it stopped.
"""

from pathlib import Path

from monoseme.cli._run_options import known_config, parse_run
from monoseme.cli._verbs import document
from monoseme.core.display import get_display
from monoseme.core.files import typed
from monoseme.pipeline import RunFolder, run_all

_OUT = Path("runs/run")


def main(words: list[str]) -> int:
    """Makes a run, or goes on with one."""
    config, out, resume = parse_run(words, verb="run", summary=document("run"), default=known_config(words, _OUT), out=_OUT)
    run = run_all(config, out, resume=resume)
    get_display().say(f"  look at it:  monoseme serve {typed(run.path)}\n  the report:  {run.report / 'index.html'}")
    get_display().result(result_of(run))
    return 0


def result_of(run: RunFolder) -> dict[str, object]:
    """What `--json` prints: the artifacts and where they are."""
    record = run.record()
    return {"run": str(run.path), "artifacts": record["artifacts"], "environment": record.get("environment", {})}
