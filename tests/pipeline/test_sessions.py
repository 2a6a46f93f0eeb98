"""A session on a finished run: latents by name, facts from its atlas, arms that write, values of watched latents."""

import dataclasses
from pathlib import Path

import pytest
import torch

from monoseme.atlas import open_atlas
from monoseme.core.errors import ConfigError, UnknownPluginError
from monoseme.models import LanguageModel, ModelConfig, Sampling, TokenEvent
from monoseme.pipeline import (
    KnownSaes,
    LatentWord,
    Listener,
    RunFolder,
    Session,
    SessionConfig,
    SteeringConfig,
    TokenValues,
    find_saes,
    open_session,
    run_config,
    steer_words,
    watch_words,
)
from monoseme.steering import Strength

TOPK = "topk.resid_post_0"


@pytest.fixture(scope="module")
def model(run: RunFolder) -> LanguageModel:
    return LanguageModel.load(run_config(run).model)


@pytest.fixture(scope="module")
def latent(run: RunFolder) -> int:
    """The one that fires most strongly."""
    found = open_atlas(run.atlas).latents(TOPK).column("max")
    return max((i for i, value in enumerate(found) if value is not None), key=lambda i: found[i])


@pytest.fixture
def opened(run: RunFolder, model: LanguageModel):
    def make(**settings) -> Session:
        sae = settings.pop("sae", (str(run.sae(TOPK)),))
        return open_session(SessionConfig(sae=sae, **settings), model=model)

    return make


