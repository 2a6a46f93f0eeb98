"""A source cut short has the first blocks and no others."""

import pytest
import torch

from monoseme.activations import FirstBlocks
from monoseme.models import Site
from monoseme.testing.sources import random_source

SITES = (Site("resid_post", 1),)


def test_only_the_first_blocks_are_there() -> None:
    source = random_source(sites=SITES)
    assert source.n_blocks > 2
    cut = FirstBlocks(source, 2)
    assert cut.n_blocks == 2
    assert [cut.has_block(i) for i in range(3)] == [True, True, False]
    assert [block.index for block in cut.blocks()] == [0, 1]
    assert torch.equal(cut.block(1).tokens, source.block(1).tokens)
    assert cut.spec != source.spec
    with pytest.raises(IndexError, match="cut after 2"):
        cut.block(2)


def test_a_source_shorter_than_the_cut_is_whole() -> None:
    source = random_source(sites=SITES)
    assert FirstBlocks(source, source.n_blocks + 5).n_blocks == source.n_blocks
