"""Makes runs and stores: train, run, demo, resume, plan, capture, sentences."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monoseme.api._places import new_place
from monoseme.api._plan_table import PlanTable
from monoseme.api._run import Run
from monoseme.api._settings import Settings, changed, nested, words
from monoseme.core.config import merge, to_dict
from monoseme.core.errors import ConfigError, ResumeError

if TYPE_CHECKING:
    from monoseme.activations.store.finish import StoreSummary
    from monoseme.pipeline import CaptureConfig, RunConfig
    from monoseme.saes import SAE
    from monoseme.text.sentence_file import SentenceFile


def recipe(
    sae: "str | SAE.Config | Sequence[str | SAE.Config] | None" = None,
    *,
    model: str | None = None,
    corpus: str | Path | None = None,
    site: str | Sequence[str] | None = None,
    config: "str | RunConfig | None" = None,
    settings: Settings | None = None,
) -> "RunConfig":
    """The whole config of a run, as the command line makes it of its flags.

    `sae` is an architecture or several, by name or as configs; settings named `sae.k` are for those given by name. `config` is
    what all of this is put on top of: a preset's name, or a config. Raises ConfigError, UnknownPluginError.
    """
    from monoseme.pipeline import RunConfig, RunSettings, from_stores
    from monoseme.presets import own_saes, preset

    said = nested(settings)
    own: dict[str, Any] = said.pop("sae", {})
    base = preset(config) if isinstance(config, str) else config
    start = base.settings if base is not None else RunSettings()
    stores = said.get("stream", {}).get("activations", ())
    start = from_stores(start, tuple(stores)) if stores else start
    said = merge(said, _short(model, corpus, site))
    settled = changed(start, said)
    saes = () if base is None else own_saes(base, settled) if sae is None and isinstance(config, str) else base.saes
    return RunConfig.of(settled, _architectures(sae, own, saes))


def train(
    out: str | Path,
    sae: "str | SAE.Config | Sequence[str | SAE.Config] | None" = None,
    *,
    model: str | None = None,
    corpus: str | Path | None = None,
    site: str | Sequence[str] | None = None,
    config: "str | RunConfig | None" = None,
    settings: Settings | None = None,
) -> Run:
    """Trains SAEs on a model's activations into the folder `out`. Arguments are those of `recipe`.

    Raises ArtifactExistsError where there is something already, and what `monoseme.pipeline.train_run` raises.
    """
    from monoseme.pipeline import train_run

    folder = new_place(out)
    made = recipe(sae, model=model, corpus=corpus, site=site, config=config, settings=settings)
    return Run(train_run(made, Path(folder)).path)


def run(
    out: str | Path,
    sae: "str | SAE.Config | Sequence[str | SAE.Config] | None" = None,
    *,
    model: str | None = None,
    corpus: str | Path | None = None,
    site: str | Sequence[str] | None = None,
    config: "str | RunConfig | None" = None,
    settings: Settings | None = None,
) -> Run:
    """The whole road into the folder `out`: train, evaluate, scan, explain, report. Arguments are those of `recipe`."""
    from monoseme.pipeline import run_all

    folder = new_place(out)
    made = recipe(sae, model=model, corpus=corpus, site=site, config=config, settings=settings)
    return Run(run_all(made, Path(folder)).path)


def demo(out: str | Path = "runs/demo") -> Run:
    """The whole road on the bundled model and text, in a few minutes; a finished one is opened, a stopped one goes on."""
    from monoseme.pipeline import RUN_FILE, run_all
    from monoseme.presets import preset

    folder = Path(new_place(out))
    return Run(run_all(preset("demo"), folder, resume=(folder / RUN_FILE).is_file()).path)


def resume(out: str | Path) -> "Run | StoreSummary | Any":
    """Goes on with what was begun in a folder, as `--resume`: a run, a study or a capture; gives what making it would have.

    Raises ResumeError where nothing was begun.
    """
    from monoseme.core.folder import is_address
    from monoseme.pipeline import RUN_FILE, RunFolder, capture_run, captured_config, run_all, run_config
    from monoseme.studies import STUDIES, read_record

    path = Path(new_place(out))
    if not is_address(out) and (path / RUN_FILE).is_file():
        return Run(run_all(run_config(RunFolder(path)), path, resume=True).path)
    if not is_address(out) and (path / "study.json").is_file():
        from monoseme.api._others import finish_study

        record = read_record(path)
        return finish_study(STUDIES.get(record.study), record.config, path, resume=True)
    config = captured_config(out)
    if config is None:
        raise ResumeError(f"nothing was begun at {out}: there is no run, no study and no capture.")
    return capture_run(config, out, resume=True)


def plan(config: "RunConfig | CaptureConfig", out: str | Path = "runs/run", *, settings: Settings | None = None) -> PlanTable:
    """What a run (`recipe` makes its config) or a capture will need: disk, memory, time, cost. `settings`: of the plan."""
    from monoseme.pipeline import CaptureConfig
    from monoseme.planning import PlanConfig, plan_capture, plan_training

    said, out = changed(PlanConfig(), settings), new_place(out)
    found = plan_capture(config, str(out), said) if isinstance(config, CaptureConfig) else plan_training(config, Path(out), said)
    return PlanTable(plan=found)


def capture(
    out: str | Path,
    *,
    model: str | None = None,
    corpus: str | Path | None = None,
    site: str | Sequence[str] | None = None,
    settings: Settings | None = None,
) -> "StoreSummary":
    """Writes a model's activations to a folder or an address; SAEs learn from it by `settings={"stream.activations": [out]}`."""
    from monoseme.pipeline import CaptureConfig, capture_run

    said = nested(settings)
    said = merge(said, _short(model, corpus, site))
    return capture_run(changed(CaptureConfig(), said), new_place(out))


def sentences(corpus: str | Path, out: str | Path, *, settings: Settings | None = None) -> "SentenceFile":
    """Cuts a corpus into sentences and writes them as a Parquet file. `settings` are those of a corpus, such as `language`."""
    from monoseme.text import CorpusConfig
    from monoseme.text.sentence_file import write_sentences

    file, said = Path(new_place(out)), dict(settings or {})
    most = said.pop("max_sentences", None)
    return write_sentences(changed(CorpusConfig(source=str(corpus), sentences="cut"), said), file, max_sentences=most)


def _short(model: str | None, corpus: str | Path | None, site: str | Sequence[str] | None) -> dict[str, Any]:
    """What the arguments that are short for settings say, as those settings."""
    given = {"model.model": model, "corpus.source": corpus}
    sites = {} if site is None else {"sites": list(words(site))}
    return nested({name: str(value) for name, value in given.items() if value is not None} | sites)


def _architectures(
    sae: "str | SAE.Config | Sequence[str | SAE.Config] | None", own: Mapping[str, Any], base: "Sequence[SAE.Config]"
) -> "list[SAE.Config]":
    """The configs of what is named; those of `base` where nothing is. Raises ConfigError for settings that go to none."""
    from monoseme.saes import SAE, SAES, config_from_dict

    given = list(base) if sae is None else [sae] if isinstance(sae, str | SAE.Config) else list(sae)
    if own and not any(isinstance(one, str) for one in given):
        raise ConfigError("settings of sae.* are for architectures given by name; put them into the config.")
    made: list[SAE.Config] = []
    for one in given:
        if isinstance(one, str):
            found = next((config for config in base if config.plugin_name == one), None) or SAES.get(one).Config()
            made.append(config_from_dict(merge({"architecture": one, **to_dict(found)}, own), where="settings.sae"))
        else:
            made.append(one)
    return made
