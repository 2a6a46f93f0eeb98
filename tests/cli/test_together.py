"""A command of several processes: one speaks, one message says what went wrong, and all end with the same exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monoseme.cli.main import main
from monoseme.core.errors import ConfigError
from monoseme.core.launch import Launch, launched, share_cores

_SCRIPT = Path(__file__).parent / "_pair.py"
_TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "here",
    "MASTER_PORT": "29500",
}


def test_what_torchrun_sets_is_read() -> None:
    assert launched(_TORCHRUN) == Launch(rank=3, size=8, local_rank=1, local_size=2, host="here", port=29500)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1"}])
def test_a_process_by_itself_joins_nobody(environment: dict[str, str]) -> None:
    assert launched(environment) is None


def test_a_launch_that_is_half_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="RANK, MASTER_PORT is not set"):
        launched({"WORLD_SIZE": "2", "MASTER_ADDR": "here"})


@pytest.mark.parametrize(("said", "kept"), [("3", True), (None, False), ("1", False)])
def test_cores_are_shared_unless_the_user_says(said: str | None, *, kept: bool) -> None:
    environment = {"TORCHELASTIC_RUN_ID": "x"} | ({} if said is None else {"OMP_NUM_THREADS": said})
    n_cores = len(os.sched_getaffinity(0))
    share_cores(Launch(0, 2, 0, 2, "", 0), environment)
    assert environment["OMP_NUM_THREADS"] == (said if kept else str(max(1, n_cores // 2)))


def test_other_commands_say_which_several_can_share(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (_TORCHRUN | {"RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert main(["ls"]) == 2
    assert "capture, train, run" in capsys.readouterr().err


def test_one_message_and_one_exit_code_whoever_fails(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ways = ("both", "one")
    all_of_them = [
        subprocess.Popen(
            [sys.executable, _SCRIPT, str(rank), tmp_path, how],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for how in ways
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=120) for process in all_of_them]
    finally:
        for process in all_of_them:
            process.kill()
    codes = [process.returncode for process in all_of_them]
    assert codes == [2, 2, 2, 2]
    assert [out for out, _ in said] == ["one says this\n", ""] * len(ways)
    errors = {how: said[2 * i][1] + said[2 * i + 1][1] for i, how in enumerate(ways)}
    assert errors["both"].count("told: both fail alike") == errors["both"].count("told") == 1
    assert errors["one"].count("told: the second fails") == errors["one"].count("told") == 1
