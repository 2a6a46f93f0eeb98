"""What a training run writes and holds, from its sizes: against files really written, and against hand-worked sums."""

import dataclasses
from pathlib import Path

import pytest

from monoseme.core.errors import ConfigError
from monoseme.kernels import choose_kernels
from monoseme.pipeline import RunConfig, RunFolder, train_run
from monoseme.planning.disk import artifact_bytes, checkpoint_files, n_checkpoints_kept, training_disk
from monoseme.planning.memory import ending_bytes, training_memory
from monoseme.planning.outline import RunOutline, weight_bytes
from monoseme.planning.parts import HOST
from monoseme.planning.work import model_work, sae_work
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.relu import ReLU
from monoseme.saes.topk import TopK
from monoseme.training import TrainConfig


@pytest.fixture
def mixed(config: RunConfig) -> RunConfig:
    """Three kinds of files: of a plain export, of thresholds, and with a mean of the weights."""
    train = dataclasses.replace(config.train, ema_decay=0.9, checkpoint_at=(), keep=1)
    saes = (TopK.Config(n_latents=37, k=5), BatchTopK.Config(n_latents=41, k=5), ReLU.Config(n_latents=31))
    return RunConfig.of(dataclasses.replace(config.settings, train=train), saes)


def test_the_run_writes_what_was_planned(mixed: RunConfig, tmp_path: Path) -> None:
    outline = RunOutline(mixed)
    with choose_kernels("torch"):  # compiled ones write the same, and take long to compile
        run: RunFolder = train_run(mixed, tmp_path / "run")
    last = sorted((run.training / "checkpoints").glob("step_*"))[-1]
    planned = {file: size for job in outline.jobs for file, size in checkpoint_files(job, mixed.train).items()}
    assert planned == {file.name: file.stat().st_size for file in last.glob("*.safetensors")}
    assert artifact_bytes(outline) == sum((run.sae(name) / "sae.safetensors").stat().st_size for name in run.sae_names())
    written = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())
    most = training_disk(outline)[-1]
    assert most.name == "disk at most"
    assert written <= (most.value or 0)


@pytest.mark.parametrize(
    ("train", "validated", "kept"),
    [
        (TrainConfig(n_steps=100, checkpoint_at=(), validate_every=1000), False, 1),
        (TrainConfig(n_steps=100, checkpoint_at=(0.1, 0.5), keep=2, validate_every=1000), False, 2),
        (TrainConfig(n_steps=100, checkpoint_at=(0.1, 0.5), keep=2, validate_every=10), True, 5),
    ],
)
def test_checkpoints_on_disk_are_counted_at_most(train: TrainConfig, validated: bool, kept: int) -> None:
    assert n_checkpoints_kept(train, n_jobs=3, validated=validated) == kept


def test_parts_of_the_memory_are_the_hand_worked_sums(config: RunConfig) -> None:
    outline = RunOutline(config)
    d, f = outline.models["model"].spec.d_model, 37
    memory = training_memory(outline, imports_bytes=1000.0, text_bytes=500.0)[HOST]
    parameters = 4 * (2 * d * f + f + d)
    parts = {part.name: part.value for part in memory.parts}
    assert parts["imports"] == 1000
    assert parts["text"] == 500
    assert parts["model weights"] == weight_bytes(outline.models["model"])
    # nine blocks of 8 contexts of 32 positions: float32 vectors and 37 bytes of text
    assert parts["blocks of the stream"] == 9 * 8 * 32 * (4 * d + 37)
    assert parts["batches"] == 2 * 96 * d * 4
    # 200 tokens in batches of 96: three of them
    assert parts["validation batches"] == 3 * 96 * d * 4
    passing = memory.passing
    assert passing is not None
    assert passing.value is not None
    assert memory.peak.value == sum(value or 0 for value in parts.values()) + passing.value
    # moments count only if what passes later is more than the sample before the first step
    assert parts.get("moments", 2 * parameters) == 2 * parameters


def test_more_latents_need_more_memory_in_proportion(config: RunConfig) -> None:
    def need(f: int) -> float:
        wide = RunConfig.of(config.settings, (TopK.Config(n_latents=f, k=5),))
        return training_memory(RunOutline(wide), imports_bytes=0.0, text_bytes=0.0)[HOST].peak.value or 0.0

    # 25 MB of kernels and some of text do not grow
    assert (need(4 << 20) - need(2 << 20)) / (need(2 << 20) - need(1 << 20)) == pytest.approx(2.0, rel=0.01)


def test_shards_divide_what_latents_take(config: RunConfig) -> None:
    wide = RunConfig.of(config.settings, (TopK.Config(n_latents=1 << 20, k=5),))
    whole, half = (training_memory(RunOutline(wide), imports_bytes=0.0, text_bytes=0.0, shards=n)[HOST] for n in (1, 2))
    moments = (whole.part("moments"), half.part("moments"))
    assert moments[0] is not None
    assert moments[1] is not None
    assert (moments[1].value or 0) == pytest.approx((moments[0].value or 0) / 2, rel=0.05)


def test_saving_copies_the_largest_sae(config: RunConfig) -> None:
    job = RunOutline(config).jobs[0]
    encoder = job.sizes.parameters["W_enc"].n_bytes
    assert ending_bytes([job]) == 2 * job.sizes.weight_bytes + encoder


def test_work_is_the_hand_worked_formula(config: RunConfig) -> None:
    outline = RunOutline(config)
    model, job = outline.models["model"], outline.jobs[0]
    names = [name for name in model.parameter_shapes if name.startswith(model.block_names[0])]
    matrices = sum(shape[0] * shape[1] for name in names if len(shape := model.parameter_shapes[name][1]) == 2)
    attention = 4 * 32 * model.spec.n_heads * model.spec.d_head
    assert model_work(model, job.sites, context_len=32).to_deepest_site == 2 * matrices + attention
    d = model.spec.d_model
    work = sae_work(job.kind, job.sizes.config, job.sizes.parameters, n_sites=1)
    assert work.value == 2 * d * 37 + 8 * 5 * d
    dense = sae_work(ReLU, ReLU.Config(n_latents=37), job.sizes.parameters, n_sites=1)
    assert dense.value == 12 * d * 37
    assert dense.found == "estimated"


def test_a_run_without_saes_is_refused(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match="at least one SAE"):
        RunOutline(RunConfig.of(config.settings, ()))
