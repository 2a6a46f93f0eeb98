"""A run stopped anywhere and taken up again ends with the bits of one that never stopped."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ArtifactExistsError, Interrupted, ResumeError
from monoseme.core.files import hash_file
from monoseme.training import checkpoint as checkpoints
from monoseme.training import read_metrics

_CLOCKS = {"seconds_model", "seconds_stream", "seconds_sae", "tokens_per_second", "rss_mb"}


class Killed(Exception):
    """Stands for the end of the process."""


def weights(folder: Path, step: int) -> dict[str, str]:
    """Checksums of all tensors, optimiser included, of a checkpoint."""
    place = folder / "checkpoints" / f"step_{step:08d}"
    return {path.name: hash_file(path) for path in sorted(place.glob("*.safetensors"))}


def numbers(folder: Path) -> list[dict[str, Any]]:
    """The rows of the metrics file, without what a clock measured."""
    return [{k: v for k, v in row.items() if k not in _CLOCKS} for row in read_metrics(folder / "metrics.jsonl")]


@pytest.fixture(scope="module")
def whole(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "training"
    tiny.tiny_run(folder)
    return folder


def raise_at(step: int) -> Any:
    def on_step(done: int) -> None:
        if done == step:
            raise Killed

    return on_step


@pytest.mark.parametrize("stops", [[1], [2], [5], [3, 4, 7], [12], [2, 2, 9]])
def test_a_run_stopped_at_any_step_ends_with_the_same_bits(
    tiny: ModuleType, whole: Path, tmp_path: Path, stops: list[int]
) -> None:
    folder = tmp_path / "training"
    for step in stops:
        with pytest.raises(Killed):
            tiny.tiny_run(folder, resume=True, on_step=raise_at(step if step > _done(folder) else _done(folder) + 1))
    tiny.tiny_run(folder, resume=True)
    assert weights(folder, 13) == weights(whole, 13)
    assert numbers(folder) == numbers(whole)


def _done(folder: Path) -> int:
    found = checkpoints.list_checkpoints(folder / "checkpoints")
    return found[-1].step if found else 0


@pytest.mark.parametrize("at", ["save_tensors", "write_json", "hash_file"])
def test_a_kill_while_a_checkpoint_is_written_costs_only_that_checkpoint(
    tiny: ModuleType, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    folder = tmp_path / "training"
    real, calls = getattr(checkpoints, at), []

    def dies(*arguments: Any, **settings: Any) -> Any:
        calls.append(at)
        if len(calls) == {"save_tensors": 16, "write_json": 3, "hash_file": 15}[at]:  # within the third checkpoint
            raise Killed
        return real(*arguments, **settings)

    monkeypatch.setattr(checkpoints, at, dies)
    # A real kill runs no clean-up either.
    monkeypatch.setattr(checkpoints.shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(Killed):
        tiny.tiny_run(folder)
    monkeypatch.undo()
    assert list((folder / "checkpoints").glob(".*.draft"))
    assert [found.step for found in checkpoints.list_checkpoints(folder / "checkpoints")][-1] == 4
    tiny.tiny_run(folder, resume=True)
    assert not list((folder / "checkpoints").glob(".*.draft"))
    assert weights(folder, 13) == weights(whole, 13)


@pytest.mark.parametrize("n_kills", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_sigkills_at_random_moments_leave_the_same_bits(tiny: ModuleType, tmp_path: Path, n_kills: int) -> None:
    n_steps, killed = 60, tmp_path / "killed"
    tiny.tiny_run(tmp_path / "whole", n_steps=n_steps, checkpoint_every=1)
    moments, n_killed = random.Random(2026), 0
    for _ in range(n_kills):
        process = subprocess.Popen([sys.executable, tiny.__file__, str(killed), str(n_steps)])
        before = _done(killed)
        while _done(killed) < before + 3 and process.poll() is None:  # it is at work: from here, any moment
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        n_killed += process.wait() == -signal.SIGKILL
    assert n_killed == n_kills
    assert _done(killed) < n_steps
    tiny.tiny_run(killed, n_steps=n_steps, checkpoint_every=1, resume=True)
    assert weights(killed, n_steps) == weights(tmp_path / "whole", n_steps)
    assert numbers(killed) == numbers(tmp_path / "whole")


def test_ctrl_c_finishes_the_step_saves_it_and_says_how_to_go_on(tiny: ModuleType, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "training"

    def on_step(done: int) -> None:
        if done == 4:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="after step 5 of 13") as caught:
        tiny.tiny_run(folder, on_step=on_step)
    assert caught.value.exit_code == 130
    assert "Go on with:" in str(caught.value)
    assert _done(folder) == 5
    tiny.tiny_run(folder, resume=True)
    assert weights(folder, 13) == weights(whole, 13)
    assert numbers(folder) == numbers(whole)


def test_a_finished_run_is_returned_as_it_is(tiny: ModuleType, tmp_path: Path) -> None:
    first = tiny.tiny_run(tmp_path)
    before = weights(tmp_path, 13), numbers(tmp_path)
    again = tiny.tiny_run(tmp_path, resume=True)
    assert (weights(tmp_path, 13), numbers(tmp_path)) == before
    assert again.best == first.best
    assert again.checkpoint == first.checkpoint
    for name, sae in again.saes.items():
        assert all(
            torch.equal(a, b) for a, b in zip(sae.state_dict().values(), first.saes[name].state_dict().values(), strict=True)
        )


def test_a_folder_with_a_run_is_refused_without_resume(tiny: ModuleType, tmp_path: Path) -> None:
    tiny.tiny_run(tmp_path)
    with pytest.raises(ArtifactExistsError, match="--resume"):
        tiny.tiny_run(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.5}, "train.lr was 0.008, is 0.5"),
        ({"names": ("one", "three")}, "one, two, not one, three"),
        ({"n_steps": 14}, "train.n_steps was 13, is 14"),
    ],
)
def test_a_resume_with_other_settings_is_refused_by_name(
    tiny: ModuleType, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    tiny.tiny_run(tmp_path)
    with pytest.raises(ResumeError, match=message):
        tiny.tiny_run(tmp_path, resume=True, **settings)


def test_a_resume_may_change_how_many_checkpoints_are_kept(tiny: ModuleType, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "training"
    with pytest.raises(Killed):
        tiny.tiny_run(folder, on_step=raise_at(6))
    tiny.tiny_run(folder, resume=True, keep=5, checkpoint_every=1)
    assert weights(folder, 13) == weights(whole, 13)


def test_a_resume_takes_up_the_number_of_threads_and_gives_it_back(tiny: ModuleType, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    other = before + 1
    torch.set_num_threads(other)
    seen: list[int] = []
    try:
        with pytest.raises(Killed):
            tiny.tiny_run(tmp_path, on_step=raise_at(2))
    finally:
        torch.set_num_threads(before)
    tiny.tiny_run(tmp_path, resume=True, on_step=lambda _: seen.append(torch.get_num_threads()))
    assert set(seen) == {other}
    assert torch.get_num_threads() == before


def test_another_torch_is_warned_of(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        tiny.tiny_run(tmp_path, on_step=raise_at(2))
    state_path = tmp_path / "checkpoints" / "step_00000002" / "state.json"
    state = json.loads(state_path.read_text())
    state["numerics"]["torch"] = "1.0"
    state_path.write_text(json.dumps(state))
    with pytest.warns(UserWarning, match="torch was 1.0"):
        tiny.tiny_run(tmp_path, resume=True)


def test_a_checkpoint_older_than_a_setting_is_of_what_was_done_then(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        tiny.tiny_run(tmp_path, names=("one",), on_step=raise_at(2))
    state_path = tmp_path / "checkpoints" / "step_00000002" / "state.json"
    state = json.loads(state_path.read_text())
    del state["jobs"]["one"]["config"]["auxk_one_in"]
    state_path.write_text(json.dumps(state))
    with pytest.raises(ResumeError, match=r"one\.auxk_one_in was 1, is 4"):
        tiny.tiny_run(tmp_path, names=("one",), resume=True)


def test_a_checkpoint_of_another_rule_under_the_same_settings_is_refused(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        tiny.tiny_run(tmp_path, names=("one",), on_step=raise_at(2))
    state_path = tmp_path / "checkpoints" / "step_00000002" / "state.json"
    state = json.loads(state_path.read_text())
    assert state["jobs"]["one"].pop("rules") == {"auxk_rows": "worst"}
    state_path.write_text(json.dumps(state))
    with pytest.raises(ResumeError, match=r"one\.auxk_rows was 'by turns', is 'worst'"):
        tiny.tiny_run(tmp_path, names=("one",), resume=True)


def test_a_damaged_checkpoint_is_passed_over(tiny: ModuleType, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "training"
    with pytest.raises(Killed):
        tiny.tiny_run(folder, on_step=raise_at(9))
    damaged = folder / "checkpoints" / "step_00000008" / "one.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    with pytest.warns(UserWarning, match="altered"):
        tiny.tiny_run(folder, resume=True)
    assert weights(folder, 13) == weights(whole, 13)
    assert numbers(folder) == numbers(whole)


def test_metrics_cut_short_by_hand_are_no_resume(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        tiny.tiny_run(tmp_path, on_step=raise_at(9))
    (tmp_path / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(ResumeError, match=r"metrics\.jsonl"):
        tiny.tiny_run(tmp_path, resume=True)


def test_tensors_of_the_reference_run_differ_between_steps(whole: Path) -> None:
    """The comparisons above would mean nothing if training moved nothing."""
    found = checkpoints.list_checkpoints(whole / "checkpoints")
    first, last = (c.tensors("one.safetensors") for c in found[-2:])
    assert _differs(first, last)


def _differs(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in one)
