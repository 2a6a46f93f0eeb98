"""Roles and turns of conversations: kept with every token, shown with examples, and filters of what a scan sees."""

from pathlib import Path

import numpy as np
import pytest
import torch
from atlas_fakes import SITE, FakeBlock, FakeSAE, FakeSource, make_block
from torch import Tensor

from monoseme.atlas import Atlas, ScanConfig, StateConfig, Target, open_atlas, scan
from monoseme.atlas.roles import RoleFilter, Speaker
from monoseme.atlas.scanning.firings import Rows, sort_firings
from monoseme.atlas.scanning.role_counts import RoleCounts
from monoseme.core.errors import ConfigError, EmptyCorpusError
from monoseme.text import ROLES

USER, ASSISTANT, TEMPLATE = (ROLES.index(role) for role in ("user", "assistant", "template"))
_ROLES = [0, TEMPLATE, USER, USER, TEMPLATE, ASSISTANT, ASSISTANT]
_TURNS = [0, 0, 0, 0, 1, 1, 1]


class ChatBlock(FakeBlock):
    """Contexts of 7 tokens that are a question and an answer."""

    @property
    def roles(self) -> Tensor:
        return torch.tensor(_ROLES, dtype=torch.int8).expand_as(self.tokens)

    @property
    def turns(self) -> Tensor:
        return torch.tensor(_TURNS, dtype=torch.int16).expand_as(self.tokens)


def chat_source() -> FakeSource:
    """Five documents, each alone in its context of 7: the latent's value is the place in the context plus the document / 8."""
    tokens = torch.tensor([[0, 1, 2, 3, 1, 4, 5]]).repeat(5, 1)
    documents = torch.arange(5)[:, None].expand(5, 7)
    positions = torch.arange(-1, 6).expand(5, 7)
    x = (torch.arange(7.0) + torch.arange(5.0)[:, None] / 8)[..., None]
    return FakeSource([ChatBlock(*make_block(tokens, documents, positions, x))])


def scanned(folder: Path, only: RoleFilter, *, name: str = "topk") -> Atlas:
    config = ScanConfig(only=only, keep=StateConfig(left=3, right=3, n_background=11))
    scan(chat_source(), [Target(name, FakeSAE(1), (SITE,))], folder, config=config)
    return open_atlas(folder)


def test_every_stored_token_knows_its_role_and_turn(tmp_path: Path) -> None:
    text = scanned(tmp_path / "atlas", RoleFilter()).text
    assert text.roles is not None
    assert text.turns is not None
    assert (text.roles.tolist(), text.turns.tolist()) == (_ROLES * 5, _TURNS * 5)
    assert text.speaker_of(3, 4) == Speaker("assistant", 1)
    assert text.passed(RoleFilter(roles=("user",)), np.array([0, 4, 4]), np.array([1, 1, 4])).tolist() == [True, True, False]


def test_plain_text_has_no_files_of_roles_and_its_examples_no_speaker(planted: Atlas) -> None:
    assert planted.text.roles is None
    assert not list((planted.path / "text").glob("*r*s.npy"))[1:]
    example = planted.latent("topk", 0).top[0]
    assert (example.role, example.turn) == (None, None)


def test_examples_say_who_speaks(tmp_path: Path) -> None:
    example = scanned(tmp_path / "atlas", RoleFilter()).latent("topk", 0).top[0]
    assert (example.position, example.role, example.turn) == (5, "assistant", 1)


@pytest.mark.parametrize(
    ("only", "n_fired", "positions"),
    [
        (RoleFilter(), 30, {5}),
        (RoleFilter(roles=("user",)), 10, {2}),
        (RoleFilter(roles=("user", "assistant")), 20, {5}),
        (RoleFilter(roles=("template",), first_turn=1), 5, {3}),
        (RoleFilter(last_turn=0), 15, {2}),
    ],
)
def test_only_tokens_of_the_roles_and_turns_asked_for_reach_the_sae(
    tmp_path: Path, only: RoleFilter, n_fired: int, positions: set[int]
) -> None:
    page = scanned(tmp_path / "atlas", only).latent("topk", 0)
    assert (page.stats.n_fired, page.stats.n_tokens) == (n_fired, n_fired)
    assert {example.position for example in page.top} == positions


