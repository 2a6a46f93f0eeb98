"""Batches from a real source: each view, shared, masked, endless, and the same after a seek."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from monoseme.activations import View
from monoseme.core.errors import SiteError
from monoseme.models.site import Site
from monoseme.saes import Knobs
from monoseme.testing.sources import random_source
from monoseme.training import Callbacks, Job, train
from monoseme.training.source_feed import SourceFeed, held_out_batches

SITE, OTHER = Site.parse("resid_post.3"), Site.parse("mlp_out.1")


def source(seed: int = 0) -> Any:
    return random_source(sites=(SITE, OTHER), seed=seed)  # 11 contexts of 13 tokens, D = 7


def feed(tiny: ModuleType, *jobs: Job, **settings: Any) -> SourceFeed:
    return SourceFeed(source(), jobs, tiny.tiny_config(shuffle_window=2, **settings))


def test_saes_at_one_site_share_a_batch(tiny: ModuleType) -> None:
    jobs = [Job("one", tiny.tiny_sae(), (SITE,)), Job("two", tiny.tiny_sae(1), (SITE,)), Job("far", tiny.tiny_sae(), (OTHER,))]
    one, two, far = feed(tiny, *jobs).advance()
    assert one is two
    assert one.x.shape == far.x.shape == (tiny.B, tiny.D)
    assert not torch.equal(one.x, far.x)


def test_a_batch_of_contexts_holds_about_as_many_tokens(tiny: ModuleType) -> None:
    job = Job("one", tiny.tiny_sae(), (SITE,), View(name="contexts"))
    (batch,) = feed(tiny, job, batch_size=30).advance()
    assert batch.x.shape == (2, 13, tiny.D)
    assert batch.mask is not None
    assert batch.n_counted == int(batch.mask.sum()) < 26
    assert batch.vectors().shape == (batch.n_counted, tiny.D)


def test_the_next_epoch_follows_in_another_order(tiny: ModuleType) -> None:
    stream = feed(tiny, Job("one", tiny.tiny_sae(), (SITE,)))
    n_tokens = sum(int(block.mask.sum()) for block in source().blocks())
    rows = torch.cat([stream.advance()[0].x for _ in range(2 * n_tokens // tiny.B)])
    first, second = rows[:n_tokens], rows[n_tokens : 2 * n_tokens]
    assert {tuple(row) for row in first.tolist()} == {
        tuple(row) for block in source().blocks() for row in block.activations[SITE][block.mask].tolist()
    }
    assert not torch.equal(first[: len(second)], second)


def test_the_same_batches_follow_a_seek(tiny: ModuleType) -> None:
    stream = feed(tiny, Job("one", tiny.tiny_sae(), (SITE,)))
    for _ in range(7):
        stream.advance()
    cursor = stream.cursor()
    follow = [stream.advance()[0].x for _ in range(40)]
    other = feed(tiny, Job("one", tiny.tiny_sae(), (SITE,)))
    other.seek(cursor)
    assert all(torch.equal(other.advance()[0].x, x) for x in follow)


def test_a_site_that_the_source_lacks_is_refused(tiny: ModuleType) -> None:
    with pytest.raises(SiteError, match=r"resid_post\.9"):
        feed(tiny, Job("one", tiny.tiny_sae(), (Site.parse("resid_post.9"),)))


def test_held_out_batches_are_as_many_tokens_as_asked_and_always_the_same(tiny: ModuleType) -> None:
    jobs = [Job("one", tiny.tiny_sae(), (SITE,))]
    config = tiny.tiny_config(validation_tokens=17)
    one, two = (held_out_batches(source(1), jobs, config)["one"] for _ in range(2))
    assert one.n_rows == 20
    sae = tiny.tiny_sae()
    sae.start(next(iter(source().blocks())).activations[SITE])
    assert one.measure(sae, knobs=Knobs()) == two.measure(sae, knobs=Knobs())


def test_few_held_out_documents_are_all_measured(tiny: ModuleType) -> None:
    jobs = [Job("one", tiny.tiny_sae(), (SITE,))]
    found = held_out_batches(source(1), jobs, tiny.tiny_config())["one"]
    assert found.n_rows == sum(int(block.mask.sum()) for block in source(1).blocks())


class Stop(Exception):
    """Stands for a kill."""


def stop_at_9(done: int) -> None:
    if done == 9:
        raise Stop


def test_a_run_on_a_source_resumes_to_the_bit_across_epochs(tiny: ModuleType, tmp_path: Path) -> None:
    config = tiny.tiny_config(n_steps=40, checkpoint_every=4, shuffle_window=3)  # 200 tokens: past the first epoch

    def run(name: str, *, resume: bool = False, on_step: Any = None) -> Any:
        jobs = [Job("one", tiny.tiny_sae(), (SITE,)), Job("contexts", tiny.tiny_sae(), (OTHER,), View(name="contexts"))]
        callbacks = Callbacks(on_step=on_step)
        return train(source(), jobs, config, folder=tmp_path / name, held_out=source(1), callbacks=callbacks, resume=resume)

    whole = run("whole")
    with pytest.raises(Stop):
        run("stopped", on_step=stop_at_9)
    resumed = run("stopped", resume=True)
    assert resumed.best == whole.best
    for name, sae in whole.saes.items():
        assert all(torch.equal(tensor, resumed.saes[name].state_dict()[key]) for key, tensor in sae.state_dict().items())
