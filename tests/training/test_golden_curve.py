"""Golden curves: the loss of a short training run must not move unless a change says that it does, and by how much.

On a planted dictionary with 32 wide activations. To write the curves anew after a change that is meant to move them:
`python -m tests.training.test_golden_curve`, and put the numbers before and after into the commit message.
"""

import json
from pathlib import Path

import pytest

from monoseme.saes import build, config_from_dict
from monoseme.testing.planted import planted_dictionary
from monoseme.training import Job, TrainConfig
from monoseme.training.feed import Rows
from monoseme.training.learner import Learner

GOLDEN = Path(__file__).with_name("golden_curves.json")
N_STEPS, EVERY, BATCH = 120, 20, 256
ARCHITECTURES = ("topk", "batchtopk")


def curve(architecture: str, kernel: str) -> list[float]:
    """The loss every so many steps. Latents that are silent for ten batches are dead, so that the auxiliary loss acts."""
    data = planted_dictionary()
    settings = {"d_in": 32, "n_latents": 96, "k": 4, "dead_after_tokens": 10 * BATCH}
    sae = build(config_from_dict({"architecture": architecture, **settings}))
    sae.use_kernels(kernel)
    sae.start(data.sample(2048, part="start"))
    learner = Learner(Job(architecture, sae, ()), TrainConfig(n_steps=N_STEPS, batch_size=BATCH, lr=1e-2, log_every=EVERY))
    losses: list[float] = []
    for step in range(N_STEPS):
        learner.step(Rows(data.sample(BATCH, part=step)), step=step)
        if (step + 1) % EVERY == 0:
            losses.append(learner.window.row()["loss"])
            learner.window.clear()
    return losses


@pytest.mark.parametrize("kernel", ["reference", "torch"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_curve_is_the_golden_one(architecture: str, kernel: str) -> None:
    # Both kernel sets and both thread counts agree to 2e-7 here; the rest is for other machines, where a near tie may flip.
    assert curve(architecture, kernel) == pytest.approx(json.loads(GOLDEN.read_text())[architecture], rel=1e-3)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: curve(name, "reference") for name in ARCHITECTURES}, indent=1) + "\n")
