"""Checkpoints: a run as it stood after some step, whole or absent, opening as SAEs and as the point to go on from.

    checkpoints/step_00001200/
      <job>.safetensors             weights and buffers (dead counters, thresholds, scale)
      <job>.optimiser.safetensors   both moments and the step count of each parameter
      <job>.learner.safetensors     counts of the latents' life (`life.*`), mean weights where they are kept (`mean.*`)
      state.json                    everything else, and the checksums of the files; written last

A checkpoint is written beside its place and renamed into it, so that a folder of that name is complete whenever the process was
killed. No pickle. `monoseme.training.loop` writes them; the loop and `open_checkpoint` read them.
"""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from monoseme.core.config import to_dict
from monoseme.core.display import get_display
from monoseme.core.errors import ArtifactDamagedError, ArtifactMissingError, ArtifactVersionError
from monoseme.core.files import guard_disk, hash_file, read_json, sync_folder, write_json
from monoseme.saes import SAE, build, config_from_dict, config_to_dict
from monoseme.tensors.saving import save_tensors
from monoseme.training.ema import put_mean
from monoseme.training.learner import Learner, means_in
from monoseme.training.shards import of_part, of_whole

_VERSION = 2
_NAME = re.compile(r"step_(\d{8,})")
_STATE = "state.json"


class Checkpoint(NamedTuple):
    """A complete checkpoint on disk."""

    path: Path
    step: int
    state: dict[str, Any]

    def tensors(self, file: str) -> dict[str, Tensor]:
        """The tensors of one of its files. Raises ArtifactDamagedError when its checksum is not the one noted."""
        path = self.path / file
        if not path.is_file() or hash_file(path) != self.state["files"].get(file):
            raise ArtifactDamagedError(f"{path} is missing or was altered after it was written")
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ArtifactDamagedError(f"{path} is no safetensors file ({error})") from error


def checkpoint_place(folder: Path, step: int) -> Path:
    """Where the checkpoint after `step` steps lies."""
    return folder / f"step_{step:08d}"


class WholeLearner(NamedTuple):
    """What a checkpoint holds of a learner: the same tensors for any number of processes."""

    learner: Learner
    contents: dict[str, dict[str, Tensor]]
    """Name of a file -> its tensors."""

    @classmethod
    def of(cls, learner: Learner) -> Self:
        """Asks the processes that have other latents of the SAE for theirs, so each of them must call it."""
        sae = learner.sae
        contents = {
            f"{learner.name}.safetensors": sae.state_dict(),
            f"{learner.name}.optimiser.safetensors": learner.optimiser.state(),
            f"{learner.name}.learner.safetensors": learner.tensors(),
        }
        return cls(learner, {file: of_whole(sae, tensors) for file, tensors in contents.items()})


