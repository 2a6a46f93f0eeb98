"""The capture stage: a config and a text become an artifact, and the same one after an interruption."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from monoseme.activations.live import LiveSource
from monoseme.activations.store.config import StorageConfig
from monoseme.core.artifact import check_artifact, open_artifact
from monoseme.core.config import to_dict
from monoseme.core.errors import ArtifactExistsError, ConfigError, Interrupted, ResumeError, SiteError
from monoseme.models import LanguageModel, ModelConfig
from monoseme.pipeline import CaptureConfig, capture_run, captured_config
from monoseme.text import CorpusConfig, TokenStore


def _config(model: Path, corpus: Path, **options: Any) -> CaptureConfig:
    return CaptureConfig(
        **{
            "model": ModelConfig(model=str(model)),
            "corpus": CorpusConfig(source=str(corpus), context_len=32),
            "sites": ("resid_post.*", "mlp_out.1"),
            "contexts_per_block": 8,
            "max_tokens": 3000,
            "storage": StorageConfig(shard_bytes=150_000),
        }
        | options
    )


def _content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    found["manifest.json"] = {k: v for k, v in json.loads(found["manifest.json"]).items() if k != "environment"}
    return found


@pytest.fixture(scope="module")
def store(model_folder: Path, corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stores") / "a"
    capture_run(_config(model_folder, corpus_file), out)
    return out


def test_a_capture_is_an_artifact_of_its_whole_config(store: Path, model_folder: Path, corpus_file: Path) -> None:
    artifact = open_artifact(store, kind="activations")
    assert check_artifact(store) == []
    sites = ("resid_post.0", "resid_post.1", "resid_post.2", "mlp_out.1")
    assert artifact.config == to_dict(_config(model_folder, corpus_file, sites=sites))
    model = LanguageModel.load(ModelConfig(model=str(model_folder)))
    text = TokenStore.build(CorpusConfig(source=str(corpus_file), context_len=32), model.tokenizer, max_tokens=3000)
    assert artifact.inputs == {"model": model.content_hash(), "text": text.content_hash}
    index = json.loads((store / "index.json").read_text())
    assert index["sites"] == list(sites)
    assert len(index["shards"]) > 2
    assert sum(shard["n_contexts"] for shard in index["shards"]) == sum(len(text.contexts(s)) for s in ("train", "heldout"))
    assert 0 < sum(shard["n_heldout"] for shard in index["shards"]) == len(text.contexts("heldout"))


def test_interrupted_and_resumed_from_what_the_folder_says_it_is_the_same(
    store: Path, model_folder: Path, corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, run, n = tmp_path / "b", LiveSource.run, 0

    def interrupted(self: LiveSource, *args: Any, **options: Any) -> Any:
        nonlocal n
        n += 1
        if n == 7:
            signal.raise_signal(signal.SIGTERM)
        return run(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LiveSource, "run", interrupted)
        with pytest.raises(Interrupted, match=r"Go on with:  monoseme capture --out \S+b --resume") as stopped:
            capture_run(_config(model_folder, corpus_file), out)
    assert stopped.value.exit_code == 130
    with pytest.raises(ArtifactExistsError, match="not finished"):
        capture_run(_config(model_folder, corpus_file), out)
    with pytest.raises(ResumeError, match=r"config\.max_tokens is 2000, was 3000"):
        capture_run(_config(model_folder, corpus_file, max_tokens=2000), out, resume=True)
    kept = captured_config(out)
    assert kept is not None
    capture_run(kept, out, resume=True)
    assert _content(out) == _content(store)
    assert captured_config(out) == kept


def test_without_a_site_it_is_the_middle_layer(model_folder: Path, corpus_file: Path, tmp_path: Path) -> None:
    capture_run(_config(model_folder, corpus_file, sites=None, drop_sinks=False), tmp_path / "a")
    index = json.loads((tmp_path / "a/index.json").read_text())
    assert (index["sites"], index["sink_factor"]) == (["resid_post.1"], None)


def test_what_cannot_be_captured_is_refused_before_a_folder_is_made(
    model_folder: Path, corpus_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(SiteError, match="it has 3 blocks"):
        capture_run(_config(model_folder, corpus_file, sites=("resid_post.7",)), tmp_path / "a")
    with pytest.raises(SiteError):
        _config(model_folder, corpus_file, sites=("resid_past.7",))
    with pytest.raises(ConfigError, match="max_tokens must be at least 1"):
        _config(model_folder, corpus_file, max_tokens=0)
    assert not (tmp_path / "a").exists()
    assert captured_config(tmp_path / "a") is None