def test_tokens_kept_from_the_sae_have_no_value_in_an_example(tmp_path: Path) -> None:
    page = scanned(tmp_path / "atlas", RoleFilter(roles=("user",))).latent("topk", 0)
    assert [value is None for value in page.top[0].values] == [True, True, False, False, True, True, True][
        : len(page.top[0].values)
    ]


def test_scans_of_two_roles_lie_beside_each_other_over_one_text(tmp_path: Path) -> None:
    scanned(tmp_path / "atlas", RoleFilter(roles=("user",)), name="of_user")
    atlas = scanned(tmp_path / "atlas", RoleFilter(roles=("assistant",)), name="of_assistant")
    assert atlas.saes() == ["of_assistant", "of_user"]


def test_a_role_that_nobody_has_is_told(tmp_path: Path) -> None:
    with pytest.raises(EmptyCorpusError, match=r"no token is of tool in turns 0 to the last"):
        scanned(tmp_path / "atlas", RoleFilter(roles=("tool",)))


def test_a_filter_that_nothing_passes_is_refused() -> None:
    with pytest.raises(ConfigError, match='Did you mean "assistant"'):
        RoleFilter(roles=("asistant",))
    with pytest.raises(ConfigError, match="turns 3 to 2: nothing passes"):
        RoleFilter(first_turn=3, last_turn=2)


def test_densities_are_told_by_role_and_latents_are_sorted_by_them(tmp_path: Path) -> None:
    """Latent 0 fires on every token, 1 on what the user says and on the first answer."""
    source = chat_source()
    x = source.given[0].activations[SITE]
    second = torch.zeros_like(x)
    second[:, 2:4], second[0, 5] = 1.0, 1.0
    blocks = [block._replace(activations={SITE: torch.cat([x, second], -1)}) for block in source.given]
    scan(FakeSource(blocks), [Target("topk", FakeSAE(2), (SITE,))], tmp_path / "atlas")
    atlas = open_atlas(tmp_path / "atlas")
    densities = atlas.latents("topk").role_densities()
    assert {role: values.tolist() for role, values in densities.items()} == {
        "template": [1.0, 0.0],
        "user": [1.0, 1.0],
        "assistant": [1.0, 0.1],
    }
    table = atlas.table("topk", sort="density_assistant")
    assert [(row["latent"], row["density_assistant"]) for row in table.rows] == [(1, 0.1), (0, 1.0)]


def test_counts_of_roles_merge_and_are_taken_up_again(tmp_path: Path) -> None:
    rows = Rows(*(np.arange(4) for _ in range(4)), np.array([2, 3, 3, 2], np.int8))
    firings = sort_firings(np.array([0, 1, 1]), np.array([1.0, 1.0, -1.0], np.float32), np.array([0, 1, 2]))
    counts = RoleCounts(2, tmp_path)
    counts.add(rows, firings)
    counts.checkpoint(1)
    counts.add(rows, firings)
    counts.restore(1)
    counts.merge(counts)
    assert counts.n_tokens.tolist() == [0, 0, 4, 4, 0, 0, 0]
    assert counts.n_fired.tolist() == [[0, 0, 2, 0, 0, 0, 0], [0, 0, 0, 2, 0, 0, 0]]


def test_a_page_can_be_kept_to_the_examples_of_a_role(tmp_path: Path) -> None:
    atlas = scanned(tmp_path / "atlas", RoleFilter())
    every = atlas.latent("topk", 0)
    told = {example.role for decile in every.deciles for example in decile.examples}
    assert {"user", "assistant", "template"} <= told
    page = atlas.latent("topk", 0, only=RoleFilter(roles=("user",)))
    kept = [example for decile in page.deciles for example in decile.examples]
    assert kept == [e for decile in every.deciles for e in decile.examples if e.role == "user"]
    assert kept
    assert page.top == ()  # the strongest of each document is of the assistant
    assert page.stats == every.stats
