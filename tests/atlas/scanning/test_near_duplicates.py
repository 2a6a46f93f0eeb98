"""Examples that say the same as a better one are left out, and those behind move up."""

from pathlib import Path

import numpy as np
import torch
from atlas_fakes import SITE, FakeSAE, FakeSource, make_block
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from monoseme.atlas import ScanConfig, StateConfig, Target, open_atlas, scan
from monoseme.atlas.scanning.near_duplicates import SAME_FRACTION, says_something_new


def _slow(group: list[int], tokens: np.ndarray) -> list[bool]:
    kept: list[bool] = []
    for i, mine in enumerate(tokens):
        is_new = True
        for j in range(i):
            either = (mine >= 0) | (tokens[j] >= 0)
            same = (mine == tokens[j]) & (mine >= 0)
            if kept[j] and group[j] == group[i] and either.sum() >= 8 and same.sum() >= SAME_FRACTION * either.sum():
                is_new = False
        kept.append(is_new)
    return kept


@given(st.integers(0, 10**6), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_what_is_new_is_what_a_comparison_of_all_pairs_finds(seed: int, n: int) -> None:
    draw = np.random.default_rng(seed)
    group = np.sort(draw.integers(0, 7, n))
    tokens = draw.integers(0, 5, (3, 11))[draw.integers(0, 3, n)]  # three texts, each with some tokens changed or absent
    changed = draw.random(tokens.shape) < 0.12
    tokens = np.where(changed, draw.integers(-1, 5, tokens.shape), tokens)
    assert_array_equal(says_something_new(group, lambda at: tokens[at]), _slow(group.tolist(), tokens))


def _source() -> FakeSource:
    """Forty documents of thirteen tokens; latent 0 fires at place 6 of each, strongest where the text is always the same."""
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 13, (40, 13), generator=draw)
    tokens[:10] = tokens[0]
    tokens[1:10, 0] = torch.arange(1, 10)  # one token in twelve differs
    x = torch.zeros(40, 13, 1)
    x[:, 6, 0] = 100.0 - torch.arange(40)
    documents = torch.arange(40)[:, None].expand(40, 13)
    return FakeSource([make_block(tokens, documents, torch.arange(13).expand(40, 13), x)])


def test_near_duplicates_make_room_for_what_comes_behind(tmp_path: Path) -> None:
    config = ScanConfig(keep=StateConfig(n_top=5, n_spare=20), n_per_decile=3)
    scan(_source(), [Target("a", FakeSAE(1), (SITE,))], tmp_path, config=config)
    latents = open_atlas(tmp_path).latents("a")
    page = open_atlas(tmp_path).latent("a", 0)
    assert [example.document for example in page.top] == [0, 10, 11, 12, 13]
    for decile in page.deciles:
        assert decile.examples
        assert sum(example.document < 10 for example in decile.examples) <= 1
    assert latents.column("n_near_duplicates")[0] >= 9


def test_without_spare_ones_the_list_is_shorter(tmp_path: Path) -> None:
    config = ScanConfig(keep=StateConfig(n_top=11, n_spare=0))
    scan(_source(), [Target("a", FakeSAE(1), (SITE,))], tmp_path, config=config)
    assert [example.document for example in open_atlas(tmp_path).latent("a", 0).top] == [0, 10]


def test_windows_of_few_tokens_are_all_shown(tmp_path: Path) -> None:
    config = ScanConfig(keep=StateConfig(n_top=5, left=3, right=3))
    scan(_source(), [Target("a", FakeSAE(1), (SITE,))], tmp_path, config=config)
    assert [example.document for example in open_atlas(tmp_path).latent("a", 0).top] == [0, 1, 2, 3, 4]
