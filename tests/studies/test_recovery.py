"""Recovery of SAEs whose truth is known: one made of the planted directions, and one that absorbs by construction."""

import pytest
import torch

from monoseme.saes import SAE
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK
from monoseme.studies._planted import PlantedWorld, WorldConfig
from monoseme.studies._recovery import directions_of, measure_recovery

# In 64 dimensions, 18 nearly orthogonal directions: a code can be read off by inner products.
_CONFIG = WorldConfig(
    width=64, n_plain=6, n_correlated=4, n_parents=0, n_hosts=2, n_slow=2, n_wandering=2, document_len=16, contexts_per_block=16
)


@pytest.fixture(scope="module")
def world() -> PlantedWorld:
    world = PlantedWorld(_CONFIG)
    world.directions = torch.linalg.qr(world.directions.T)[0].T.contiguous()
    world.offset = torch.zeros_like(world.offset)
    return world


def _oracle(world: PlantedWorld, rows: torch.Tensor) -> SAE:
    """Fires on each row's inner product above the noise, and rebuilds from the rows."""
    sae = Thresholded(Thresholded.Config(d_in=64, n_latents=len(rows)))
    with torch.no_grad():
        sae.W_dec.copy_(rows)
        sae.W_enc.copy_(rows.T)
        sae.threshold.fill_(0.15)
    return sae


def test_the_planted_directions_themselves_are_recovered_whole(world: PlantedWorld) -> None:
    source = world.source("a", n_blocks=2)
    found = measure_recovery(_oracle(world, world.directions), source.sites[1:2], source)
    assert found.mmcs == pytest.approx(1.0, abs=1e-6)
    assert found.found == 1.0
    assert found.f1 > 0.97  # wandering ones are below the threshold at some layers
    assert found.fvu < 0.02
    assert found.absorption == pytest.approx(0.0, abs=0.01)
    assert found.families["slow"]["f1"] == pytest.approx(1.0)


def test_latents_that_match_nothing_lower_the_way_back_only(world: PlantedWorld) -> None:
    source = world.source("a", n_blocks=1)
    extra = torch.linalg.qr(torch.cat([world.directions, torch.ones(1, 64)]).T)[0].T[-1:]
    more = measure_recovery(_oracle(world, torch.cat([world.directions, -extra, extra])), source.sites[1:2], source)
    assert more.mmcs == pytest.approx(1.0, abs=1e-6)
    assert more.dead_fraction == pytest.approx(2 / (len(world.directions) + 2))
    assert more.mmcs_back == pytest.approx(1.0, abs=1e-6)  # they never fire


def test_a_hosts_latent_that_is_silent_with_its_guest_is_full_absorption(world: PlantedWorld) -> None:
    class Absorbing(Thresholded):
        def encode(self, x: torch.Tensor, state: object = None):
            codes = super().encode(x).dense()
            hosts, guests = list(world.ranges["host"]), list(world.ranges["guest"])
            codes[..., hosts] = torch.where(codes[..., guests] > 0, 0.0, codes[..., hosts])
            return type(super().encode(x))({"all": codes})

    oracle = _oracle(world, world.directions)
    sae = Absorbing(oracle.config)
    sae.load_state_dict(oracle.state_dict())
    source = world.source("a", n_blocks=2)
    found = measure_recovery(sae, source.sites[1:2], source)
    assert found.absorption == pytest.approx(1.0, abs=0.02)


def test_directions_are_decoder_rows_whatever_the_scale_of_the_input() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=2))
    sae.start(3.0 * torch.randn(101, 7, generator=torch.Generator().manual_seed(0)) + 1)
    expected = torch.nn.functional.normalize(sae.W_dec.detach().double(), dim=1)
    assert torch.allclose(directions_of(sae, n_sites=1), expected, atol=1e-5)
