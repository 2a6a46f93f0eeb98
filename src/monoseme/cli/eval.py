"""Measure SAEs on held-out text: reconstruction, sparsity, and the model's loss with them in place.

    monoseme eval RUN                  every SAE of the run, on its held-out documents; writes reports
    monoseme eval RUN@2000             a checkpoint; prints, writes nothing
    monoseme eval RUN/saes/NAME        one SAE; prints, writes nothing
    monoseme eval RUN --overwrite      measures again
    monoseme eval RUN --evaluations smoothness,layer_spread      other evaluations than the run's own: monoseme ls evaluations
    monoseme eval RUN --part high,low  parts of the codes (all, high, low, predicted, novel, a group's number); writes nothing
    monoseme eval FILES --model gpt2 --corpus books.jsonl        an SAE of another tool, a file or a folder; prints
    monoseme eval hf://owner/name/folder --corpus books.jsonl    one of the hub, in the model that its files name
    monoseme eval FILES --corpus books.jsonl --out runs/theirs   a run of it: then scan, explain, report and serve runs/theirs

With --model or --corpus, any SAE is measured in that model and on the held-out documents of that text, in contexts
of --context_len tokens; nothing is written without --out, which makes a new run of the SAEs, with that model and text.
How much is measured (`--fidelity.max_tokens`, `--fidelity.max_loss_tokens`, ...) is set when a run is made: here with --out.
Definitions of all metrics: docs, "Metrics".
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.cli._declared import HandFlag
from monoseme.cli._options import settings
from monoseme.cli._run_words import RunWords, read_words
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactExistsError, ConfigError
from monoseme.core.field_docs import field_docs
from monoseme.core.files import typed
from monoseme.evaluation import EVALUATIONS, metrics_to_json
from monoseme.evaluation.fidelity import Fidelity
from monoseme.models import ModelConfig
from monoseme.pipeline import (
    OF_RUN,
    RUN_FILE,
    Materials,
    RunFolder,
    evaluate_run,
    evaluation_of,
    find_saes,
    keep_run,
    measure,
    run_config,
    run_of,
    settings_for,
)
from monoseme.pipeline._evaluate import Results
from monoseme.pipeline._folder import require_free
from monoseme.text import CorpusConfig

_LIMITS = field_docs(Fidelity.Config)
"""Settings of fidelity, which a run made here takes, each with what is said under it."""
_FIDELITY = "--fidelity."
_FLAGS = (
    HandFlag("--overwrite", "Measures again what is measured.", is_switch=True),
    HandFlag("--evaluations", "Other evaluations than the run's own, with commas: monoseme ls evaluations."),
    HandFlag("--model", "FOLDER or hub id to measure in, instead of the run's own; writes nothing."),
    HandFlag("--corpus", "FILE, FOLDER or dataset whose held-out documents to measure on; writes nothing."),
    HandFlag("--context-len", "With --corpus: tokens of a context at most."),
    HandFlag("--out", "With --corpus: a new folder, which becomes a run of these SAEs and holds what was measured."),
    HandFlag("--part", "Parts of the codes, with commas: all, high, low, predicted, novel, a group's number; writes nothing."),
    *(HandFlag(f"{_FIDELITY}{name.replace('_', '-')}", f"With --out. {text}") for name, text in _LIMITS.items()),
)


def main(words: list[str]) -> int:
    """Measures each run or checkpoint named."""
    said = read_words(words, verb="eval", flags=_FLAGS)
    if said is None:
        return 0
    names, parts = _list(said.options.get("--evaluations", "")), _list(said.options.get("--part", ""))
    for name in names:
        EVALUATIONS.source(name)
    model = ModelConfig(model=said.options.get("--model", OF_RUN))
    corpus = CorpusConfig(source=said.options.get("--corpus", OF_RUN))
    context_len = said.number("--context-len")
    if context_len is not None:
        if corpus.source == OF_RUN:
            raise ConfigError("--context_len goes with --corpus: a run's text keeps the contexts that it has")
        corpus = dataclasses.replace(corpus, context_len=context_len)
    out, limits = said.path("--out"), _limits(said)
    if limits and out is None:
        raise ConfigError(
            f"{_FIDELITY}{next(iter(limits))} is set when a run is made, and nothing here makes one.\n"
            "  Give it with --out, which makes a run of these SAEs, or when they are trained:  monoseme run"
        )
    asked = _Asked(names, parts, model, corpus, overwrite="--overwrite" in said.switches, limits=limits)
    told = {word: _evaluate(word, asked) for word in said.paths} if out is None else _kept(said.paths, asked, out)
    get_display().result({"results": told})
    return 0


def _limits(said: RunWords) -> dict[str, Any]:
    """Settings of fidelity that are said. Raises ConfigError for one that is no number (or None)."""
    found: dict[str, Any] = {}
    for name in _LIMITS:
        flag = f"{_FIDELITY}{name.replace('_', '-')}"
        text = said.options.get(flag)
        if text is not None:
            try:
                found[name] = None if text.lower() == "none" else json.loads(text.replace("_", ""))
            except ValueError:
                raise ConfigError(f"{flag} must be a number, not {text!r}") from None
    return found


def _list(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


class _Asked(NamedTuple):
    """What the flags say."""

    names: Sequence[str]
    """Evaluations; none: those of the SAEs' run."""
    parts: Sequence[str]
    model: ModelConfig
    corpus: CorpusConfig
    overwrite: bool
    limits: Mapping[str, Any]
    """Settings of fidelity in place of the ones there would be."""

    @property
    def is_of_the_run(self) -> bool:
        """Whether it is measured in the run's own model, on its own text."""
        return self.model.model == OF_RUN and self.corpus.source == OF_RUN


