"""Two processes that train together end where one ends alone: the same data, the same weights to rounding, the same files.

So do two that capture together, where every byte is the same.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from monoseme.tensors.processes import ALONE, Mesh
from monoseme.training import read_metrics
from monoseme.training.checkpoint import list_checkpoints

_SCRIPT = Path(__file__).parent / "_two.py"
_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def two() -> ModuleType:
    """The script of the two processes, as a module."""
    spec = importlib.util.spec_from_file_location("_two_processes", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(two: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the two left, and beside it what one process makes of the same."""
    folder = tmp_path_factory.mktemp("two")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    two.stop_at_three(folder / "stopped_alone", Mesh(), here=True)
    places = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": places}
    both = [
        subprocess.Popen([sys.executable, _SCRIPT, str(rank), folder], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        two.run(folder / "alone")
        two.capture(folder / "store")
        said = [process.communicate(timeout=120)[1] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, -signal.SIGKILL], "\n".join(said)
    two.run(folder / "stopped_together", resume=True)
    yield folder
    torch.set_num_threads(threads)


def end(folder: Path, name: str, file: str = "") -> dict[str, torch.Tensor]:
    """What the last checkpoint of a run holds of an SAE."""
    return list_checkpoints(folder / "checkpoints")[-1].tensors(f"{name}{file}.safetensors")


def latents(folder: Path) -> list[dict[str, Any]]:
    return [row for row in read_metrics(folder / "metrics.jsonl") if row.get("event") == "latents"]


# Sums of float32 in another order, through six steps of Adam whose eps keeps it from dividing rounding by rounding.
_NEAR = {"rtol": 1e-4, "atol": 1e-6}


@pytest.mark.parametrize("name", ["topk", "batchtopk", "relu", "tsae"])
@pytest.mark.parametrize("file", ["", ".optimiser", ".learner"])
def test_divided_rows_train_the_weights_of_one_process(folder: Path, name: str, file: str) -> None:
    alone, together = end(folder / "alone", name, file), end(folder / "rows", name, file)
    assert alone.keys() == together.keys()
    for key, tensor in alone.items():
        torch.testing.assert_close(together[key], tensor, **_NEAR, msg=lambda said, key=key: f"{key}: {said}")


@pytest.mark.parametrize("name", ["topk", "batchtopk"])
@pytest.mark.parametrize("file", ["", ".optimiser", ".learner"])
def test_divided_latents_train_the_weights_of_one_process(folder: Path, name: str, file: str) -> None:
    alone, together = end(folder / "alone", name, file), end(folder / "latents", name, file)
    assert alone.keys() == together.keys()
    for key, tensor in alone.items():
        torch.testing.assert_close(together[key], tensor, **_NEAR, msg=lambda said, key=key: f"{key}: {said}")


@pytest.mark.parametrize("kind", ["rows", "latents"])
def test_the_life_of_the_latents_is_that_of_one_process_exactly(folder: Path, kind: str) -> None:
    found = latents(folder / kind)
    assert found == [row for row in latents(folder / "alone") if row["sae"] in {row["sae"] for row in found}]


@pytest.mark.parametrize("kind", ["rows", "latents"])
def test_rows_of_metrics_are_of_the_whole_batch(folder: Path, kind: str) -> None:
    alone = {(row["step"], row["sae"], row.get("event")): row for row in read_metrics(folder / "alone" / "metrics.jsonl")}
    for row in read_metrics(folder / kind / "metrics.jsonl"):
        same = alone[row["step"], row["sae"], row.get("event")]
        numbers = {key for key in row if key.split("/")[0] in ("loss", "l0", "fvu", "grad_norm", "dead_fraction", "sparsity")}
        assert numbers or row.get("event") == "latents"
        assert {key: row[key] for key in numbers} == pytest.approx({key: same[key] for key in numbers}, rel=2e-3, abs=1e-5)


@pytest.mark.parametrize("kind", ["stopped_alone", "stopped_together"])
def test_another_number_of_processes_goes_on_with_the_same_data(folder: Path, kind: str) -> None:
    alone, resumed = (list_checkpoints(folder / run / "checkpoints")[-1] for run in ("alone", kind))
    assert resumed.step == alone.step == 6
    assert resumed.state["cursor"] == alone.state["cursor"]
    for key, tensor in end(folder / "alone", "topk").items():
        torch.testing.assert_close(end(folder / kind, "topk")[key], tensor, **_NEAR)


@pytest.mark.parametrize("contexts_per_forward", [2, 5])
def test_blocks_that_two_make_are_those_of_one(folder: Path, two: ModuleType, contexts_per_forward: int) -> None:
    alone = two.blocks(ALONE, contexts_per_forward=contexts_per_forward)
    each = [load_file(folder / f"blocks_{contexts_per_forward}.{rank}.safetensors") for rank in range(2)]
    for key in alone.keys() - {"n_forwards"}:
        assert all(torch.equal(found[key], alone[key]) for found in each)
    assert max(int(found["n_forwards"]) for found in each) < int(alone["n_forwards"])


def stored(folder: Path) -> dict[str, bytes]:
    """Every file; the manifest without the moment and machine it was made at."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = {key: value for key, value in json.loads(found.pop("manifest.json")).items() if key != "environment"}
    return found | {"manifest.json": json.dumps(manifest, sort_keys=True).encode()}


def test_two_capture_the_bytes_of_one(folder: Path) -> None:
    wanted = stored(folder / "store")
    assert sum(name.endswith(".text.safetensors") for name in wanted) == 4
    assert stored(folder / "store_of_two") == wanted


def test_one_ends_the_capture_of_two_of_which_one_was_killed(folder: Path, two: ModuleType) -> None:
    there = stored_records(folder / "store_killed")
    assert 0 < len(there) < 4
    two.capture(folder / "store_killed", resume=True)
    assert stored(folder / "store_killed") == stored(folder / "store")


def stored_records(folder: Path) -> list[Path]:
    """Those of the shards that are finished."""
    return sorted((folder / "shards").glob("?????.json"))
