"""A whole run: what it writes, keeps, shows and refuses."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError, DiskFullError, NonFiniteLossError
from monoseme.saes import Knobs, Losses, build, config_from_dict, load_sae, save_sae
from monoseme.testing.sources import random_source
from monoseme.training import Callbacks, Job, open_checkpoint, read_metrics, train, train_on
from monoseme.training import checkpoint as checkpoints
from monoseme.training.config import ObjectiveConfig
from monoseme.training.feed import Rows


def rows(folder: Path, *, validation: bool = False) -> list[dict[str, Any]]:
    found = read_metrics(folder / "metrics.jsonl")
    return [row for row in found if row.get("event") == ("validation" if validation else None)]


def test_the_loss_falls(tiny: ModuleType, tmp_path: Path) -> None:
    tiny.tiny_run(tmp_path, names=("one",), n_steps=300, batch_size=23, log_every=20, validate_every=300, checkpoint_every=None)
    losses = [row["loss"] for row in rows(tmp_path)]
    assert losses[-1] < 0.5 * losses[0]


def test_each_sae_on_a_shared_stream_ends_as_it_would_alone(tiny: ModuleType, tmp_path: Path) -> None:
    together = tiny.tiny_run(tmp_path / "together")
    alone = tiny.tiny_run(tmp_path / "alone", names=("one",))
    for name, tensor in alone.saes["one"].state_dict().items():
        assert torch.equal(tensor, together.saes["one"].state_dict()[name])


def test_a_row_has_losses_rates_times_and_memory(tiny: ModuleType, tmp_path: Path) -> None:
    tiny.tiny_run(tmp_path)
    found = rows(tmp_path)
    assert [(row["step"], row["sae"]) for row in found[:4]] == [(3, "one"), (3, "two"), (6, "one"), (6, "two")]
    assert found[-1]["step"] == 13
    assert found[0]["tokens"] == 3 * tiny.B
    assert found[0]["loss"] == pytest.approx(found[0]["loss/reconstruction"] + found[0]["loss/auxk"])
    assert found[0].keys() >= {"fvu", "l0", "lr", "grad_norm", "dead_fraction", "silent_fraction", "tokens_per_second"}
    assert all(found[0][key] >= 0 for key in ("seconds_model", "seconds_stream", "seconds_sae"))
    assert found[0]["rss_mb"] > 1


def test_validation_is_on_the_same_rows_each_time(tiny: ModuleType, tmp_path: Path) -> None:
    result = tiny.tiny_run(tmp_path, names=("one",))
    found = rows(tmp_path, validation=True)
    assert [row["step"] for row in found] == [4, 8, 12, 13]
    again = tiny.tiny_held_out(("one",))["one"].measure(result.saes["one"], knobs=Knobs(step=13))
    assert {key: found[-1][key] for key in again} == again


def test_a_callback_adds_numbers_to_the_validation_row(tiny: ModuleType, tmp_path: Path) -> None:
    tiny.tiny_run(tmp_path, names=("one",), validate=lambda name, sae: {"kl": 0.25 + len(name)})
    assert all(row["kl"] == 3.25 for row in rows(tmp_path, validation=True))


def test_the_best_checkpoint_is_kept_beside_the_last(tiny: ModuleType, tmp_path: Path) -> None:
    values = iter([0.5, 0.1, 0.7, 0.9])
    result = tiny.tiny_run(tmp_path, names=("one",), best_by="kl", keep=1, validate=lambda *_: {"kl": next(values)})
    assert result.best["one"] == (8, 0.1)
    assert [found.step for found in checkpoints.list_checkpoints(tmp_path / "checkpoints")] == [8, 13]
    best, last = (open_checkpoint(tmp_path, at)["one"] for at in ("best", "last"))
    assert not torch.equal(best.W_dec, last.W_dec)
    assert torch.equal(open_checkpoint(tmp_path, 8)["one"].W_dec, best.W_dec)
    assert torch.equal(last.W_dec, result.saes["one"].W_dec)


def test_an_unknown_best_by_is_refused_with_what_is_measured(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fvu, l0"):
        tiny.tiny_run(tmp_path, best_by="fuv")


def test_patience_stops_one_sae_and_then_the_run(tiny: ModuleType, tmp_path: Path) -> None:
    worse = {"one": iter([0.1, 0.2, 0.3, 0.4]), "two": iter([0.5, 0.4, 0.6, 0.7, 0.8])}
    result = tiny.tiny_run(
        tmp_path, n_steps=400, best_by="kl", early_stop_patience=2, validate=lambda name, _: {"kl": next(worse[name])}
    )
    assert result.stopped_at == {"one": 12, "two": 16}
    assert result.n_steps == 16
    assert result.checkpoint.name == "step_00000016"
    assert max(row["step"] for row in rows(tmp_path) if row["sae"] == "one") == 12


def test_patience_survives_a_resume(tiny: ModuleType, tmp_path: Path) -> None:
    def validate(name: str, _: object) -> dict[str, float]:
        return {"kl": {"one": 1.0, "two": 2.0}[name]}

    def stop(done: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    settings = {"n_steps": 400, "best_by": "kl", "early_stop_patience": 2, "validate": validate}
    with pytest.raises(KeyboardInterrupt):
        tiny.tiny_run(tmp_path, on_step=stop, **settings)
    result = tiny.tiny_run(tmp_path, resume=True, **settings)
    assert result.n_steps == 12
    assert tiny.tiny_run(tmp_path, resume=True, **settings).n_steps == 12


def test_a_loss_that_is_not_finite_names_the_step_and_the_last_good_checkpoint(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = tiny.TinyFeed.batch

    def poisoned(self: Any, step: int) -> Rows:
        return Rows(batch(self, step).x * float("nan")) if step == 7 else batch(self, step)

    monkeypatch.setattr(tiny.TinyFeed, "batch", poisoned)
    with pytest.raises(NonFiniteLossError, match="step 8") as caught:
        tiny.tiny_run(tmp_path)
    assert "step_00000006" in str(caught.value)
    assert torch.isfinite(open_checkpoint(tmp_path)["one"].W_dec).all()


def test_a_full_disk_leaves_the_checkpoints_that_were_complete(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = checkpoints.save_tensors, []

    def fills_up(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) > 6:
            raise OSError(28, "No space left on device")
        real(*arguments)

    monkeypatch.setattr(checkpoints, "save_tensors", fills_up)
    with pytest.raises(DiskFullError):
        tiny.tiny_run(tmp_path)
    assert list(open_checkpoint(tmp_path)) == ["one", "two"]
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_an_sae_that_was_started_keeps_its_scale(tiny: ModuleType, tmp_path: Path) -> None:
    first = tiny.tiny_run(tmp_path / "first", names=("one",)).saes["one"]
    factor = first.input_factor.clone()
    feed = tiny.TinyFeed(1)
    job = tiny.Job("one", first, (tiny.Site.parse("resid_post.3"),))
    tiny.train_on(feed, [job], tiny.tiny_config(), folder=tmp_path / "second")
    assert torch.equal(first.input_factor, factor)


@pytest.mark.parametrize("architecture", ["topk", "batchtopk", "jumprelu"])
def test_a_saved_sae_learns_on_from_where_it_ended(tiny: ModuleType, tmp_path: Path, architecture: str) -> None:
    settings = {"architecture": architecture, "d_in": tiny.D, "n_latents": tiny.F, "dead_after_tokens": 23}
    sae = build(config_from_dict(settings | ({} if architecture == "jumprelu" else {"k": tiny.K})))
    first = tiny.train_on(tiny.TinyFeed(1), [tiny.Job("one", sae, ())], tiny.tiny_config(), folder=tmp_path / "first")
    save_sae(first.saes["one"], tmp_path / "sae")
    again = load_sae(tmp_path / "sae")
    with torch.no_grad():
        ended_with = float(again.loss(tiny.TinyFeed().batch(0).x, Knobs()).total)
    before = {name: tensor.clone() for name, tensor in again.named_buffers()}
    config = tiny.tiny_config(n_steps=1, lr=1e-30, log_every=1)
    tiny.train_on(tiny.TinyFeed(1), [tiny.Job("one", again, ())], config, folder=tmp_path / "second")
    row = rows(tmp_path / "second")[0]
    assert row["loss"] == pytest.approx(ended_with, rel=1e-6)
    after = dict(again.named_buffers())
    kept = [name for name in before if torch.equal(before[name], after[name])]
    assert {"input_factor", "input_variance", "started"} <= set(kept)
    counts = again.tokens_since_fired  # went on from where they were
    assert torch.equal(counts, torch.where(counts == 0, 0, before["tokens_since_fired"] + tiny.B))
    if architecture == "batchtopk":
        assert int(after["threshold_updates"]) == int(before["threshold_updates"]) + 1


def test_an_objective_is_weighed_and_reaches_the_sae(tiny: ModuleType, tmp_path: Path) -> None:
    seen: list[Rows] = []
    values: list[torch.Tensor] = []

    def objective(name: str, losses: Losses, batch: Rows) -> torch.Tensor:
        assert name == "one"
        assert losses.x_hat.requires_grad
        seen.append(batch)
        values.append(losses.x_hat.square().mean())
        return values[-1]

    config = tiny.tiny_config(n_steps=2, log_every=1, objective=ObjectiveConfig(kind="kl", weight=3.0, reconstruction_weight=0.0))
    source = random_source(sites=(tiny.Site.parse("resid_post.3"),), width=tiny.D)
    job = tiny.Job("one", tiny.tiny_sae(), source.sites)
    train(source, [job], config, folder=tmp_path, callbacks=Callbacks(objective=objective))
    row = rows(tmp_path)[0]
    assert row["loss/reconstruction"] == 0.0
    assert row["loss/objective"] == pytest.approx(3.0 * values[0].item())
    assert row["loss"] == pytest.approx(row["loss/objective"] + row["loss/auxk"])
    assert row["grad_norm"] > 0
    assert seen[0].x.ndim == 3
    assert seen[0].tokens is not None
    assert seen[0].documents is not None
    assert seen[0].tokens.shape == seen[0].documents.shape == seen[0].x.shape[:2]


def test_an_objective_without_contexts_or_without_its_setting_is_refused(tiny: ModuleType, tmp_path: Path) -> None:
    def objective(*_: Any) -> torch.Tensor:
        return torch.zeros(())

    job, kl = tiny.Job("one", tiny.tiny_sae(), ()), tiny.tiny_config(objective=ObjectiveConfig(kind="kl"))
    with pytest.raises(ConfigError, match="whole contexts"):
        tiny.train_on(tiny.TinyFeed(1), [job], kl, folder=tmp_path, callbacks=Callbacks(objective=objective))
    with pytest.raises(ConfigError, match="gives no loss"):
        tiny.train_on(tiny.TinyFeed(1), [job], kl, folder=tmp_path)
    with pytest.raises(ConfigError, match="would be ignored"):
        tiny.train_on(tiny.TinyFeed(1), [job], tiny.tiny_config(), folder=tmp_path, callbacks=Callbacks(objective=objective))


def test_without_held_out_documents_there_is_no_best(tiny: ModuleType, tmp_path: Path) -> None:
    job = tiny.Job("one", tiny.tiny_sae(), (tiny.Site.parse("resid_post.3"),))
    result = tiny.train_on(tiny.TinyFeed(1), [job], tiny.tiny_config(), folder=tmp_path)
    assert result.best == {"one": None}
    assert torch.equal(open_checkpoint(tmp_path, "best")["one"].W_dec, result.saes["one"].W_dec)


def test_patience_without_held_out_documents_is_refused(tiny: ModuleType, tmp_path: Path) -> None:
    config = tiny.tiny_config(early_stop_patience=2)
    with pytest.raises(ConfigError, match="early_stop_patience needs held-out documents"):
        train_on(tiny.TinyFeed(), [Job("one", tiny.tiny_sae(), ())], config, folder=tmp_path)
