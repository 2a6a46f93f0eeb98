"""Contexts that are in memory already serve a source as those of a corpus do."""

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.text import GivenContexts

TOKENS = torch.arange(5 * 7).reshape(5, 7)


def test_a_block_is_a_stretch_of_the_contexts_and_the_last_one_is_shorter() -> None:
    given = GivenContexts(TOKENS)
    assert [len(given.block(i, 2).tokens) for i in range(given.n_blocks(2))] == [2, 2, 1]
    assert torch.equal(torch.cat([given.block(i, 2).tokens for i in range(3)]), TOKENS)
    assert given.block(1, 2).documents[:, 0].tolist() == [2, 3]
    assert given.block(1, 2).positions[0].tolist() == list(range(7))
    assert given.block(1, 2).real.all()


def test_special_tokens_are_masked() -> None:
    mask = GivenContexts(TOKENS, special_ids={0, 8}).block(0, 2).mask
    assert (~mask).nonzero().tolist() == [[0, 0], [1, 1]]


def test_what_is_past_the_end_is_not_there() -> None:
    given = GivenContexts(TOKENS)
    assert given.has(4)
    assert not given.has(5)
    with pytest.raises(IndexError, match="no block 3"):
        given.block(3, 2)


def test_the_spec_tells_other_tokens_apart() -> None:
    assert GivenContexts(TOKENS).spec == GivenContexts(TOKENS.clone()).spec
    assert GivenContexts(TOKENS).spec != GivenContexts(TOKENS + 1).spec


@pytest.mark.parametrize("tokens", [torch.arange(5), torch.ones(5, 7)])
def test_tokens_that_are_no_contexts_are_refused(tokens: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="integers"):
        GivenContexts(tokens)
