"""The whole road on the bundled model and text, in a few minutes, then the web app.

    monoseme demo              trains three SAEs, measures, scans, explains, reports, serves
    monoseme demo --no-serve   ends after the report

The same as `monoseme run --preset demo --out runs/demo`, then `monoseme serve runs/demo`. A finished demo is not made again: it
is served; a stopped one goes on.
"""

import shutil
import sys
from pathlib import Path

from monoseme.cli._declared import HandFlag
from monoseme.cli._run_options import parse_run
from monoseme.cli._verbs import document
from monoseme.cli.run import result_of
from monoseme.core.display import get_display
from monoseme.core.files import typed
from monoseme.pipeline import RUN_FILE, run_all
from monoseme.presets import preset

_OUT = Path("runs/demo")
_NO_SERVE = HandFlag("--no-serve", "Ends after the report.", is_switch=True)
_NEXT = """
Next, on a GPU, with a model of the hub:
  monoseme run --preset gpt2 --out runs/gpt2
  monoseme run --model google/gemma-2-2b --model.device cuda --model.dtype bfloat16 \\
      --corpus monology/pile-uncopyrighted --site resid_post.12 --sae batchtopk --sae.n_latents 16384 --out runs/gemma"""


def main(words: list[str]) -> int:
    """Makes the demo's run unless it is there, then serves it."""
    own = {_NO_SERVE.name, "--no_serve"}
    rest = [word for word in words if word not in own]
    config, out, resume = parse_run(
        rest, verb="demo", summary=document("demo"), default=preset("demo"), out=_OUT, by_hand=[_NO_SERVE]
    )
    run = run_all(config, out, resume=resume or (out / RUN_FILE).is_file())
    told = f"\nThe report:  {run.report / 'index.html'}\nThe web app:  monoseme serve {typed(run.path)}\n{_NEXT}"
    get_display().say(told + _how_it_is_typed())
    get_display().result(result_of(run))
    if own.isdisjoint(words):
        from monoseme.web import serve

        serve([run.path])
    return 0


def _how_it_is_typed() -> str:
    """What makes `monoseme` known to a shell, where its environment was made by `make` and not activated; else empty."""
    activate = Path(sys.prefix, "bin", "activate")
    if shutil.which("monoseme") is not None or not activate.is_file():
        return ""
    return f"\n\nFor this shell to know monoseme:\n  source {typed(activate)}"
