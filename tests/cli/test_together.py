"""A command of several processes: one speaks, one message says what went wrong, and all end with the same exit code."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

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
    both = [
        subprocess.Popen(
            [sys.executable, _SCRIPT, str(rank), tmp_path, "one"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=120) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [2, 2]
    assert [out for out, _ in said] == ["one says this\n", ""]
    errors = said[0][1] + said[1][1]
    assert errors.count("told: the second fails") == errors.count("told") == 1


def _free_ports(n: int) -> list[int]:
    """Held all at once, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _files(folder: Path) -> dict[str, bytes]:
    """Every file; the manifest without the moment and machine it was made at."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = {key: value for key, value in json.loads(found.pop("manifest.json")).items() if key != "environment"}
    return found | {"manifest.json": json.dumps(manifest, sort_keys=True).encode()}


@pytest.mark.slow
def test_torchrun_captures_and_trains_what_one_process_does(model_folder: Path, corpus_file: Path, tmp_path: Path) -> None:
    data = ["--model", str(model_folder), "--corpus", str(corpus_file), "--corpus.context_len", "32", "--site", "resid_post.1"]
    store = ["capture", *data, "--max_tokens", "1500", "--shard_bytes", "70kB", "--json"]
    sae = ["--sae", "batchtopk", "--sae.n_latents", "37", "--sae.k", "4", "--kernel", "torch"]
    steps = ["--train.n_steps", "4", "--train.batch_size", "64", "--train.validation_tokens", "64", "--train.start_tokens", "128"]
    learn = ["train", *sae, *steps, "--stream.validation_loss_tokens", "64", "--activations", str(tmp_path / "alone")]
    several = [
        [*store, "--out", str(tmp_path / "both")],
        [*learn, "--train.latent_shards", "2", "--out", str(tmp_path / "halves")],
        [*learn, "--train.latent_shards", "3", "--out", str(tmp_path / "thirds")],
    ]
    assert main([*store, "--out", str(tmp_path / "alone")]) == 0
    (tmp_path / "commands.json").write_text(json.dumps([*zip(_free_ports(3), several, strict=True)]))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.cli._verbs"]
    with subprocess.Popen(
        [*torchrun, str(tmp_path)], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as launcher:
        try:
            assert main([*learn, "--out", str(tmp_path / "whole")]) == 0
            out, errors = launcher.communicate(timeout=120)
        finally:
            launcher.terminate()  # ends its processes too
    assert launcher.returncode == 0, errors
    assert [json.loads((tmp_path / f"codes.{rank}.json").read_text()) for rank in range(2)] == [[0, 0, 2]] * 2, errors
    assert out.count('"n_tokens"') == 1
    assert errors.count("train.latent_shards is 3, which does not divide the number of processes, 2") == 1
    assert _files(tmp_path / "both") == _files(tmp_path / "alone")
    halves, whole = (load_file(tmp_path / run / "saes/batchtopk/sae.safetensors") for run in ("halves", "whole"))
    assert_close(halves, whole, rtol=1e-4, atol=1e-5)  # sums over latents in another order, through four steps of Adam
