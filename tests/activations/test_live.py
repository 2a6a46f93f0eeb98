"""The live source runs contexts through a model, block by block with the same bits, and leaves attention sinks out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from torch import Tensor

from monoseme.activations import LiveSource, PrefetchSource, SinkFilter, View, ViewStream
from monoseme.activations.sinks import find_sinks, measure_thresholds
from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.errors import ConfigError, EmptyCorpusError, SiteError
from monoseme.models.site import Site
from monoseme.testing.models import tiny_model
from monoseme.testing.sources import TensorSource
from monoseme.text import CorpusConfig, GivenContexts, TextTokenizer, TokenBlock, TokenStore

ONE, TWO = Site.parse("resid_post.0"), Site.parse("mlp_out.1")
WIDTHS = {ONE: 3, TWO: 5}
WORDS = ["<pad>", "<s>", *"abcdefghijk"]
SINK = WORDS.index("k")


class _Spec:
    def site_width(self, site: Site) -> int:
        if site not in WIDTHS:
            raise SiteError(f"this model has no {site}")
        return WIDTHS[site]


class FakeModel:
    """Vectors of length about 1 that depend on the token and its place; the word k is a sink at site ONE."""

    spec = _Spec()
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.padded: list[bool] = []

    def capture(self, tokens: Tensor, sites: Sequence[Site], *, real: Tensor | None = None) -> Mapping[Site, Tensor]:
        self.shapes.append(tuple(tokens.shape))
        self.padded.append(real is not None)
        place = torch.arange(tokens.shape[1]) / 100
        size = 1 + place + tokens / 50
        found = {site: size.unsqueeze(-1) * torch.ones(WIDTHS[site]) / WIDTHS[site] ** 0.5 for site in sites}
        if ONE in found:
            found[ONE] = torch.where((tokens == SINK).unsqueeze(-1), 400 * found[ONE], found[ONE])
        return found

    def content_hash(self) -> str:
        return "sha256:fake"


class Listening(SilentDisplay):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    path = tmp_path / "rows.txt"
    path.write_text("|".join(" ".join(WORDS[2 + (i + j) % 11] for j in range(3 + i % 9)) for i in range(40)))
    bare = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>"))
    bare.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    bare.add_special_tokens([tokenizers.AddedToken(token, special=True) for token in WORDS[:2]])
    config = CorpusConfig(source=str(path), separator="|", context_len=7)
    return TokenStore.build(config, TextTokenizer(bare, bos_id=1)).contexts("train")


def test_a_block_is_the_plan_and_the_models_activations(plan: Any) -> None:
    source = LiveSource(FakeModel(), plan, [ONE, TWO], contexts_per_block=4, filter=None)
    block, text = source.block(1), plan.block(1, 4)
    assert torch.equal(block.tokens, text.tokens)
    assert torch.equal(block.mask, text.mask)
    assert {site: x.shape for site, x in block.activations.items()} == {ONE: (4, 7, 3), TWO: (4, 7, 5)}
    expected = FakeModel().capture(text.tokens, [ONE, TWO])
    assert all(torch.equal(block.activations[site], expected[site]) for site in WIDTHS)
    assert source.widths == WIDTHS
    assert source.seconds.model > 0
    assert source.seconds.reading > 0


def test_forwards_have_the_same_shape_for_a_block_each_time(plan: Any) -> None:
    model = FakeModel()
    source = LiveSource(model, plan, [ONE], contexts_per_block=5, contexts_per_forward=2, filter=None)
    source.block(1)
    assert [shape[0] for shape in model.shapes] == [2, 2, 1]
    source.block(1)
    assert model.shapes[:3] == model.shapes[3:]


def test_padding_is_told_to_the_model_only_where_there_is_some(plan: Any) -> None:
    model = FakeModel()
    source = LiveSource(model, plan, [ONE], contexts_per_block=2, filter=None)
    has_padding = [len(set(block.real.sum(1).tolist())) > 1 for block in source.blocks()]
    assert model.padded == has_padding
    assert True in has_padding
    assert False in has_padding


def _sentences(lengths: Sequence[int], *, context_len: int) -> TokenBlock:
    """Contexts of the bundled vocabulary, padded at their ends."""
    n = len(lengths)
    real = torch.arange(context_len).expand(n, context_len) < torch.tensor(lengths).unsqueeze(1)
    tokens = torch.randint(2, 60, (n, context_len), generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(n, context_len, dtype=torch.long)
    return TokenBlock(torch.where(real, tokens, 0), real, real, zeros, zeros, zeros, zeros, zeros)


def _live(n_contexts: int, context_len: int) -> tuple[LiveSource, Any, list[Site]]:
    model = tiny_model("llama")
    sites = [Site.parse("resid_post.1"), Site.parse("mlp_out.2")]
    given = GivenContexts(torch.zeros(n_contexts, context_len, dtype=torch.long))
    return LiveSource(model, given, sites, contexts_per_block=n_contexts, contexts_per_forward=2, filter=None), model, sites


def test_a_forward_ends_with_its_longest_context_and_zeros_follow() -> None:
    text = _sentences([3, 5, 11, 2, 0], context_len=11)
    source, model, sites = _live(5, 11)
    found = source.run(text)
    whole = {site: torch.cat([_padded(model, text, rows, site) for rows in source.forwards(text)]) for site in sites}
    for site in sites:
        assert found[site].shape == whole[site].shape
        # The same numbers in other batches: the products are summed in another order.
        assert torch.allclose(found[site][text.real], whole[site][text.real], atol=1e-5)
        assert not found[site][:2, 5:].any()
        assert found[site][2, 10].any()


def _padded(model: Any, text: TokenBlock, rows: slice, site: Site) -> Tensor:
    return model.capture(text.tokens[rows], [site], real=text.real[rows])[site]


def test_full_contexts_go_through_the_model_as_they_are() -> None:
    text = _sentences([11, 11, 11], context_len=11)
    source, model, sites = _live(3, 11)
    found = source.run(text)
    for rows in (slice(0, 2), slice(2, 3)):
        bare = model.capture(text.tokens[rows], sites)
        assert all(torch.equal(found[site][rows], bare[site]) for site in sites)


def test_blocks_cover_the_plan(plan: Any) -> None:
    source = LiveSource(FakeModel(), plan, [ONE], contexts_per_block=4)
    blocks = list(source.blocks())
    assert [block.index for block in blocks] == list(range(source.n_blocks))
    assert sum(block.n_contexts for block in blocks) == len(plan)
    assert [block.index for block in source.blocks(start=2)] == list(range(2, source.n_blocks))
    assert not source.has_block(source.n_blocks)
    assert not source.has_block(-1)
    with pytest.raises(IndexError):
        source.block(source.n_blocks)


def test_sinks_are_left_out_said_and_counted(plan: Any) -> None:
    display = Listening()
    with use_display(display):
        source = LiveSource(FakeModel(), plan, [ONE, TWO], contexts_per_block=4)
        blocks = list(source.blocks())
    for block in blocks:
        assert torch.equal(block.mask, block.real & (block.tokens > 1) & (block.tokens != SINK))
    n_sinks = sum(int((block.tokens == SINK).sum()) for block in blocks)
    assert source.n_sinks == n_sinks > 0
    assert len(display.said) == 1
    assert "a norm above 10 x the median are left out" in display.said[0]


def test_a_filter_of_none_lets_them_through(plan: Any) -> None:
    block = LiveSource(FakeModel(), plan, [ONE], contexts_per_block=4, filter=None).block(0)
    assert torch.equal(block.mask, block.real & (block.tokens > 1))


def test_thresholds_are_the_same_whichever_block_is_asked_for_first(plan: Any) -> None:
    first, second = (LiveSource(FakeModel(), plan, [ONE], contexts_per_block=4) for _ in range(2))
    first.block(0)
    second.block(3)
    assert first.sink_thresholds == second.sink_thresholds
    assert first.spec == second.spec
    given = SinkFilter(thresholds=first.sink_thresholds)
    model = FakeModel()
    third = LiveSource(model, plan, [ONE], contexts_per_block=4, filter=given)
    assert torch.equal(third.block(2).mask, first.block(2).mask)
    assert len(model.shapes) == 1
    assert third.sink_thresholds == first.sink_thresholds
    with pytest.raises(ConfigError, match=r"no threshold for mlp_out\.1"):
        LiveSource(FakeModel(), plan, [TWO], contexts_per_block=4, filter=given).block(0)


def test_thresholds_by_hand() -> None:
    x = torch.tensor([[3.0, 4.0], [6.0, 8.0], [0.0, 1.0], [30.0, 40.0], [float("nan"), 0.0]]).unsqueeze(0)
    mask = torch.tensor([[True, True, True, True, False]])
    block = TensorSource({ONE: x, TWO: torch.zeros(1, 5, 2)}, mask=mask).block(0)
    thresholds = measure_thresholds([block], factor=3.0)
    # Norms 5, 10, 1, 50: the lower median is 5. A site of zeros has no sinks.
    assert thresholds == {ONE: 15.0, TWO: float("inf")}
    assert find_sinks(block.activations, thresholds).tolist() == [[False, False, False, True, False]]


def test_settings_out_of_range_are_refused(plan: Any) -> None:
    with pytest.raises(ConfigError, match="must be above 1"):
        SinkFilter(factor=1.0)
    with pytest.raises(ConfigError, match="at least one block"):
        SinkFilter(n_blocks=0)
    with pytest.raises(ConfigError, match="contexts_per_block"):
        LiveSource(FakeModel(), plan, [ONE], contexts_per_block=0)
    with pytest.raises(ConfigError, match="no site to capture"):
        LiveSource(FakeModel(), plan, [])
    with pytest.raises(SiteError):
        LiveSource(FakeModel(), plan, [Site.parse("resid_post.9")])


def test_an_empty_side_of_the_split_is_said_so(tmp_path: Path, plan: Any) -> None:
    config = CorpusConfig(source=plan.store.config.source, holdout_fraction=0.0)
    heldout = TokenStore.build(config, plan.store.tokenizer).contexts("heldout")
    source = LiveSource(FakeModel(), heldout, [ONE])
    assert source.n_blocks == 0
    with pytest.raises(EmptyCorpusError):
        source.block(0)


def test_a_real_model_on_real_books_resumes_to_the_bit(shared: Path) -> None:
    from monoseme.models import LanguageModel

    model = LanguageModel.load(str(shared / "models" / "stories260K-llama"))
    books = str(shared / "corpora" / "classic_books" / "books.jsonl.zst")
    store = TokenStore.build(CorpusConfig(source=books, context_len=31), model.tokenizer, max_tokens=5000)
    site = Site.parse("resid_post.2")

    def stream() -> ViewStream:
        source = LiveSource(model, store.contexts(), [site], contexts_per_block=8)
        return ViewStream(source, View(name="pairs", offset="random"), batch_size=97, window=3)

    whole, resumed = stream(), stream()
    batches = iter(whole)
    for _ in range(7):
        assert torch.isfinite(next(batches).x).all()
    resumed.seek(whole.cursor)
    again = iter(resumed)
    for _ in range(4):
        assert torch.equal(next(batches).x, next(again).x)


@pytest.mark.parametrize(("context_len", "per_forward"), [(5, [8, 8, 4]), (300, [6, 6, 6, 2]), (3000, [1] * 20)])
def test_a_forward_on_a_cpu_takes_about_2048_tokens(context_len: int, per_forward: list[int]) -> None:
    model = FakeModel()
    most = 8 if context_len == 5 else 20
    tokens = torch.randint(2, 10, (20, context_len))
    source = LiveSource(model, GivenContexts(tokens), [ONE, TWO], contexts_per_block=most, filter=None)
    found = list(source.blocks())
    assert [shape[0] for shape in model.shapes] == per_forward
    exact = FakeModel().capture(tokens, [ONE, TWO])
    for site in (ONE, TWO):
        assert torch.equal(torch.cat([block.activations[site] for block in found]), exact[site])


def test_one_forward_is_not_copied() -> None:
    class Remembering(FakeModel):
        def capture(self, tokens: Tensor, sites: Sequence[Site], *, real: Tensor | None = None) -> Mapping[Site, Tensor]:
            self.given = super().capture(tokens, sites, real=real)
            return self.given

    model = Remembering()
    source = LiveSource(model, GivenContexts(torch.ones(5, 7, dtype=torch.long)), [ONE], contexts_per_block=5, filter=None)
    assert source.block(0).activations[ONE] is model.given[ONE]


def test_one_block_is_made_ahead_and_no_more() -> None:
    model = FakeModel()
    tokens = torch.randint(2, 10, (20, 5))
    ahead = PrefetchSource(LiveSource(model, GivenContexts(tokens), [ONE], contexts_per_block=4, filter=None))
    ahead.block(0)
    ahead._executor.submit(lambda: None).result()  # behind all that was asked of the thread
    assert len(model.shapes) == 2
    assert ahead.seconds.waiting is not None
