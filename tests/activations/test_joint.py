"""Two models over the same contexts are one source: named sites, common masks, refused where the text is not the same."""

from pathlib import Path
from typing import Any

import pytest
import torch

from monoseme.activations import ActivationSource, JointSource, LiveSource, MultiStream, SourceSeconds, StreamRequest, View
from monoseme.core.errors import ConfigError, CorpusError
from monoseme.models.site import Site
from monoseme.saes.crosscoder import Crosscoder
from monoseme.testing import TensorSource, random_source, tiny_model, tiny_tokenizer
from monoseme.text import CorpusConfig, TextTokenizer, TokenStore
from monoseme.training import Callbacks, Job, TrainConfig, train

SITE = Site.parse("resid_post.1")
BASE, CHAT = Site.parse("resid_post.1@base"), Site.parse("resid_post.1@chat")
WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "one", "big", "red", "sun", "over", "two", "hills"]


def _tensors(*, seed: int, **settings: Any) -> TensorSource:
    x = torch.randn(6, 5, 7, generator=torch.Generator().manual_seed(seed))
    return TensorSource({SITE: x}, contexts_per_block=2, **settings)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes sources of two tiny models over one token store; train or heldout."""
    path = tmp_path_factory.mktemp("text") / "rows.txt"
    path.write_text("|".join(" ".join(WORDS[(3 * i + j * j) % 15] for j in range(4 + i % 7)) for i in range(60)))
    tokenizer = TextTokenizer(tiny_tokenizer().backend_tokenizer, bos_id=1)
    store = TokenStore.build(CorpusConfig(source=str(path), separator="|", context_len=11), tokenizer)
    models = {"base": tiny_model(seed=0), "chat": tiny_model(seed=1)}

    def make(split: Any = "train") -> JointSource:
        plan = store.contexts(split)
        return JointSource({name: LiveSource(model, plan, [SITE], contexts_per_block=4) for name, model in models.items()})

    return make


def test_sites_carry_the_name_of_their_model() -> None:
    source = JointSource({"base": _tensors(seed=0), "chat": _tensors(seed=1)})
    assert source.sites == (BASE, CHAT)
    assert source.widths == {BASE: 7, CHAT: 7}
    assert Site.parse(str(source.sites[1])) == CHAT


def test_a_block_holds_what_each_source_holds() -> None:
    base, chat = _tensors(seed=0), _tensors(seed=1)
    block = JointSource({"base": base, "chat": chat}).block(1)
    assert torch.equal(block.activations[BASE], base.block(1).activations[SITE])
    assert torch.equal(block.activations[CHAT], chat.block(1).activations[SITE])
    assert torch.equal(block.tokens, base.block(1).tokens)
    assert block.index == 1


def test_a_position_counts_only_where_it_counts_in_both() -> None:
    left, right = torch.ones(6, 5, dtype=torch.bool), torch.ones(6, 5, dtype=torch.bool)
    left[0, 1] = right[1, 3] = False
    block = JointSource({"base": _tensors(seed=0, mask=left), "chat": _tensors(seed=1, mask=right)}).block(0)
    assert (~block.mask).nonzero().tolist() == [[0, 1], [1, 3]]


def test_seconds_are_summed_and_the_spec_names_both() -> None:
    base, chat = _tensors(seed=0), _tensors(seed=1)
    base.seconds, chat.seconds = SourceSeconds(1.0, 1.5), SourceSeconds(0.25, 2.0)
    source = JointSource({"base": base, "chat": chat})
    assert source.seconds == SourceSeconds(1.25, 3.5)
    assert source.spec == {"kind": "joint", "sources": {"base": base.spec, "chat": chat.spec}}


def test_other_tokens_are_refused_with_their_place() -> None:
    tokens = torch.arange(30).reshape(6, 5)
    tokens[3, 2] = 99
    source = JointSource({"base": _tensors(seed=0), "chat": _tensors(seed=1, tokens=tokens)})
    source.block(0)
    with pytest.raises(CorpusError, match="tokens differ first at context 1, position 2: 17 against 99"):
        source.block(1)


def test_other_documents_are_refused() -> None:
    documents = torch.arange(6).unsqueeze(1).repeat(1, 5)
    documents[0, 3:] = 7
    source = JointSource({"base": _tensors(seed=0), "chat": _tensors(seed=1, documents=documents)})
    with pytest.raises(CorpusError, match="documents differ first at context 0, position 3"):
        source.block(0)


def test_contexts_of_another_length_are_refused() -> None:
    shorter = TensorSource({SITE: torch.zeros(6, 4, 7)}, contexts_per_block=2)
    with pytest.raises(CorpusError, match=r"\(2, 5\) against \(2, 4\)"):
        JointSource({"base": _tensors(seed=0), "chat": shorter}).block(0)


def test_a_source_that_ends_before_the_other_is_refused() -> None:
    source = JointSource({"base": _tensors(seed=0), "chat": TensorSource({SITE: torch.zeros(4, 5, 7)}, contexts_per_block=2)})
    assert source.has_block(1)
    with pytest.raises(CorpusError, match="no block 2 for chat"):
        source.has_block(2)
    with pytest.raises(CorpusError, match="'base': 3, 'chat': 2"):
        _ = source.n_blocks


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"base": random_source(sites=(SITE,))}, "two models or more, not 1"),
        ({"base": random_source(sites=(CHAT,)), "chat": random_source(sites=(SITE,))}, "names another model"),
    ],
)
def test_a_joint_source_without_two_named_models_is_refused(sources: dict[str, ActivationSource], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        JointSource(sources)


def test_two_models_feed_the_layers_view_with_the_same_bits_each_time(live: Any) -> None:
    source = live()
    request = StreamRequest(view=View(name="layers"), sites=(BASE, CHAT), batch_size=13)
    one, two = (MultiStream(joint, [request], seed=3, epochs=1) for joint in (source, live()))
    steps = list(zip(one, two, strict=True))
    assert steps
    for (left,), (right,) in steps:
        assert left.x.shape == (13, 2, 20)
        assert torch.equal(left.x, right.x)
        assert not torch.equal(left.x[:, 0], left.x[:, 1])  # the models differ


class Stop(Exception):
    """Stands for a kill."""


def _stop_at_7(done: int) -> None:
    if done == 7:
        raise Stop


def test_a_crosscoder_of_two_models_learns_and_resumes_to_the_same_bits(live: Any, tmp_path: Path) -> None:
    config = TrainConfig(
        n_steps=30, batch_size=32, start_tokens=100, lr=0.01, log_every=5, validate_every=10, checkpoint_every=3, checkpoint_at=()
    )

    def run(name: str, *, resume: bool = False, on_step: Any = None) -> Any:
        sae = Crosscoder(Crosscoder.Config(d_in=20, n_latents=53, k=5, n_sites=2))
        jobs = [Job("diff", sae, (BASE, CHAT))]
        callbacks = Callbacks(on_step=on_step)
        return train(live(), jobs, config, folder=tmp_path / name, held_out=live("heldout"), callbacks=callbacks, resume=resume)

    whole = run("whole")
    with pytest.raises(Stop):
        run("stopped", on_step=_stop_at_7)
    resumed = run("stopped", resume=True)
    sae, again = whole.saes["diff"], resumed.saes["diff"]
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in sae.state_dict().items())
    assert whole.best["diff"].value < 0.8  # FVU: 1 is the mean
    assert torch.allclose(sae.relative_norms().sum(1), torch.ones(53))