def test_words_name_latents_and_strengths() -> None:
    first, second = steer_words(["3=2max,tsae.high@resid_post.0:7=-0.5norm"])
    assert (first.where, first.strength) == (LatentWord(None, 3), Strength(2.0, "max"))
    assert (second.where, second.strength) == (LatentWord("tsae.high@resid_post.0", 7), Strength(-0.5, "norm"))
    assert str(second) == "tsae.high@resid_post.0:7=-0.5norm"
    assert steer_words(["3=2"], unit="raw")[0].strength == Strength(2.0, "raw")
    assert [str(word) for word in watch_words(["3,topk:4", "5"])] == ["3", "topk:4", "5"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("3", "how strongly"),
        ("x=1", "names no latent"),
        (":3=1", "names no latent"),
        ("3=1,3=2", "twice"),
        ("3=fast", "no strength"),
    ],
)
def test_words_that_say_nothing_are_refused(words: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        steer_words([words])


def test_facts_come_from_the_atlas_beside_the_sae(run: RunFolder, model: LanguageModel, latent: int) -> None:
    saes = KnownSaes(find_saes([str(run.sae(TOPK))]), model)
    (placed,) = saes.latents(LatentWord(None, latent))
    facts = saes.facts(placed)
    atlas = open_atlas(run.atlas)
    assert facts.maximum == atlas.latents(TOPK).row(latent)["max"]
    starts = atlas.text.context_starts
    assert starts is not None
    ends = [*starts[1:].tolist(), atlas.text.n_tokens]
    rows = []
    for begin, end in zip(starts.tolist(), ends, strict=True):
        tokens = torch.from_numpy(atlas.text.tokens[begin:end].astype("int64"))[None]
        x = model.run(tokens, capture=[placed.site]).captured[placed.site][0]
        rows.append(x[torch.from_numpy(atlas.text.mask[begin:end].copy())].double().norm(dim=1))
    assert facts.mean_norm == pytest.approx(float(torch.cat(rows).mean()), rel=1e-6)


def test_an_atlas_of_another_sae_tells_nothing(run: RunFolder, model: LanguageModel, latent: int) -> None:
    (found,) = find_saes([str(run.sae(TOPK))])
    other = found._replace(named=found.named._replace(content_hash="sha256:other"))
    saes = KnownSaes([other], model)
    with pytest.warns(UserWarning, match="of another topk"):
        assert saes.facts(saes.latents(LatentWord(None, latent))[0]).maximum is None


def test_latents_are_named_by_their_sae_where_there_are_several(run: RunFolder, model: LanguageModel) -> None:
    saes = KnownSaes(find_saes([str(run.path)]), model)
    assert saes.latents(LatentWord(TOPK, 3))[0].name == f"{TOPK}:3"
    with pytest.raises(ConfigError, match="could be of several SAEs"):
        saes.latents(LatentWord(None, 3))
    with pytest.raises(ConfigError, match="Did you mean"):
        saes.latents(LatentWord("topk.resid_post_1", 3))
    with pytest.raises(ConfigError, match="0 to 36"):
        saes.latents(LatentWord(TOPK, 37))


def test_arms_write_with_the_same_seed_and_watched_latents_are_told(opened, latent: int, model: LanguageModel) -> None:
    session = opened(steer=(f"{latent}=40max",), watch=(str(latent),), compare=True)
    assert list(session.arms) == ["default", "steered"]
    sampling = Sampling(max_new_tokens=6, temperature=1.0, seed=5)
    prompt = session.writer.prompt_ids("the cat sat")
    events: list[TokenEvent] = []
    told: list[TokenValues] = []
    listener = Listener(events.append, told.append)
    written = {
        name: session.writer.write([prompt], sampling, edits=arm.edits, watched=session.watched, listener=listener)[0]
        for name, arm in session.arms.items()
    }
    plain = model.generate([prompt], max_new_tokens=6, temperature=1.0, seed=5)[0]
    assert written["default"].generation == plain
    assert written["steered"].generation.token_ids != plain.token_ids
    name = f"{TOPK}:{latent}"
    ids = [*prompt, *plain.token_ids]
    site = session.watched[0].site
    x = model.capture(torch.tensor([ids]), [site])[site][0]
    codes = session.watched[0].target.sae.encode(x).dense()[:, latent]
    values = written["default"].values[name]
    assert len(values) == len(written["default"].tokens) == len(ids)
    for token, value, expected in zip(ids, values, codes.tolist(), strict=True):
        assert (value is None) == (token in model.special_ids)
        assert value is None or value == pytest.approx(expected, abs=1e-4)
    assert len(events) == sum(len(one.generation.token_ids) for one in written.values())
    assert {(t.place, t.values[name]) for t in told} >= {(i, v) for i, v in enumerate(values) if v is not None}


def test_conditions_say_where_latents_steer(opened, latent: int) -> None:
    sampling = Sampling(max_new_tokens=4)

    def first_logits(**how) -> tuple[int, ...]:
        session = opened(steer=(f"{latent}=60max",), steering=SteeringConfig(**how))
        prompt = session.writer.prompt_ids("the cat sat")
        return tuple(session.writer.write([prompt], sampling, edits=session.arms["steered"].edits)[0].generation.token_ids)

    session = opened()
    plain = session.writer.write([session.writer.prompt_ids("the cat sat")], sampling)[0].generation.token_ids
    assert first_logits(only="generated")[0] == plain[0]  # the prompt alone decides the first token
    assert first_logits(from_position=1000) == tuple(plain)
    assert first_logits()[0] != plain[0]
    assert first_logits(while_fires=(str(latent),)) != first_logits()


def test_the_method_prompt_needs_no_latent(opened) -> None:
    session = opened(
        sae=(), model=ModelConfig(), steering=SteeringConfig(method="prompt", method_config={"instruction": "Be brief. "})
    )
    assert session.arms["steered"].edits == []
    assert session.arms["steered"].prompted("Hello") == "Be brief. Hello"


def test_several_latents_of_several_saes_steer_at_once(opened, run: RunFolder) -> None:
    session = opened(sae=(str(run.path),), steer=(f"{TOPK}:3=1raw,{TOPK}:4=1raw,batchtopk.mlp_out_1:5=2raw",))
    assert [str(edit.site) for edit in session.arms["steered"].edits] == ["resid_post.0", "mlp_out.1"]


def test_what_does_not_go_together_is_refused(opened, run: RunFolder, latent: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="compare goes with steer"):
        opened(compare=True)
    with pytest.raises(ConfigError, match="nothing to steer with"):
        opened(steering=SteeringConfig(only="prompt"))
    with pytest.raises(ConfigError, match="no model is named"):
        opened(sae=())
    with pytest.raises(ConfigError, match="is of no SAE"):
        opened(sae=(), model=ModelConfig(), watch=("3",))
    with pytest.raises(UnknownPluginError):
        SteeringConfig(method="push")
    with pytest.raises(ConfigError, match="once_fired"):
        SteeringConfig(once_fired=True)
    alone = tmp_path / "saes" / TOPK
    alone.parent.mkdir()
    alone.symlink_to(run.sae(TOPK))
    settings = dataclasses.asdict(ModelConfig()) | {"model": run_config(run).model.model}
    with pytest.raises(ConfigError, match="scan it"):
        opened(sae=(str(alone),), model=ModelConfig(**settings), steer=(f"{latent}=2max",))
