"""SAEs of every view learn from one store, without the model, to the same bits however often they are stopped."""

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
import torch

from monoseme.activations import StoredActivations
from monoseme.activations.store.config import StorageConfig
from monoseme.cli._run_options import known_config, parse_run
from monoseme.core.artifact import open_artifact
from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.errors import ConfigError, Interrupted, ResumeError, SiteError
from monoseme.models import LanguageModel, ModelConfig
from monoseme.pipeline import (
    BesideConfig,
    CaptureConfig,
    Materials,
    RunConfig,
    StreamConfig,
    capture_run,
    evaluate_run,
    from_stores,
    run_all,
    train_run,
)
from monoseme.saes import SAE, load_sae
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.saes.tsae import TSAE
from monoseme.text import CorpusConfig
from monoseme.training import TrainConfig, read_metrics
from monoseme.training.run import Run
from tests.pipeline.conftest import tiny_config

SITES = ("resid_post.0", "resid_post.1")


@pytest.fixture(scope="module")
def store(model_folder: Path, corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("stores") / "tiny"
    config = CaptureConfig(
        model=ModelConfig(model=str(model_folder)),
        corpus=CorpusConfig(source=str(corpus_file), context_len=32, label_fields=("domain",)),
        sites=SITES,
        contexts_per_block=8,
        max_tokens=12_000,
        storage=StorageConfig(dtype="float32", shard_bytes=1 << 17),
    )
    capture_run(config, where)
    assert len(StoredActivations.open(where).index.shards) > 3
    return where


def _config(*stores: Path, saes: tuple[SAE.Config, ...] = (TopK.Config(n_latents=37, k=5),), n_steps: int = 6) -> RunConfig:
    base = tiny_config(Path("unused"), Path("unused"), n_steps=n_steps)
    settings = from_stores(base.settings, [str(store) for store in stores])
    return RunConfig.of(dataclasses.replace(settings, sites=None), saes)


def _no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: ModelConfig) -> LanguageModel:
        raise AssertionError(f"{config.model} was loaded")

    monkeypatch.setattr(LanguageModel, "load", refuse)


