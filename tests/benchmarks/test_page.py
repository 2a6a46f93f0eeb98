"""The page on benchmarks holds the numbers of its files and nothing else."""

from pathlib import Path

import pytest

from monoseme.benchmarks import TrainBench, bench_train, write_page
from monoseme.core.errors import ArtifactMissingError
from monoseme.core.files import write_json


def test_the_page_shows_every_contestant_with_its_numbers(tmp_path: Path) -> None:
    bench = TrainBench(
        configs=("tiny",), architectures=("topk", "relu"), kernels=("torch",), rounds=1, dead=0.3, sweep=2, memory=False
    )
    found = {"command": "monoseme bench train --configs tiny", **bench_train(bench)}
    results = tmp_path / "results" / "benchmarks"
    write_json(results / "train.json", found)
    write_page(results, tmp_path / "benchmarks.md")
    page = (tmp_path / "benchmarks.md").read_text()
    own = next(row for row in found["configs"][0]["contestants"] if row["name"] == "torch")
    assert f"| torch | {round(own['best_ms'], 1):g} |" in page
    assert f"| {found['configs'][0]['floor']['product_shape']} |" in page
    assert "| relu | tiny | torch |" in page
    assert "AuxK on every token" in page
    assert f"{found['sweep']['share_of_separate_steps']:.2f} of as many steps alone" in page
    assert "(results/benchmarks/training_steps.svg)" in page
    assert found["command"] in page
    assert (results / "training_steps.svg").read_text().startswith("<svg")
    assert (results / "training_steps.png").stat().st_size > 1000


def test_a_page_without_results_is_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissingError, match="monoseme bench train --out"):
        write_page(tmp_path, tmp_path / "page.md")
