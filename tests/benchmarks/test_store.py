"""`monoseme bench store` runs at a tiny size, tells what was asked for, and leaves nothing behind."""

import json
from pathlib import Path

import pytest

from monoseme.benchmarks import StoreBench
from monoseme.cli.main import main
from monoseme.core.errors import ConfigError


def test_rows_read_back_are_told_for_each_type(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sizes = ["--parts", "reader", "--rows", "17000", "--width", "7", "--rounds", "1"]
    assert main(["bench", "store", *sizes, "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "shuffled float32 rows of 7 from stores of 16,384" in told
    assert all(dtype in told for dtype in ("float32", "bfloat16", "int8"))


@pytest.mark.slow
def test_each_part_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sizes = ["--tokens", "3000", "--live_tokens", "3000", "--rows", "17000", "--width", "37", "--rounds", "1"]
    assert main(["bench", "store", *sizes, "--folder", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (capture,), reader, (live,) = found["capture"], found["reader"], found["live"]
    assert capture["sites"] == 6
    assert capture["stored_bytes"] > capture["tokens"] * capture["sites"] * capture["width"] * 2
    best = {row["name"]: row["best_ms"] for row in capture["contestants"]}
    assert capture["capture_over_bare"] == pytest.approx(best["capture"] / best["bare"], rel=0.01)
    assert [row["name"] for row in reader["contestants"]] == ["float32", "bfloat16", "int8"]
    assert reader["rows"] == 16384
    for row in reader["contestants"]:
        assert row["gb_per_s"] == pytest.approx(8192 * 37 * 4 / row["best_ms"] / 1e6, rel=0.1, abs=0.002)
    assert live["store_is_faster"] > 1
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_timed_is_refused() -> None:
    with pytest.raises(ConfigError, match="Allowed: capture, reader, live"):
        StoreBench(parts=("disk",))
    with pytest.raises(ConfigError, match="at least 1"):
        StoreBench(rows=0)
    with pytest.raises(ConfigError, match="float32, bfloat16"):
        StoreBench(dtypes=("float8",))  # type: ignore[arg-type]