def _kept(words: Sequence[str], asked: _Asked, out: Path) -> dict[str, dict[str, list[Any]]]:
    """A new run of the SAEs that the words mean, with what is measured of them."""
    if asked.parts or asked.overwrite:
        raise ConfigError("--out makes a new run and measures whole codes: leave out --part and --overwrite")
    if asked.corpus.source == OF_RUN:
        raise ConfigError("--out makes a new run, which needs its text.\n  Give --corpus.")
    _require_new(out, words)
    found = find_saes(words)
    config = settings_for(found, model=asked.model, corpus=asked.corpus)
    config = dataclasses.replace(config, fidelity=settings(config.fidelity, asked.limits, where="fidelity"))
    materials = Materials(config, sites=list(dict.fromkeys(site for sae in found for site in sae.named.sites)))
    taken = [sae._replace(named=materials.take(sae.named)) for sae in found]
    run = keep_run(taken, dataclasses.replace(config, evaluations=tuple(asked.names or config.evaluations)), out)
    measured = evaluate_run(run, asked.names or None, materials=materials)
    get_display().say(f"  go on with:  monoseme scan {typed(out)}")
    return {str(out): _numbers(measured)}


def _require_new(out: Path, words: Sequence[str]) -> None:
    """Raises ConfigError where `--out` is what is to be measured, ArtifactExistsError where anything else is there."""
    if out.exists() and any(Path(word).exists() and out.samefile(word) for word in words):
        raise ConfigError(f"--out is what is to be measured: {out}.\n  Give a folder that is not there yet.")
    if (out / RUN_FILE).is_file():
        raise ArtifactExistsError(
            f"{out} is a run already.\n  To measure what it holds:  monoseme eval {typed(out)}\n  or give another --out."
        )
    require_free(out)


def _numbers(measured: Results) -> dict[str, list[Any]]:
    """SAE -> metrics of all evaluations."""
    return {sae: [m for result in results.values() for m in metrics_to_json(result.metrics)] for sae, results in measured.items()}


def _of_the_run(run: RunFolder, asked: _Asked) -> Results:
    """What is measured is written into the run. Raises what `evaluate_run` raises."""
    try:
        return evaluate_run(run, asked.names, overwrite=asked.overwrite)
    except ArtifactExistsError as error:
        config = run_config(run)
        model, length = config.model.model, config.corpus.context_len
        if not model.startswith("./") or Path(model).is_dir():
            raise
        raise ArtifactExistsError(
            f"{run.path} was measured where it was made, and its model is not here: {model}.\n"
            f"  Measure it in one that is here, to be printed:  monoseme eval {typed(run.path)} --model FOLDER "
            f"--corpus TEXT --context_len {length}"
        ) from error


def _evaluate(word: str, asked: _Asked) -> dict[str, list[Any]]:
    """Metrics of each SAE that the word means, of all evaluations one after the other."""
    run = run_of(word)
    if run.path == Path(word) and (run.path / RUN_FILE).is_file() and asked.is_of_the_run and not asked.parts:
        return _numbers(_of_the_run(run, asked))
    if asked.overwrite:
        raise ConfigError(
            f"{word} is measured and nothing is written: leave out --overwrite, which is for a whole run as it is.\n"
            "  To keep what is measured in another model or text, make a new run:  --out NEW --corpus TEXT"
        )
    found = find_saes([word])
    sites = list(dict.fromkeys(site for sae in found for site in sae.named.sites))
    own = found[0].run if asked.is_of_the_run else None
    materials = Materials(own or settings_for(found, model=asked.model, corpus=asked.corpus), sites=sites)
    saes = [materials.take(sae.named) for sae in found]
    told: dict[str, list[Any]] = {}
    for name in asked.names or materials.config.evaluations:
        for result in measure(saes, materials, evaluation_of(name, materials.config), parts=asked.parts or ("all",)):
            told.setdefault(result.subject, []).extend(metrics_to_json(result.metrics))
    return told
