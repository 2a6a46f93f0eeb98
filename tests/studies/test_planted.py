"""The planted world has the structure that its kinds promise, and its blocks are pure functions of their number."""

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.studies._planted import KINDS, PlantedSource, PlantedWorld, WorldConfig

_SMALL = WorldConfig(
    width=11, n_plain=5, n_correlated=4, n_parents=2, n_hosts=3, n_slow=3, n_wandering=4, document_len=17, contexts_per_block=64
)


@pytest.fixture(scope="module")
def world() -> PlantedWorld:
    return PlantedWorld(_SMALL)


def _on(world: PlantedWorld, kind: str, layer: int = 1) -> torch.Tensor:
    return world.firing("a", 0).on[:, :, layer, list(world.ranges[kind])]


def test_every_feature_is_of_one_kind(world: PlantedWorld) -> None:
    assert list(world.ranges) == list(KINDS)
    assert [i for kind in KINDS for i in world.ranges[kind]] == list(range(len(world.directions)))


def test_blocks_are_the_same_at_each_asking_and_differ_between_parts(world: PlantedWorld) -> None:
    a, b = world.source("a", n_blocks=3), world.source("b", n_blocks=3)
    site = a.sites[2]
    assert torch.equal(a.block(1).activations[site], a.block(1).activations[site])
    assert not torch.equal(a.block(1).activations[site], b.block(1).activations[site])
    with pytest.raises(IndexError):
        a.block(3)


def test_activations_are_the_sums_of_what_fires(world: PlantedWorld) -> None:
    source: PlantedSource = world.source("a", n_blocks=1)
    block, sizes = source.block(0), world.firing("a", 0).sizes
    for layer, site in enumerate(source.sites):
        expected = sizes[:, :, layer].double() @ world.directions.double() + world.offset.double()
        rest = block.activations[site].double() - expected
        assert float(rest.abs().max()) < 0.06  # six standard deviations of the noise
        assert float(rest.std()) == pytest.approx(0.01, rel=0.05)


def test_documents_have_the_length_asked_for_and_positions_count_in_them(world: PlantedWorld) -> None:
    block = world.source("a", n_blocks=2).block(1)
    _, lengths = block.documents.flatten().unique(return_counts=True)
    assert lengths.tolist() == [17] * 128
    assert block.positions[0].tolist() == [*range(17), *range(17)]
    assert int(block.documents.min()) == 128


def test_a_child_needs_its_parent_and_excludes_its_siblings(world: PlantedWorld) -> None:
    parents, children = _on(world, "parent"), _on(world, "child")
    families = children.unflatten(-1, (2, 3))
    assert bool(children.any())
    assert int(families.sum(-1).max()) == 1
    assert not bool((families.any(-1) & ~parents).any())


def test_a_guest_needs_its_host_which_is_mostly_alone(world: PlantedWorld) -> None:
    hosts, guests = _on(world, "host"), _on(world, "guest")
    assert not bool((guests & ~hosts).any())
    assert float(guests.sum() / hosts.sum()) == pytest.approx(0.25, abs=0.05)


def test_correlated_features_fire_together_far_more_than_by_chance(world: PlantedWorld) -> None:
    on = _on(world, "correlated").flatten(0, 1).double()
    together = (on[:, 0] * on[:, 1]).mean()
    assert float(together / (on[:, 0].mean() * on[:, 1].mean())) > 4


def test_slow_features_stay_within_a_document_with_one_size_and_plain_ones_do_not(world: PlantedWorld) -> None:
    def stays(kind: str) -> float:
        on = _on(world, kind).unflatten(1, (2, 17))
        return float((on[:, :, 1:] & on[:, :, :-1]).sum() / on[:, :, :-1].sum())

    assert stays("slow") > 0.9
    assert stays("plain") < 0.1
    sizes = world.firing("a", 0).sizes[:, :17, 1, list(world.ranges["slow"])]
    seen = [sizes[c, :, g][sizes[c, :, g] > 0] for c in range(64) for g in range(3)]
    assert all(len(values.unique()) <= 1 for values in seen)


def test_wandering_features_move_over_layers_and_the_others_do_not(world: PlantedWorld) -> None:
    sizes = world.firing("a", 0).sizes
    wandering = sizes[..., list(world.ranges["wandering"])]
    share = wandering / wandering.sum(2, keepdim=True)
    per_token = share.amax(2)[wandering.sum(2) > 0].mean()
    over_all = (wandering.sum((0, 1)) / wandering.sum((0, 1, 2))).amax(0).mean()
    assert float(per_token) > 0.6 > float(over_all)
    rest = sizes[..., : world.ranges["wandering"].start]
    assert torch.equal(rest[:, :, 0], rest[:, :, 2])


def test_features_that_do_not_fill_their_groups_are_refused() -> None:
    with pytest.raises(ConfigError, match="groups of 4"):
        WorldConfig(n_correlated=6)
