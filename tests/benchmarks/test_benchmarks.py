"""Each benchmark runs at a tiny size, says what the issue asks for, and refuses what it cannot do."""

import json
from pathlib import Path
from typing import Any

import pytest

from monoseme.benchmarks import BENCHMARKS, CaptureBench, E2EBench, TrainBench, bench_train
from monoseme.benchmarks._memory import peak_memory_mb
from monoseme.benchmarks._own import Task
from monoseme.benchmarks._sizes import sizes_named
from monoseme.cli.main import main
from monoseme.core.errors import ConfigError

ASKED_FOR = {
    "config",
    "d_model",
    "n_latents",
    "k",
    "batch",
    "activations_per_s",
    "ratio_to_dense",
    "share_of_floor",
    "peak_rss_mb",
    "kernel",
}


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["bench", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_train_tells_what_was_asked_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["--configs", "tiny", "--kernels", "torch,reference", "--rounds", "1", "--no-memory", "--dead", "0.3", "--clip"]
    found = _json(capsys, "train", *words, "--architectures", "topk,relu", "--out", str(tmp_path / "a.json"))
    assert json.loads((tmp_path / "a.json").read_text()) == found
    assert [entry["architecture"] for entry in found["configs"]] == ["topk", "relu"]
    for entry in found["configs"]:
        assert set(entry) >= ASKED_FOR
        assert (entry["config"], entry["d_model"], entry["n_latents"], entry["k"], entry["batch"]) == ("tiny", 48, 208, 5, 96)
        assert entry["kernel"] == "torch"
        dense, own = entry["contestants"][:2]
        assert (dense["name"], own["name"]) == ("dense", "torch")
        assert entry["ratio_to_dense"] == pytest.approx(dense["best_ms"] / own["best_ms"], abs=0.01)
    names = {row["name"] for row in found["configs"][0]["contestants"]}
    assert {
        "reference",
        "torch, clipped at 1",
        "torch, always clipped",
        "torch, 30% dead",
        "torch, 30% dead, AuxK on every token",
    } <= names
    assert not [row for row in found["configs"][1]["contestants"] if "dead" in row["name"]]  # ReLU has no AuxK
    assert found["machine"]["threads"] >= 1


@pytest.mark.parametrize("architecture", ["relu", "jumprelu"])
def test_latents_that_are_on_are_counted_where_no_k_sets_them(architecture: str) -> None:
    bench = TrainBench(configs=("tiny",), architectures=(architecture,), kernels=("torch",), rounds=1, memory=False)
    (entry,) = bench_train(bench)["configs"]
    for row in entry["contestants"]:
        assert row["l0_start"] == pytest.approx(208 / 8, rel=0.1)  # the cut is set on the first vectors, the count of the last
        assert row["l0_end"] > 0
        assert (row["in_window_start"] is None) == (architecture == "relu")
        assert row["in_window_start"] is None or row["in_window_start"] > 10  # a window about the cut, where most latents are


@pytest.mark.parametrize("architecture", ["batchtopk", "jumprelu", "matryoshka", "tsae", "mlsae"])
def test_every_architecture_can_be_timed(architecture: str) -> None:
    bench = TrainBench(configs=("tiny",), architectures=(architecture,), kernels=("torch",), rounds=1, steps=1, memory=False)
    (entry,) = bench_train(bench)["configs"]
    assert entry["activations_per_s"] > 0


@pytest.mark.slow
def test_capture_and_whole_runs_tell_their_speed_and_error(capsys: pytest.CaptureFixture[str]) -> None:
    captured = _json(capsys, "capture", "--tokens", "2048", "--rounds", "1", "--threads", "1")
    exact, half = captured["configs"]
    assert (exact["dtype"], half["dtype"]) == ("float32", "bfloat16")
    assert exact["relative_error"] < 1e-5 < half["relative_error"] < 0.05
    assert exact["ratio_to_best_bare"] > 0
    (run,) = _json(capsys, "e2e", "--tokens", "20000", "--sweep", "2", "--threads", "1")["configs"]
    assert run["tokens"] == 9 * 2048
    assert [row["name"] for row in run["contestants"]] == ["monoseme (float32)", "monoseme (bfloat16)"]
    assert run["contestants"][0]["parts"]["model"] > 0
    assert run["sweep"]["share_of_separate_runs"] > 0


@pytest.mark.slow
def test_memory_is_what_a_process_of_its_own_adds() -> None:
    small = Task(sizes=sizes_named("tiny"), kernel="torch")
    large = Task(sizes=sizes_named("tiny")._replace(n_latents=20_000), kernel="torch")
    found = [peak_memory_mb(task, dense=True, threads=1) for task in (small, large)]
    if None in found:
        pytest.skip("this system does not tell a process's peak memory")
    assert found[0] is not None
    assert found[1] is not None
    weights = 4 * 2 * 48 * 20_000 * 4e-6  # two matrices with gradients and two moments each, float32
    assert found[1] - found[0] > weights


@pytest.mark.parametrize("name", BENCHMARKS)
def test_numbers_become_a_table(name: str) -> None:
    assert BENCHMARKS[name].summary.endswith(".")


@pytest.mark.parametrize(
    "make",
    [
        lambda: TrainBench(architectures=("topkk",)),
        lambda: TrainBench(rounds=0),
        lambda: TrainBench(configs=()),
        lambda: TrainBench(dead=1.0),
        lambda: TrainBench(dead=0.3, architectures=("relu",)),
        lambda: TrainBench(peers=True, architectures=("relu",)),
        lambda: CaptureBench(tokens=1),
        lambda: E2EBench(tokens=100),
        lambda: E2EBench(sweep=1),
    ],
)
def test_settings_out_of_range_are_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("words", [["trian"], ["--rounds", "3"], ["train", "--configs", "C"], ["train", "--kernels", "cuda"]])
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    assert "Allowed" in capsys.readouterr().err


def test_a_place_for_numbers_that_cannot_be_written_is_refused_before_the_time_is_spent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out, said in ((tmp_path, "bench.json"), (tmp_path / "file" / "a.json", "may write")):
        assert main(["bench", "train", "--out", str(out)]) == 2
        assert said in capsys.readouterr().err


def test_kernels_of_the_command_are_those_that_auto_means(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--configs", "tiny", "--kernels", "auto", "--rounds", "1", "--no-memory", "--kernel", "reference"]
    (entry,) = _json(capsys, "train", *words)["configs"]
    assert entry["kernel"] == "reference"
