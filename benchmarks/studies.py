"""All studies, at the size of the bundled model, as pages of the documentation: `docs/results/studies`.

    python benchmarks/studies.py --shared ../shared --out docs/results/studies
    python benchmarks/studies.py --shared ../shared --only temporal,layers
    python benchmarks/studies.py --shared ../shared --runs ../runs          SAEs that are trained already

Trains the SAEs (half an hour on two cores), runs the studies on them and on labelled texts, a process for each command, copies
numbers, tables and figures, and writes the page that holds the papers' claims beside what was measured. What is done is not done
again: a run that is complete is taken, a study that was interrupted goes on.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from study_claims import index_page
from study_docs import Rules, copy_report

_WORK = Path("runs/studies")
_TRAIN = """
    --model bundled --corpus {shared}/corpora/classic_books/books.jsonl.zst --stream.max_tokens 2500000 --train.n_tokens 1000000
    --train.batch_size 1024 --train.schedule.kind linear --train.schedule.decay_fraction 0.3 --train.validate_every 500 --sae.k 20
"""
_GROUPED = """
    --sae.n_latents 2048 --sae.matryoshka.group_fractions 0.2,0.8 --sae.tsae.group_fractions 0.2,0.8
    --sae.seed {seed} --train.seed {seed} --sae topk,matryoshka,tsae
"""
_NEWS = """
    --corpus {shared}/corpora/ag_news/test.csv --corpus.columns class,title,text --corpus.label_fields class --label class
"""
_MEDICAL = """
    --corpus {shared}/corpora/medical-abstracts/test.csv --corpus.field medical_abstract --corpus.label_fields condition_label
    --label condition_label
