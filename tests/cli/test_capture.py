"""`monoseme capture`: flags, the result, resuming without typing anything again."""

import json
from pathlib import Path

import pytest

from monoseme.cli._capture_options import parse_capture
from monoseme.cli.main import main
from monoseme.core.errors import ConfigError


def _parse(*words: str):
    return parse_capture(words, verb="capture", summary="")


def test_flags_come_from_the_types_and_have_short_forms() -> None:
    found = _parse(
        *("--model", "gpt2", "--corpus=books.jsonl", "--site", "resid_post.3,mlp_out.*", "--dtype", "int8", "--out", "s3://a/b"),
        *("--max_bytes", "1.5GB", "--shard_bytes=64MB", "--corpus.context_len", "64"),
    )
    config = found.config
    assert (config.model.model, config.corpus.source, config.corpus.context_len) == ("gpt2", "books.jsonl", 64)
    assert config.sites == ("resid_post.3", "mlp_out.*")
    assert (config.storage.dtype, config.storage.max_bytes, config.storage.shard_bytes) == ("int8", 1_500_000_000, 64_000_000)
    assert (found.out, found.resume) == ("s3://a/b", False)


def test_a_file_comes_before_flags(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('max_tokens = 100\n[storage]\ndtype = "int8"\n')
    found = _parse("--config", str(file), "--max_tokens", "200")
    assert (found.config.max_tokens, found.config.storage.dtype) == (200, "int8")


def test_a_size_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--storage\.max_bytes is 'manyGB'"):
        _parse("--max_bytes", "manyGB")


def test_a_store_is_told_resumed_and_not_overwritten(
    model_folder: Path, corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "store"
    words = ["--model", str(model_folder), "--corpus", str(corpus_file), "--site", "resid_post.*", "--max_tokens", "2000"]
    words += ["--corpus.context_len", "32"]
    assert main(["capture", *words, "--dtype", "int8", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    index = json.loads((out / "index.json").read_text())
    n_tokens = sum(shard["n_rows"] for shard in index["shards"])
    n_bytes = sum(p.stat().st_size for p in out.rglob("*") if p.name != "manifest.json" and p.is_file())
    assert f"stored {n_tokens:,} tokens" in said
    assert f"{n_bytes:,} bytes, {n_bytes / n_tokens:,.1f} per token" in said
    assert "resid_post.2: " in said
    assert "of the variance lost" in said
    assert f"monoseme train --activations {out}" in said

    assert main(["capture", "--out", str(out), "--resume", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["n_tokens"], result["n_bytes"]) == (n_tokens, n_bytes)
    assert 0 < result["storage_errors"]["resid_post.0"]["fvu"] < 1e-3

    assert main(["capture", *words, "--out", str(out), "--quiet"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["capture", "--out", str(out), "--resume", "--max_tokens", "1000", "--quiet"]) == 2
    assert "config.max_tokens is 1000, was 2000" in capsys.readouterr().err
