"""Before the first step everything it needs is compiled, and nothing is moved by that."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from monoseme.kernels import choose_kernels, why_not
from monoseme.models.site import Site
from monoseme.saes import SAE
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.jumprelu import JumpReLU
from monoseme.saes.topk import TopK
from monoseme.training.learner import Job, Learner
from monoseme.training.rehearsal import rehearse

pytestmark = pytest.mark.skipif(why_not("numba") is not None, reason="Numba does not import here")

_SIZES = {"d_in": 7, "n_latents": 11, "dead_after_tokens": 3}
_KINDS = [(TopK, {"k": 3}), (BatchTopK, {"k": 3}), (JumpReLU, {})]


def _state(learner: Learner) -> dict[str, torch.Tensor]:
    kept = {**learner.sae.state_dict(), **learner.optimiser.state(), **learner.tensors()}
    return {name: tensor.clone() for name, tensor in kept.items()}


@pytest.mark.parametrize(("kind", "settings"), _KINDS)
def test_a_rehearsal_moves_nothing(tiny: ModuleType, kind: type[SAE], settings: dict[str, Any]) -> None:
    sae = kind(kind.Config(**_SIZES, **settings))
    sae.use_kernels("numba")
    feed, config = tiny.TinyFeed(), tiny.tiny_config()
    sae.start(feed.batch(0).x)
    learner = Learner(Job("one", sae, (Site.parse("resid_post.3"),)), config)
    learner.step(feed.advance()[0], step=0)
    before, place, drawn = _state(learner), feed.cursor(), torch.get_rng_state()
    rehearse(feed, [learner], config, done=1)
    after = _state(learner)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert feed.cursor() == place
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(parameter.grad is None for parameter in sae.parameters())


def test_other_kernels_are_not_rehearsed(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with choose_kernels("torch"):
        learner = Learner(Job("one", tiny.tiny_sae(), (Site.parse("resid_post.3"),)), tiny.tiny_config())
    feed = tiny.TinyFeed()
    monkeypatch.setattr(feed, "advance", lambda: pytest.fail("a batch was taken"))
    rehearse(feed, [learner], tiny.tiny_config(), done=0)


_FIRST_STEP = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("_tiny", sys.argv[1])
tiny = importlib.util.module_from_spec(spec); spec.loader.exec_module(tiny)
from monoseme.core.display import PlainDisplay, use_display
from monoseme.kernels import compiled_so_far
from monoseme.models.site import Site
from monoseme.training.learner import Job, Learner
from monoseme.training.rehearsal import rehearse
feed, config = tiny.TinyFeed(batch_size=64), tiny.tiny_config(batch_size=64)
sae = tiny.tiny_sae(n_latents=64)
sae.start(feed.batch(0).x)
learner = Learner(Job("one", sae, (Site.parse("resid_post.3"),)), config)
with use_display(PlainDisplay()):
    rehearse(feed, [learner], config, done=0)
rehearsed = compiled_so_far().n_loops
for step in range(2):
    learner.step(feed.advance()[0], step=step)
sys.stdout.write(f"{rehearsed} {compiled_so_far().n_loops}")
"""


@pytest.mark.slow
def test_after_a_rehearsal_a_step_compiles_nothing_and_the_next_process_nothing_at_all(tmp_path: Path) -> None:
    def run() -> list[str]:
        words = [sys.executable, "-c", _FIRST_STEP, str(Path(__file__).parent / "_tiny.py")]
        environment = {"PATH": "/usr/bin:/bin", "NUMBA_CACHE_DIR": str(tmp_path), "HOME": str(tmp_path)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    first, second = run(), run()
    rehearsed, in_all = first[-1].split()
    assert rehearsed == in_all != "0"
    assert first[0].startswith("compiling kernels not used on this machine before")
    assert any(line.startswith(f"compiled {rehearsed} kernels in") for line in first)
    assert second == ["0 0"]