def test_all_views_learn_from_one_store_without_the_model(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saes: tuple[SAE.Config, ...] = (
        TopK.Config(n_latents=37, k=5),
        TSAE.Config(n_latents=40, k=4),
        MLSAE.Config(n_latents=40, k=4),
        TFA.Config(n_latents=40, k=4),
        Crosscoder.Config(n_latents=40, k=4),
    )
    _no_model(monkeypatch)
    run = train_run(_config(store, saes=saes), tmp_path / "run")
    names = run.sae_names()
    assert {name.split(".")[0] for name in names} == {"topk", "tsae", "mlsae", "tfa", "crosscoder"}
    assert [name for name in names if name.startswith("topk")] == ["topk.resid_post_0", "topk.resid_post_1"]
    assert open_artifact(run.sae("mlsae")).inputs == {"activations": StoredActivations.open(store).content_hash}
    rows = read_metrics(run.training / "metrics.jsonl")
    validations = [row for row in rows if row.get("event") == "validation"]
    assert {row["sae"] for row in validations} == set(names)
    assert all("ce_recovered" not in row for row in validations)


def test_stopped_and_resumed_it_ends_with_the_same_bits(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = _config(store, saes=(TopK.Config(n_latents=37, k=5), TSAE.Config(n_latents=40, k=4)))
    train = dataclasses.replace(base.train, n_steps=40, batch_size=512, checkpoint_every=5)  # past the end of the store
    config = dataclasses.replace(base, sites=SITES[:1], train=train)
    whole = train_run(config, tmp_path / "whole")
    done, original = 0, Run.step

    def step(self: Run) -> None:
        nonlocal done
        done += 1
        if done in (8, 29):
            raise Interrupted("stopped")
        original(self)

    monkeypatch.setattr(Run, "step", step)
    for resume in (False, True):
        with pytest.raises(Interrupted):
            train_run(config, tmp_path / "stopped", resume=resume)
    run = train_run(config, tmp_path / "stopped", resume=True)
    assert done > 40
    for name in whole.sae_names():
        one, two = load_sae(whole.sae(name)).state_dict(), load_sae(run.sae(name)).state_dict()
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_later_stages_take_the_stores_model_and_sink_thresholds(store: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(_config(store), sites=("resid_post.1",))
    run = run_all(config, tmp_path / "run")
    materials = Materials(config)
    thresholds = StoredActivations.open(store).index.sink_thresholds
    live = materials.live_sources["model"]
    assert live.sink_thresholds == {"resid_post.1": thresholds["resid_post.1"]}
    again = evaluate_run(run, ["fidelity"], overwrite=True)
    assert again["topk"]["fidelity"]["ce_spliced"].value is not None


def test_several_stores_are_mixed(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    config = _config(store, copy)
    config = dataclasses.replace(config, stream=dataclasses.replace(config.stream, weights=(3.0, 1.0)))
    _no_model(monkeypatch)
    materials = Materials(config)
    assert materials.training.spec["weights"] == [0.75, 0.25]
    run = train_run(config, tmp_path / "run", materials=materials)
    assert sorted(open_artifact(run.sae(run.sae_names()[0])).inputs) == ["activations_0", "activations_1"]


def test_what_contradicts_the_store_is_refused(store: Path, tmp_path: Path) -> None:
    config = _config(store)
    with pytest.raises(ConfigError, match=r"captured with model\.model '.*', but 'gpt2' is asked for"):
        train_run(dataclasses.replace(config, model=ModelConfig(model="gpt2")), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"captured with corpus\.context_len 32, but 64"):
        train_run(dataclasses.replace(config, corpus=dataclasses.replace(config.corpus, context_len=64)), tmp_path / "run")
    with pytest.raises(SiteError, match=r"holds no mlp_out\.0.*(?s:.*)resid_post\.0, resid_post\.1"):
        train_run(dataclasses.replace(config, sites=("mlp_out.0",)), tmp_path / "run")
    with pytest.raises(ConfigError, match="leave out beside"):
        train_run(dataclasses.replace(config, beside=BesideConfig(model="gpt2")), tmp_path / "run")
    for max_tokens in (3000, None):
        stream = dataclasses.replace(config.stream, max_tokens=max_tokens)
        with pytest.raises(ConfigError, match=rf"max_tokens is {max_tokens}; .* captured with 12000\.(?s:.*)--train\.n_tokens"):
            train_run(dataclasses.replace(config, stream=stream), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"captured with 12000\. It bounds"):
        stream = dataclasses.replace(config.stream, activations=(str(store), str(store)), max_tokens=3000)
        train_run(dataclasses.replace(config, stream=stream), tmp_path / "run")
    for settings in ({"weights": (1.0,)}, {"activations": ("a", "b"), "weights": (1.0,)}, {"prefetch_blocks": 2}):
        with pytest.raises(ConfigError):
            StreamConfig(**settings)
    assert not (tmp_path / "run").exists()


class _Heard(SilentDisplay):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_how_often_a_store_is_gone_through_is_said_before_training(store: Path, tmp_path: Path) -> None:
    opened = StoredActivations.open(store)
    n_tokens = sum(int(block.mask.sum()) for block in opened.source("train").blocks())
    config, heard = _config(store), _Heard()
    with use_display(heard):
        train_run(config, tmp_path / "run")
    found = re.fullmatch(r"6 steps of 96 tokens = ([\d.]+) epochs of (.*) \(about ([\d,]+) tokens\)", heard.lines[0])
    assert found is not None, heard.lines
    assert found[2] == str(store)
    assert float(found[1]) == pytest.approx(6 * 96 / n_tokens, rel=0.1)
    assert int(found[3].replace(",", "")) == pytest.approx(n_tokens, rel=0.05)


def test_of_several_stores_each_is_told_by_its_share(store: Path, tmp_path: Path) -> None:
    config = _config(store, store)
    stream = dataclasses.replace(config.stream, weights=(3.0, 1.0))
    config = dataclasses.replace(config, stream=stream, train=dataclasses.replace(config.train, n_steps=60_000, batch_size=100))
    stores = Materials(config).stores
    assert stores is not None
    line = stores.epochs_line(config, StoredActivations.open(store).sites)
    often = [float(number.replace(",", "")) for number in re.findall(r"([\d,.]+) epochs of", line)]
    n_tokens = sum(int(block.mask.sum()) for block in StoredActivations.open(store).source("train").blocks())
    assert often == pytest.approx([0.75 * 6_000_000 / n_tokens, 0.25 * 6_000_000 / n_tokens], rel=0.05)


def test_a_run_does_not_go_on_with_another_store(store: Path, tmp_path: Path, model_folder: Path, corpus_file: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store, copy)
    config = _config(copy)
    run = train_run(config, tmp_path / "run")
    shutil.rmtree(copy)
    told = StoredActivations.open(store).config
    corpus = CorpusConfig(source=str(corpus_file), context_len=32, label_fields=("domain",))
    again = CaptureConfig(
        model=ModelConfig(**told["model"]),
        corpus=corpus,
        sites=SITES,
        contexts_per_block=8,
        max_tokens=12_000,
        storage=StorageConfig(dtype="float16"),
    )
    capture_run(again, copy)
    with pytest.raises(ResumeError, match="began with other activations"):
        train_run(config, run.path, resume=True)


def test_the_command_line_takes_model_text_and_sites_from_the_store(store: Path, tmp_path: Path) -> None:
    words = ["--activations", str(store), "--sae", "topk", "--site", "resid_post.*"]
    default = known_config(words, tmp_path / "run")
    config = parse_run(words, verb="train", summary="", default=default, out=tmp_path / "run").config
    told = StoredActivations.open(store).config
    assert config.model.model == told["model"]["model"]
    assert config.corpus.context_len == 32
    assert config.stream == dataclasses.replace(
        StreamConfig(), activations=(str(store),), contexts_per_block=64, max_tokens=12_000, validation_loss_tokens=None
    )
    assert Materials(config).sites == StoredActivations.open(store).sites
    more = [*words[2:], f"--activations={store},{store}", "--stream.weights", "2,1", "--stream.validation_loss_tokens", "64"]
    found = parse_run(more, verb="run", summary="", default=known_config(more, tmp_path), out=tmp_path).config
    assert (found.stream.activations, found.stream.weights) == ((str(store), str(store)), (2.0, 1.0))
    assert found.stream.validation_loss_tokens == 64


def test_the_window_is_wider_over_a_store_and_kept_with_the_run() -> None:
    assert (TrainConfig().window(any_order=False), TrainConfig().window(any_order=True)) == (8, 64)
    assert TrainConfig(shuffle_window=4).window(any_order=True) == 4
