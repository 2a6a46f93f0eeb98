"""Views show what they say of a block, and nothing that is masked. Letters: n contexts, S positions, D width, L sites."""

import pytest
import torch

from monoseme.activations import Batch, Block, View
from monoseme.activations.views import find_facts, find_items, make_batch
from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.models.site import Site
from monoseme.testing.sources import TensorSource, random_source

N, S, D = 5, 7, 3
ONE, TWO = Site.parse("resid_post.0"), Site.parse("resid_post.1")


def _block(seed: int = 0) -> Block:
    return random_source(sites=(ONE, TWO), n_contexts=N, context_len=S, width=D, contexts_per_block=N, seed=seed).block(0)


def _hand_made() -> Block:
    """Context 0: documents 0 0 0 1 1, its second token masked; context 1: document 1 goes on, then padding."""
    documents = torch.tensor([[0, 0, 0, 1, 1], [1, 1, 2, -1, -1]])
    mask = torch.tensor([[True, False, True, True, True], [True, True, True, False, False]])
    x = torch.arange(10.0).reshape(2, 5, 1)
    return TensorSource({ONE: x}, documents=documents, mask=mask).block(0)


def _batch(view: View, block: Block, sites: tuple[Site, ...]) -> Batch:
    """All items of the block, in reading order."""
    items, tables = find_items(view, block, generator(0)), [block.vectors(site) for site in sites]
    facts = find_facts(view, block, items, tables)
    return make_batch(view, sites, [tables], part=torch.zeros(len(items), dtype=torch.int64), facts=facts)


def test_tokens_are_the_unmasked_ones() -> None:
    block = _block()
    view = View(name="tokens")
    batch = _batch(view, block, (TWO,))
    assert batch.mask is None
    assert torch.equal(batch.x, block.activations[TWO][block.mask])
    assert torch.equal(batch.tokens, block.tokens[block.mask])
    assert torch.equal(batch.documents, block.documents[block.mask])
    assert torch.equal(batch.positions, block.positions[block.mask])


def test_layers_are_the_sites_of_one_token() -> None:
    block = _block()
    view = View(name="layers")
    batch = _batch(view, block, (TWO, ONE))
    assert batch.x.shape == (int(block.mask.sum()), 2, D)
    assert torch.equal(batch.x[:, 0], block.activations[TWO][block.mask])
    assert torch.equal(batch.x[:, 1], block.activations[ONE][block.mask])


def test_contexts_keep_order_and_mask_and_leave_out_empty_ones() -> None:
    block = _block()
    block.mask[2] = False
    view = View(name="contexts")
    batch = _batch(view, block, (ONE,))
    kept = [0, 1, 3, 4]
    assert torch.equal(batch.x, block.activations[ONE][kept])
    assert batch.mask is not None
    assert torch.equal(batch.mask, block.mask[kept])
    assert torch.equal(batch.tokens, block.tokens[kept])


def test_pairs_with_the_token_before_by_hand() -> None:
    block = _hand_made()
    view = View(name="pairs", offset="previous")
    batch = _batch(view, block, (ONE,))
    # Not 2 after the masked 1, not 3 of another document, not 5 of the context before, not padding.
    assert batch.x.squeeze(-1).tolist() == [[4.0, 3.0], [6.0, 5.0]]
    assert batch.documents.tolist() == [[1, 1], [1, 1]]


def test_pairs_with_a_random_earlier_token_by_hand() -> None:
    block = _hand_made()
    view = View(name="pairs", offset="random")
    batch = _batch(view, block, (ONE,))
    # The masked token 1 is passed over: 2 pairs with 0.
    assert batch.x.squeeze(-1).tolist() == [[2.0, 0.0], [4.0, 3.0], [6.0, 5.0]]


@pytest.mark.parametrize("offset", ["previous", "random"])
@pytest.mark.parametrize("seed", range(10))
def test_both_tokens_of_a_pair_are_real_and_of_one_document(offset: str, seed: int) -> None:
    block = _block(seed)
    view = View(name="pairs", offset=offset)  # pyright: ignore[reportArgumentType]
    items = find_items(view, block, generator(seed))
    now, before = items.unbind(1)
    assert block.mask.flatten()[items].all()
    assert torch.equal(block.documents.flatten()[now], block.documents.flatten()[before])
    assert torch.equal(now // S, before // S)
    assert (before < now).all()
    assert len(now.unique()) == len(now)


def test_every_token_with_an_earlier_one_has_a_random_pair_and_all_earlier_ones_come() -> None:
    length = 6
    source = TensorSource({ONE: torch.zeros(1, length, 1)})
    block, view = source.block(0), View(name="pairs", offset="random")
    seen = set()
    for seed in range(200):
        items = find_items(view, block, generator(seed))
        assert items[:, 0].tolist() == list(range(1, length))
        seen |= {(now, before) for now, before in items.tolist()}
    assert seen == {(now, before) for now in range(length) for before in range(now)}


def test_no_unmasked_tokens_give_no_items() -> None:
    block = _block()
    block.mask[:] = False
    for name in ("tokens", "pairs", "contexts", "layers"):
        view = View(name=name)  # pyright: ignore[reportArgumentType]
        assert _batch(view, block, (ONE,)).n_items == 0


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(ConfigError, match='Did you mean "tokens"'):
        View(name="token")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="previous, random"):
        View(name="pairs", offset="next")  # pyright: ignore[reportArgumentType]