def write_checkpoint(folder: Path, *, step: int, learners: list[WholeLearner], state: Mapping[str, Any]) -> Checkpoint:
    """Writes the run after `step` steps into `folder`; `state` is what the loop wants back besides the learners.

    Raises DiskFullError, leaving earlier checkpoints untouched.
    """
    place = checkpoint_place(folder, step)
    draft = folder / f".{place.name}.{os.getpid()}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with guard_disk(place):
            draft.mkdir(parents=True)
            files = [file for learner in learners for file in _write_tensors(draft, learner)]
            hashes = {file: hash_file(draft / file) for file in files}
            jobs = {whole.learner.name: _job_state(whole.learner) for whole in learners}
            whole = {"version": _VERSION, "step": step, "jobs": jobs, "files": hashes, **state}
            write_json(draft / _STATE, whole)
            shutil.rmtree(place, ignore_errors=True)  # only ever a damaged one: a sound one would have been resumed from
            draft.rename(place)
            sync_folder(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return Checkpoint(place, step, whole)


def _write_tensors(folder: Path, whole: WholeLearner) -> list[str]:
    for file, tensors in whole.contents.items():
        save_tensors(tensors, folder / file)
        with (folder / file).open("rb") as written:
            os.fsync(written.fileno())
    return list(whole.contents)


def _job_state(learner: Learner) -> dict[str, Any]:
    sae = learner.sae
    told = {"config": config_to_dict(sae.config), "rules": dict(sae.config.rules), "kernel": sae.kernel_name}
    return {**told, **place_of(learner), **learner.state()}


def place_of(learner: Learner) -> dict[str, Any]:
    """What of the model an SAE sees, and how, as JSON-able values."""
    return {"sites": [str(site) for site in learner.sites], "view": to_dict(learner.view)}


def restore(learner: Learner, checkpoint: Checkpoint) -> None:
    """Puts a learner where the checkpoint left it. Raises ArtifactDamagedError."""
    files = (f"{learner.name}{part}.safetensors" for part in ("", ".optimiser", ".learner"))
    weights, optimiser, learning = (of_part(learner.sae, checkpoint.tensors(file)) for file in files)
    learner.sae.load_state_dict(weights)
    learner.optimiser.load_state(optimiser)
    state = checkpoint.state["jobs"][learner.name]
    learner.load_state(state, learning)


def _state_of(path: Path) -> dict[str, Any] | None:
    """None for one that is not whole, and for one that the training run, still at work, takes away just now."""
    try:
        return read_json(path / _STATE)
    except ArtifactMissingError:
        return None


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """The complete checkpoints in `folder`, oldest first; none if there is no such folder.

    Raises ArtifactVersionError for one that a newer version wrote, ArtifactDamagedError for an unreadable state.
    """
    named = [(path, match) for path in sorted(folder.glob("step_*")) if (match := _NAME.fullmatch(path.name))]
    found = [(path, int(match[1]), _state_of(path)) for path, match in named]
    checkpoints = [Checkpoint(path, step, state) for path, step, state in found if state is not None]
    for checkpoint in checkpoints:
        if checkpoint.state["version"] > _VERSION:
            raise ArtifactVersionError(
                f"{checkpoint.path} was written by a newer version of monoseme (checkpoint version "
                f"{checkpoint.state['version']}; this one reads up to {_VERSION}).\n  Upgrade with:  pip install -U monoseme"
            )
    return sorted(checkpoints, key=lambda checkpoint: checkpoint.step)


def last_sound(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose files are what was written, or None; warns about damaged ones that it passes over."""
    for checkpoint in reversed(list_checkpoints(folder)):
        try:
            for file in checkpoint.state["files"]:
                checkpoint.tensors(file)
        except ArtifactDamagedError as error:
            get_display().warn(f"{error}; going on from an earlier checkpoint")
            continue
        return checkpoint
    return None


def prune(folder: Path, *, keep: int) -> None:
    """Deletes all checkpoints but the last `keep` and the best of each SAE, and drafts that a kill left behind."""
    checkpoints = list_checkpoints(folder)
    wanted = {checkpoint.step for checkpoint in checkpoints[-keep:]}
    if checkpoints:
        wanted |= {best[0] for job in checkpoints[-1].state["jobs"].values() if (best := job["best"]) is not None}
    for checkpoint in checkpoints:
        if checkpoint.step not in wanted:
            # Without its state the folder is no checkpoint: a kill in the middle leaves nothing half sound.
            (checkpoint.path / _STATE).unlink()
            shutil.rmtree(checkpoint.path)
    for draft in folder.glob(".step_*.draft"):
        shutil.rmtree(draft, ignore_errors=True)


def open_checkpoint(folder: Path, at: int | str = "last") -> dict[str, SAE]:
    """The SAEs of a training folder as they stood: `at` is "last", "best" (each SAE's own best) or a number of steps.

    Where a run keeps a mean of the weights, that is what they have.
    Raises ArtifactMissingError naming what is there, ArtifactDamagedError.
    """
    checkpoints = {checkpoint.step: checkpoint for checkpoint in list_checkpoints(folder / "checkpoints")}
    if not checkpoints:
        raise ArtifactMissingError(
            f"no checkpoint in {folder}.\n  Name the folder of a training run (what was given to monoseme train --out)."
        )
    last = checkpoints[max(checkpoints)]
    steps = {name: _step_of(at, job, last.step) for name, job in last.state["jobs"].items()}
    for step in steps.values():
        if step not in checkpoints:
            there = ", ".join(str(step) for step in sorted(checkpoints))
            raise ArtifactMissingError(f"no checkpoint {at} in {folder}.\n  There are: {there}, last, best")
    return {name: _open_sae(checkpoints[step], name) for name, step in steps.items()}


def _step_of(at: int | str, job: Mapping[str, Any], last: int) -> int:
    if at == "last":
        return last
    if at == "best":
        # Without a validation every checkpoint is as good as any other; the last has learned most.
        return last if job["best"] is None else job["best"][0]
    try:
        return int(at)
    except ValueError as error:
        raise ArtifactMissingError(f'no checkpoint "{at}".\n  Allowed: last, best, or a number of steps') from error


def _open_sae(checkpoint: Checkpoint, name: str) -> SAE:
    job = checkpoint.state["jobs"][name]
    sae = build(config_from_dict(job["config"]))
    sae.load_state_dict(checkpoint.tensors(f"{name}.safetensors"))
    if job.get("mean_steps", 0):  # a checkpoint of version 1 knows of no mean
        put_mean(sae, means_in(checkpoint.tensors(f"{name}.learner.safetensors")))
    return sae.eval()
