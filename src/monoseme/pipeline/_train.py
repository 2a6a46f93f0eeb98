"""The training stage: SAEs side by side on one pass of the model, each ending as an artifact."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, ResumeError
from monoseme.core.files import typed
from monoseme.pipeline._config import RunConfig, run_config_from_dict, run_config_to_dict
from monoseme.pipeline._folder import RUN_FILE, RunFolder, has_given_saes, new_run, require_free
from monoseme.pipeline._from_stores import keep_store_hashes
from monoseme.pipeline._materials import Materials
from monoseme.pipeline._precision import tell_precision
from monoseme.pipeline._summary import kernels_line, speed_facts, speed_table, training_table
from monoseme.pipeline._validate import SplicedLoss
from monoseme.saes import config_to_dict, save_sae, sharded, whole
from monoseme.splice.objective import ModelObjective
from monoseme.tensors.processes import Mesh, everyone, mesh_of
from monoseme.training import Callbacks, Job, TrainResult, read_metrics, train
from monoseme.training.trackers import TRACKERS


def train_run(config: RunConfig, folder: Path, *, materials: Materials | None = None, resume: bool = False) -> RunFolder:
    """Trains the config's SAEs and saves them under `folder`; returns the run.

    With `resume`, goes on from the last checkpoint, to the same bits as without the interruption. Processes that joined
    (`monoseme.tensors.joining`) train together, and the first one writes.
    Raises ConfigError, ArtifactExistsError, ResumeError when the folder's run has another config, and what the model, the text
    and the loop raise.
    """
    if not config.saes and not config.start_from:
        raise ConfigError("a run needs at least one SAE.\n  Type, for example:  --sae topk")
    if resume:
        _require_trained(RunFolder(folder))
    else:
        require_free(folder)  # before a model is loaded for nothing
    materials = materials or Materials(config, processes=everyone())
    mesh = mesh_of(materials.processes, latents=config.train.latent_shards)
    _require_own_devices(materials)
    jobs = _jobs(materials, mesh)
    for tracker in config.train.trackers:
        TRACKERS.source(tracker)
    # Everything that can be wrong with the text, the stores or the SAEs is known before a folder is made.
    validation = materials.validation
    if materials.stores is None:
        materials.text.has_group(0)
    callbacks = _callbacks(materials, jobs, folder)._replace(mesh=mesh)
    mesh.wait()  # all have looked before the first writes
    run = RunFolder(folder)
    if mesh.first:
        run = _open(config, folder, jobs={job.name: ",".join(map(str, job.sites)) for job in jobs}, resume=resume)
        if materials.stores is not None:
            keep_store_hashes(run, materials.stores)
        elif "precision" not in run.record().get("environment", {}):
            run.note({"precision": tell_precision(materials)})
    mesh.wait()
    if materials.stores is not None:
        get_display().say(materials.stores.epochs_line(config, materials.sites))
    result = train(
        materials.training,
        jobs,
        config.train,
        folder=run.training,
        held_out=validation,
        callbacks=callbacks,
        resume=resume,
    )
    saes = {job.name: whole(result.saes[job.name]) for job in jobs} if mesh.rows.rank == 0 else {}
    if mesh.first:
        _finish(run, materials, jobs, result._replace(saes={name: sae for name, sae in saes.items() if sae is not None}))
    mesh.wait()
    return run


def _finish(run: RunFolder, materials: Materials, jobs: list[Job], result: TrainResult) -> None:
    """Saves the SAEs, and says how it went."""
    _save(run, materials, jobs, result)
    table = training_table(read_metrics(run.training / "metrics.jsonl"), [job.name for job in jobs])
    if table:
        get_display().say(table)
    kernels = {job.name: job.sae.kernel_name for job in jobs}
    run.note({"kernels": kernels, "speed": speed_facts(result.seconds, result.n_tokens)})
    get_display().say(f"kernels: {kernels_line(kernels)}")
    get_display().say(speed_table(result.seconds, result.n_tokens))


def _require_trained(run: RunFolder) -> None:
    """Raises ResumeError for a run whose SAEs were given to it: to go on would train new ones in their place."""
    if (run.path / RUN_FILE).is_file() and has_given_saes(run.record()):
        raise ResumeError(
            f"the SAEs of {run.path} were not trained in it: there is nothing to resume.\n"
            f"  To train them further:  monoseme train --start_from {typed(run.path)}/saes/NAME --out ANOTHER"
        )


def _require_own_devices(materials: Materials) -> None:
    """Raises ConfigError where every process would use one and the same GPU."""
    device = materials.config.model.device
    if materials.processes.size > 1 and device.startswith("cuda:"):
        raise ConfigError(
            f"model.device is {device} for each of {materials.processes.size} processes.\n"
            "  Say --model.device cuda: each takes the GPU of its number on its machine."
        )


def _jobs(materials: Materials, mesh: Mesh) -> list[Job]:
    """The new SAEs in their places, then those that learn on. Raises ConfigError where two have one name."""
    started = [Job(one.name, one.sae, one.sites) for one in materials.started]
    if started and mesh.latents.size > 1:
        raise ConfigError("SAEs that learn on (start_from) have all their latents in each process: train.latent_shards must be 1")
    names = Counter([placed.name for placed in materials.placed] + [job.name for job in started])
    doubled = [name for name, n in names.items() if n > 1]
    if doubled:
        raise ConfigError(f"two SAEs of this run have one name: {', '.join(doubled)}.\n  Train them in runs of their own.")
    widths = materials.training.widths
    return [
        Job(name, sharded(dataclasses.replace(config, d_in=widths[sites[0]]), mesh.latents).to(materials.sae_device), sites)
        for name, config, sites in materials.placed
    ] + started


def _callbacks(materials: Materials, jobs: list[Job], folder: Path) -> Callbacks:
    config, sites = materials.config, {job.name: job.sites for job in jobs}
    objective = None
    if config.train.objective.kind != "none":
        objective = _objective(materials, jobs, config.train.objective.kind)
    validate = None
    if config.stream.validation_loss_tokens is not None and config.second_model is None:  # an SAE of two models fits into neither
        validate = SplicedLoss(materials, sites, n_tokens=config.stream.validation_loss_tokens).measure
    return Callbacks(validate=validate, objective=objective, resume_command=f"monoseme train --out {typed(folder)} --resume")


def _objective(materials: Materials, jobs: list[Job], kind: Literal["ce", "kl"]) -> ModelObjective:
    """The loss through the model. Raises ConfigError for an SAE that no single place of it can be given back to."""
    several = [job.name for job in jobs if len(job.sites) > 1]
    if several or materials.config.second_model is not None:
        named = ", ".join(several) or "these SAEs"
        raise ConfigError(
            f"train.objective goes through one model at one site, but {named} learn from several.\n"
            "  Train them in a run of their own, with train.objective.kind none."
        )
    return ModelObjective(materials.model, {job.name: job.sites[0] for job in jobs}, kind)


def _open(config: RunConfig, folder: Path, *, jobs: dict[str, str], resume: bool) -> RunFolder:
    """A new run, or the one that is there if it is the same."""
    plain = run_config_to_dict(config)
    if not (resume and (folder / RUN_FILE).is_file()):
        return new_run(folder, config=plain, jobs=jobs)
    run = RunFolder(folder)
    told = run_config_to_dict(run_config_from_dict(run.record()["config"]))
    if told != plain:
        differing = sorted(key for key in plain if told.get(key) != plain[key])
        raise ResumeError(
            f"{folder} holds a run with other settings: {', '.join(differing)} differ.\n"
            f"  Resume it as it is with:  monoseme train --out {typed(folder)} --resume\n  or give another --out."
        )
    return run


def _save(run: RunFolder, materials: Materials, jobs: list[Job], result: TrainResult) -> None:
    inputs = _inputs(materials)
    for job in jobs:
        described = {
            "site": str(job.sites[job.sae.roles(len(job.sites)).outputs[0]]),
            "model": materials.config.model.model,
            "tokens_trained": result.n_tokens,
            "kernels": job.sae.kernel_name,
            **_text_facts(materials),
            "trained_as": config_to_dict(job.sae.config),  # what is saved may be simpler: BatchTopK ends as a threshold
        }
        sae = result.saes[job.name].export()
        if not run.sae(job.name).exists():  # a resumed run may have been killed between two of these
            save_sae(sae, run.sae(job.name), inputs=inputs, extra_config=described)
        run.add({"saes": {job.name: f"saes/{job.name}"}})
    get_display().say(f"trained {', '.join(job.name for job in jobs)} on {result.n_tokens:,} tokens -> {run.path / 'saes'}")


def _text_facts(materials: Materials) -> dict[str, Any]:
    """The text and its contexts, where they are read here and not when a store was made; other tools' files name them."""
    if materials.stores is not None:
        return {}
    corpus = materials.text.config
    return {
        "corpus": corpus.source,
        "context_len": corpus.context_len,
        "bos": corpus.bos,
        "keep_special": corpus.keep_special,
    }


def _inputs(materials: Materials) -> dict[str, str]:
    """Content hashes of what SAEs were made from: stores, or else models and text."""
    if materials.stores is not None:
        return materials.stores.inputs()
    return {**materials.model_hashes(), "text": materials.text.content_hash}
