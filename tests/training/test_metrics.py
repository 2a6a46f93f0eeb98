"""The metrics file: whole rows, cut back on resume, no number that JSON does not have."""

from pathlib import Path

import pytest
import torch

from monoseme.core.errors import ResumeError
from monoseme.kernels import Screened
from monoseme.training.metrics import MetricsFile, Window, read_metrics


def write(path: Path, *rows: dict, keep_bytes: int = 0) -> int:
    file = MetricsFile(path, keep_bytes=keep_bytes)
    for row in rows:
        file.write(row)
    length = file.sync()
    file.close()
    return length


def test_rows_come_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "metrics.jsonl"
    write(path, {"step": 1, "loss": 0.1}, {"step": 2, "sae": "é"})
    assert read_metrics(path) == [{"step": 1, "loss": 0.1}, {"step": 2, "sae": "é"}]


def test_rows_after_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    length = write(path, {"step": 1})
    write(path, {"step": 2}, keep_bytes=length)
    write(path, {"step": 20}, keep_bytes=length)
    assert [row["step"] for row in read_metrics(path)] == [1, 20]


def test_a_row_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, {"step": 1})
    path.write_bytes(path.read_bytes() + b'{"step": 2, "lo')
    assert [row["step"] for row in read_metrics(path)] == [1]


def test_numbers_that_json_lacks_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, {"fvu": float("nan"), "loss": float("inf")})
    assert read_metrics(path) == [{"fvu": None, "loss": None}]


def test_a_file_shorter_than_the_checkpoint_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="rows were lost"):
        MetricsFile(tmp_path / "metrics.jsonl", keep_bytes=5)


def test_recomputed_rows_are_a_share_of_all_that_were_screened_in_the_window() -> None:
    window = Window()
    assert "screen/recomputed_fraction" not in window.row()
    window.add_screens(Screened(n_rows=30, n_uncertified=3))
    window.add_screens(Screened(n_rows=10, n_uncertified=0))
    resumed = Window.from_state(window.state(), device=torch.device("cpu"))
    resumed.add_screens(Screened(n_rows=10, n_uncertified=2))
    assert resumed.row()["screen/recomputed_fraction"] == 5 / 50
    resumed.clear()
    assert "screen/recomputed_fraction" not in resumed.row()


def test_a_window_of_an_older_checkpoint_knows_of_no_screens() -> None:
    state = Window().state()
    del state["screens"]
    assert "screen/recomputed_fraction" not in Window.from_state(state, device=torch.device("cpu")).row()
