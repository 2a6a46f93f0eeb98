"""Lists and patterns of SAEs: every SAE that several words mean, each under a name of its own, with the run it belongs to."""

import dataclasses
import glob
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from monoseme.core.artifact import MANIFEST
from monoseme.core.config import to_dict
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.core.files import typed
from monoseme.models import ModelConfig
from monoseme.pipeline._config import RunConfig
from monoseme.pipeline._evaluate import run_config
from monoseme.pipeline._folder import RUN_FILE, RunFolder
from monoseme.pipeline._saes import NamedSae, open_saes
from monoseme.text import CorpusConfig

OF_RUN = "run"
"""As a model or a corpus: the one of the SAEs' run."""


class FoundSae(NamedTuple):
    """One SAE of a list."""

    named: NamedSae
    """Under a name that no other of the list has: `topk`, or `seed1.topk` where several runs have one."""
    run: RunConfig | None
    """What its run was made with; None for an SAE outside of a run."""
    path: str
    """What names it alone: `run_of` gives the folder of its run."""


def find_saes(words: Sequence[str], *, device: torch.device | str = "cpu") -> list[FoundSae]:
    """The SAEs that words mean as `open_saes` reads them; a word may be a pattern of paths: `runs/seed*`, `runs/*/saes/topk`.

    Each SAE comes once, in the order of the words. Raises ConfigError without a word or for two SAEs that cannot be told apart
    by name, ArtifactMissingError for a pattern that nothing matches, and what `open_saes` raises.
    """
    if not words:
        raise ConfigError("no SAE is named.\n  Give runs, RUN/saes/NAME or RUN@STEP, such as --sae runs/demo")
    paths = list(dict.fromkeys(path for word in words for path in _matches(word)))
    found = [(path, named) for path in paths for named in open_saes(path, device=device)]
    taken = Counter(named.name for _, named in found)
    renamed = [
        (path, named if taken[named.name] == 1 else named._replace(name=f"{_folder_name(path)}{_step(path)}.{named.name}"))
        for path, named in found
    ]
    doubled = [name for name, n in Counter(named.name for _, named in renamed).items() if n > 1]
    if doubled:
        twins = [i for i, (_, named) in enumerate(renamed) if named.name == doubled[0]]
        raise _twins(found[twins[0]][1].name, [found[i][0] for i in twins])
    return [FoundSae(named, _config_of(path), path) for path, named in renamed]


def require_one_model(found: Sequence[FoundSae]) -> None:
    """Raises ConfigError where the SAEs learned from models of different names."""
    told = [(sae.named.name, sae.named.model if sae.run is None else sae.run.model.model) for sae in found]
    models = {model: name for name, model in told if model is not None}
    if len(models) > 1:
        named = "; ".join(f"{name} of {model}" for model, name in models.items())
        raise ConfigError(
            f"these SAEs are of different models: {named}.\n  Compare those of one, or name the model with --model."
        )


def settings_for(found: Sequence[FoundSae], *, model: ModelConfig, corpus: CorpusConfig | None = None) -> RunConfig:
    """The settings with which SAEs are used: those of the first run among them, with the model and the text that are asked for in
    place of its own; SAEs and activations of the run are left out.

    Where none belongs to a run, the model is the one that their own files name. `corpus` None: no text is needed. Raises
    ConfigError for SAEs of different models, and one that names the flags that are needed.
    """
    if model.model == OF_RUN:
        require_one_model(found)
    run = next((sae.run for sae in found if sae.run is not None), None)
    said_all = model.model != OF_RUN and corpus is not None and corpus.source != OF_RUN
    base = RunConfig() if run is None or said_all else RunConfig.of(run.settings, ())
    noted = next((sae.named.model for sae in found if sae.named.model is not None), None)
    if run is None:
        needed = ["--model"] if model.model == OF_RUN and noted is None else []
        needed += ["--corpus"] if corpus is not None and corpus.source == OF_RUN else []
        if needed:
            names, what = ", ".join(sae.named.name for sae in found), {"--model": "the model", "--corpus": "the text"}
            raise ConfigError(
                f"{names}: no run to take {' and '.join(what[flag] for flag in needed)} from.\n  Give {' and '.join(needed)}. "
                f"In Python:  {', '.join(f'{flag[2:]}=...' for flag in needed)}"
            )
    made = model_asked(model, base.model if run is not None or noted is None else ModelConfig(model=noted))
    text = base.corpus if corpus is None or corpus.source == OF_RUN else corpus
    stream = dataclasses.replace(base.stream, activations=(), weights=None)
    return dataclasses.replace(base, model=made, corpus=text, stream=stream, sites=None, start_from=(), saes=())


def model_asked(asked: ModelConfig, of_run: ModelConfig) -> ModelConfig:
    """The model that is asked for; where its name is `run`, that of the run with what else is asked for in place of its own."""
    if asked.model != OF_RUN:
        return asked
    said = {key: value for key, value in to_dict(asked).items() if value != getattr(ModelConfig(), key) and key != "model"}
    return dataclasses.replace(of_run, **said)


def different_text(found: Sequence[FoundSae]) -> list[str]:
    """Names of SAEs that learned from other text than the first, or held out other documents of it."""
    texts = [(sae.named.name, to_dict(sae.run.corpus)) for sae in found if sae.run is not None]
    return [name for name, text in texts if text != texts[0][1]]


def run_of(word: str) -> RunFolder:
    """The run that an SAE or a checkpoint named by a word belongs to, or the run itself; it need not be there."""
    path = Path(_apart(word)[0])
    return RunFolder(path.parent.parent if path.parent.name == "saes" else path)


def _folder_name(word: str) -> str:
    """What tells an SAE from one of the same name: its run; of files of another tool, the folder that they lie in."""
    path = Path(_apart(word)[0])
    return path.parent.name if path.is_file() else run_of(word).path.name


def _twins(name: str, paths: Sequence[str]) -> ConfigError:
    """The error for SAEs that would have one name."""
    of_runs = all((run_of(path).path / RUN_FILE).is_file() for path in paths)
    foreign = [path for path in paths if not of_runs and not (Path(path) / MANIFEST).is_file()]
    folder = "the folder of a run" if of_runs else "one of their folders"
    instead = f", or import one and give OUT instead:\n  monoseme import {typed(foreign[-1])} --out OUT" if foreign else "."
    return ConfigError(
        f"{len(paths)} SAEs have the name {name}: {', '.join(paths)}.\n"
        f"  If they are one, give it once; else rename {folder}{instead}"
    )


def _apart(word: str) -> tuple[str, str]:
    """The path, and `@STEP` where a word ends with one; an @ in the name of a folder is none."""
    base, at, step = word.rpartition("@")
    return (base, f"@{step}") if at and "/" not in step else (word, "")


def _matches(word: str) -> list[str]:
    pattern, ending = _apart(word)
    if not glob.has_magic(pattern):
        return [word]
    paths = sorted(glob.glob(pattern))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not paths:
        raise ArtifactMissingError(
            f"nothing matches the pattern {word}.\n  Give it in quotes, so that the shell leaves it whole."
        )
    return [path + ending for path in paths]


def _step(word: str) -> str:
    base, ending = _apart(word)
    return ending if (Path(base) / RUN_FILE).is_file() else ""


def _config_of(word: str) -> RunConfig | None:
    run = run_of(word)
    return run_config(run) if (run.path / RUN_FILE).is_file() else None
