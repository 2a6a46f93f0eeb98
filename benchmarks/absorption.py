"""Absorption in given SAEs, by both definitions, as a page of the documentation: `docs/results/absorption`.

    python benchmarks/spelling_model.py --out runs/spelling_model
    monoseme train --model runs/spelling_model --corpus bundled --sae topk,matryoshka,tsae --out runs/letters ...
    python benchmarks/absorption.py --sae runs/letters --model runs/spelling_model

Takes SAEs as `monoseme study` does: runs, RUN/saes/NAME, patterns, several with commas between them. What follows `--` goes to
the study: `-- --test_fraction 0.4 --least_letters 15`. What was measured is not measured again; numbers, tables and figures are
copied from the study's report.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from study_docs import Rules, copy_report

_RUNS = "runs"
"""What stands in the page for the folders of this machine."""
_FIGURE_BYTES = 700_000
"""Sixteen SAEs and their controls make large figures."""


def main() -> None:
    """Studies and copies."""
    flags = _flags()
    words = ["study", "absorption", "--sae", flags.sae, "--model", flags.model, "--out", str(flags.work), *flags.study]
    if not _is_done(flags.work, words):
        resume = ["--resume"] if (flags.work / "study.json").is_file() else []
        if subprocess.run([sys.executable, "-m", "monoseme", *words, "--quiet", *resume], check=False).returncode:
            raise SystemExit("the study failed; the same command goes on")
    copy_report(flags.work / "report", flags.out, Rules(keeps_texts=True, paths=_paths(flags), figure_bytes=_FIGURE_BYTES))
    sys.stderr.write(f"page -> {flags.out / 'index.md'}\n")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sae", required=True, help="SAEs, with commas between them")
    parser.add_argument("--model", default="run", help="the model they learned from; run: as their run says")
    parser.add_argument("--out", type=Path, default=Path("docs/results/absorption"))
    parser.add_argument("--work", type=Path, default=Path("runs/studies/reports/absorption"))
    parser.add_argument("study", nargs="*", help="flags of the study, after --")
    return parser.parse_args()


def _is_done(work: Path, words: list[str]) -> bool:
    """Whether there is a report by the same command; what another one left is removed."""
    note = work / "study.json"
    if note.is_file() and json.loads(note.read_text())["command"] != shlex.join(["monoseme", *words]):
        shutil.rmtree(work)
    return (work / "report" / "manifest.json").is_file()


def _paths(flags: argparse.Namespace) -> dict[str, str]:
    """Folders of this machine -> `runs`."""
    given = [Path(word.partition("@")[0]) for word in (*flags.sae.split(","), flags.model)]
    folders = {str(parent) for path in given if path.is_absolute() for parent in path.parents if len(parent.parts) > 2}
    return dict.fromkeys(sorted(folders, key=len, reverse=True), _RUNS) | {str(flags.work.resolve()): str(flags.work)}


if __name__ == "__main__":
    main()