"""
_ALL_BUT_LAYERS = "--sae {runs}/seed0/saes/topk,{runs}/seed0/saes/matryoshka,{runs}/seed0/saes/tsae,{runs}/seed0/saes/tfa"


_THREE = "--sae {runs}/seed0/saes/topk,{runs}/seed0/saes/matryoshka,{runs}/seed0/saes/tsae"
_FEWER = "--n_documents 1200 --n_context_documents 40 --n_seeds 2"
"""Of probing: fewer documents than the papers, so that it ends in minutes."""


class Plan(NamedTuple):
    """One run to train."""

    flags: str
    n_saes: int


PLANS = {
    "seed0": Plan(_GROUPED.format(seed=0).rstrip() + ",tfa,mlsae --sae.tfa.bottleneck 8", 5),
    "seed1": Plan(_GROUPED.format(seed=1), 3),
    "seed2": Plan(_GROUPED.format(seed=2), 3),
    "widths": Plan("--sae topk --sae.n_latents 512,1024,4096", 3),
}


class Step(NamedTuple):
    """One study on one text."""

    name: str
    """Of the folder and of `--only`."""
    study: str
    flags: str
    keeps_texts: bool = True
    """False where the corpus may not be spread: then only numbers and single words are."""


STEPS = (
    Step("temporal", "temporal", "--sae {runs}/seed0 --part all,high,low,predicted,novel"),
    Step("sequences", "sequences", f"{_ALL_BUT_LAYERS} --part all,high,low,predicted,novel --corpus bundled"),
    Step("predictability", "predictability", "--sae {runs}/seed0/saes/tfa,{runs}/seed0/saes/topk,{runs}/seed0/saes/tsae"),
    Step(
        "probing",
        "probing",
        f"{_THREE} --part all,high,low {_FEWER} {_NEWS} --label_names {{shared}}/corpora/ag_news/classes.txt"
        " --tags {shared}/corpora/ud-english-ewt/en_ewt-ud-test.conllu",
        keeps_texts=False,
    ),
    Step(
        "probing_medical",
        "probing",
        f"{_THREE} --part all,high {_FEWER} {_MEDICAL}",
    ),
    Step("maps", "maps", f"{_THREE} --part high,low {_NEWS}", keeps_texts=False),
    Step(
        "alignment",
        "alignment",
        "--sae {runs}/seed0/saes/topk,{runs}/seed0/saes/tsae --corpus {shared}/corpora/hh-rlhf/harmless-base-test.jsonl.gz"
        " --fields chosen,rejected --corpus.chat human_assistant",
        keeps_texts=False,
    ),
    Step("layers", "layers", "--sae {runs}/seed0/saes/mlsae"),
    Step("residual", "residual", "--corpus {shared}/corpora/classic_books/books.jsonl.zst"),
    Step(
        "dictionaries",
        "dictionaries",
        "--sae {runs}/seed0/saes/topk,{runs}/seed1/saes/topk,{runs}/seed2/saes/topk,{runs}/widths --pairs related",
    ),
)


def main() -> None:
    """Trains, studies, copies, compares."""
    flags = _flags()
    known = [step.name for step in STEPS]
    wanted = flags.only.split(",") if flags.only else known
    if unknown := sorted(set(wanted) - set(known)):
        raise SystemExit(f"--only has {', '.join(unknown)}.\n  Allowed: {', '.join(known)}")
    steps = [step for step in STEPS if step.name in wanted]
    _train_all(flags.shared, flags.runs, needed="".join(step.flags for step in steps))
    rules = {str(flags.shared.resolve()): "../shared", str(_WORK.resolve()): str(_WORK), str(Path.cwd()): "."}
    if flags.runs is not None:
        rules[str(flags.runs.resolve())] = str(_WORK)
    failed = [step.name for step in steps if not _study(step, flags.shared)]
    for step in STEPS:
        if (_report(step) / "manifest.json").is_file():
            copy_report(_report(step), flags.out / step.name, Rules(step.keeps_texts, rules))
    done = {step.name: _report(step) for step in STEPS if (_report(step) / "manifest.json").is_file()}
    (flags.out / "index.md").write_text(index_page(done), encoding="utf-8")
    if failed:
        raise SystemExit(f"these studies failed: {', '.join(failed)}. The others are written; the same command goes on.")


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shared", type=Path, required=True, help="folder with corpora/")
    parser.add_argument("--out", type=Path, default=Path("docs/results/studies"))
    parser.add_argument("--runs", type=Path, help="folder of seed0, seed1, seed2 and widths, where they are trained already")
    parser.add_argument("--only", help="studies, with commas between them")
    return parser.parse_args()


def _train_all(shared: Path, runs: Path | None, *, needed: str) -> None:
    """The runs that the flags `needed` name; complete ones of `runs` are linked, so that commands name no other place."""
    common = _TRAIN.format(shared=shared)
    for name, (flags, n_saes) in PLANS.items():
        run = _WORK / name
        if f"{{runs}}/{name}" not in needed:
            continue
        if not run.exists() and runs is not None and _n_saes(runs / name) == n_saes:
            run.parent.mkdir(parents=True, exist_ok=True)
            run.symlink_to((runs / name).resolve())
        if _n_saes(run) < n_saes:
            resume = ["--resume"] if (run / "run.json").is_file() else []
            if not _call(["train", "--quiet", "--out", str(run), *shlex.split(common + flags), *resume]):
                raise SystemExit(f"training {name} failed; the same command goes on")


def _n_saes(run: Path) -> int:
    return len(list(run.glob("saes/*/manifest.json")))


def _report(step: Step) -> Path:
    return _WORK / "reports" / step.name / "report"


def _study(step: Step, shared: Path) -> bool:
    """Runs it, or goes on with it; nothing where its report is there by the same command. Whether it ended well."""
    out = _report(step).parent
    words = ["study", step.study, "--out", str(out), *shlex.split(step.flags.format(shared=shared, runs=_WORK))]
    if (out / "study.json").is_file() and json.loads((out / "study.json").read_text())["command"] != shlex.join(
        ["monoseme", *words]
    ):
        shutil.rmtree(out)  # the study of other settings
    if (_report(step) / "manifest.json").is_file():
        return True
    return _call([*words, "--quiet", *(["--resume"] if (out / "study.json").is_file() else [])])


def _call(words: list[str]) -> bool:
    sys.stderr.write(f"monoseme {shlex.join(words)}\n")
    return subprocess.run([sys.executable, "-m", "monoseme", *words], check=False).returncode == 0


if __name__ == "__main__":
    main()
