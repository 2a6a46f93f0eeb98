"""The rest of the verbs: study, serve, ls, bench."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monoseme.api._places import model_of, new_place, words_of
from monoseme.api._settings import Settings, changed, nested
from monoseme.api._study_report import StudyReport
from monoseme.core.config import merge


def study(
    name: str, *, sae: Any = None, out: str | Path | None = None, settings: Settings | None = None,
    resume: bool = False, force: bool = False,
) -> StudyReport:  # fmt: skip
    """Asks a question about SAEs (`ls("studies")`) and gives the report. `settings` are the study's, such as `max_tokens`.

    `resume` goes on with one that was interrupted, `force` begins anew. Raises UnknownPluginError, ConfigError,
    ArtifactExistsError.
    """
    from monoseme.studies import STUDIES

    kind = STUDIES.get(name)
    said: dict[str, Any] = nested(settings)
    if sae is not None:
        said["sae"] = list(words_of(sae))
        opened_with = model_of(sae)
        if opened_with is not None:
            said = merge({"model": {"model": opened_with}}, said)
    folder = Path("runs") / name if out is None else Path(new_place(out))
    return finish_study(kind, said, folder, resume=resume, force=force)


def finish_study(kind: Any, said: Mapping[str, Any], out: Path, *, resume: bool = False, force: bool = False) -> StudyReport:
    """Runs a study with settings on top of its own. The command in its report is the one that would do the same."""
    from monoseme.studies import run_study

    config = changed(kind.Config(), said)
    flags = [word for name, value in _flat(said) for word in (f"--{name}", _typed(value))]
    command = shlex.join(["monoseme", "study", kind.plugin_name, *flags, "--out", str(out)])
    run_study(kind(config), out, command=command, resume=resume, force=force)
    return StudyReport(out)


def serve(
    places: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8321,
    open_browser: bool = False,
    expose: bool = False,
    model: str | None = None,
) -> None:
    """Serves the web app over runs and studies until it is interrupted; `model` in place of the one that the runs name."""
    from monoseme.web import serve as served

    paths = [Path(word) for word in words_of(places)]
    served(paths, host=host, port=port, open_browser=open_browser, expose=expose, model=model_of(places, model))


def ls(kind: str | None = None) -> dict[str, str] | dict[str, int]:
    """The kinds of plug-ins with how many there are, or of one kind each name with its first line. Nothing is imported.

    Raises ConfigError for a kind there is not.
    """
    from monoseme.plugin_kinds import KINDS, registry_of

    if kind is None:
        return {name: len(registry.names()) for name, registry in KINDS.items()}
    return {info.name: info.summary for info in registry_of(kind).infos()}


def bench(name: str, *, settings: Settings | None = None) -> dict[str, Any]:
    """Times what the package does on this machine: train, capture, e2e, store. Gives the numbers."""
    from monoseme.benchmarks import BENCHMARKS
    from monoseme.core.config import suggest
    from monoseme.core.errors import ConfigError

    if name not in BENCHMARKS:
        raise ConfigError(f'there is no benchmark "{name}".{suggest(str(name), BENCHMARKS)}\n  Allowed: {", ".join(BENCHMARKS)}')
    benchmark = BENCHMARKS[name]
    return benchmark.run(changed(benchmark.config(), settings))


def _flat(said: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in said.items():
        found += _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else [(f"{before}{name}", value)]
    return found


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
