"""Effects of latents: an ablation is what a splice with the error term does in a whole forward, whatever the architecture."""

import copy
import functools
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pytest
import torch
from atlas_fakes import FakeBlock, FakeSource
from kept_fakes import kept_of
from torch import Tensor

from monoseme.atlas import Atlas, ScanConfig, StateConfig, Target, open_atlas, scan
from monoseme.atlas.effects import EffectsConfig, measure_effects, measuring, open_effects
from monoseme.atlas.effects._draw import draw_firings
from monoseme.core.errors import ArtifactExistsError, ArtifactMissingError, ConfigError
from monoseme.models import FunctionEdit, LanguageModel, Site
from monoseme.saes import SAE
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.tfa import TFA
from monoseme.saes.topk import TopK
from monoseme.saes.transcoder import Transcoder
from monoseme.splice import Placed
from monoseme.testing.models import tiny_model
from monoseme.testing.subject import subject_of

RESID, MLP = Site("resid_post", 1), Site("mlp_out", 1)
N_CONTEXTS, S = 6, 11


@dataclass
class Scanned:
    """A tiny model, a few contexts of two documents each, and an SAE of it, scanned."""

    model: LanguageModel
    sae: SAE
    sites: tuple[Site, ...]
    atlas: Atlas
    tokens: Tensor = field(repr=False)
    part: str | None = None

    @property
    def target(self) -> Target:
        return Target("it", self.sae, self.sites, part=self.part)

    @functools.cached_property
    def in_float64(self) -> tuple[LanguageModel, SAE]:
        model = LanguageModel.from_modules(copy.deepcopy(self.model._model).double(), self.model.tokenizer)
        return model, copy.deepcopy(self.sae).double()


def build(architecture: type[SAE], d_in: int) -> SAE:
    sizes = {"d_in": d_in, "n_latents": 40 if architecture is TFA else 37, "k": 5, "n_sites": 2, "d_out": d_in}
    known = {each.name for each in fields(architecture.Config)}
    small = architecture.Config(**{name: size for name, size in sizes.items() if name in known})
    return subject_of(architecture, small=small).build()


def scanned(folder: Path, architecture: type[SAE], sites: tuple[Site, ...], part: str | None = None) -> Scanned:
    model = tiny_model("llama")
    sae = build(architecture, model.spec.d_model)
    tokens = torch.randint(3, 60, (N_CONTEXTS, S), generator=torch.Generator().manual_seed(1))
    tokens[:, 0] = 1
    documents = (torch.arange(N_CONTEXTS)[:, None] * 2 + (torch.arange(S) > 6)).clone()
    positions = torch.where(torch.arange(S) > 6, torch.arange(S) - 7, torch.arange(S) - 1).repeat(N_CONTEXTS, 1)
    documents[-1, 8:], positions[-1, 8:] = -1, -1  # the last context ends in padding
    x = model.capture(tokens, sites)
    mask = (tokens != 1) & (documents >= 0)
    blocks = [
        FakeBlock(
            tokens[at], mask[at], documents[at], positions[at], documents[at].clamp_min(0) * 0, {s: x[s][at] for s in sites}
        )
        for at in (slice(0, 3), slice(3, 6))
    ]
    config = ScanConfig(keep=StateConfig(n_top=2, n_sampled=40, n_background=8), n_kept_tokens=50)
    scan(FakeSource(blocks, sites), [Target("it", sae, sites, part=part)], folder, config=config, model=model)
    return Scanned(model, sae, sites, open_atlas(folder), tokens, part)


def twin(it: Scanned, number: int, latent: int, context: int, at: int) -> tuple[Tensor, Tensor]:
    """[V] log-probabilities with and without the latent: a whole forward in float64 with the SAE's own codes."""
    model, sae = it.in_float64
    placed = Placed(sae, it.sites)
    row = it.tokens[context : context + 1]
    real = it.atlas.text.context_starts
    length = int(np.diff(np.append(real, it.atlas.text.n_tokens))[context])
    row = row[:, :length]
    x = model.capture(row, it.sites)
    mask = row != 1
    codes = placed.encode(x, mask)
    codes = codes.with_all(codes.part(it.part))
    dense = codes.dense()
    changed = dense.clone()
    t = int(mask[0, : at + 1].sum()) - 1
    changed[(t, number, latent) if sae.codes_per_site else (t, latent)] = 0
    delta = sae.decode(codes.with_all(changed)) - sae.decode(codes.with_all(dense))
    outputs = placed.outputs
    deltas = delta.unbind(-2) if sae.reads == "layers" else (delta,)

    def edit(site: Site, added: Tensor) -> FunctionEdit:
        return FunctionEdit(site, lambda x, _: x.index_put((mask,), x[mask] + added))

    edits = [edit(site, added) for site, added in zip(outputs, deltas, strict=True)]
    before, after = (model.run(row, edits=which).logits[0, at].log_softmax(-1) for which in ([], edits))
    return before, after


CASES = {
    "topk": (TopK, (RESID,), None),
    "mlp_out": (TopK, (MLP,), None),
    "first": (TopK, (Site("resid_pre", 0),), None),
    "mlsae": (MLSAE, (Site("resid_post", 0), RESID), None),
    "crosscoder": (Crosscoder, (Site("resid_post", 0), RESID), None),
    "transcoder": (Transcoder, (Site("resid_post", 0), MLP), None),
    "tfa": (TFA, (RESID,), "novel"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_ablation_equals_a_whole_forward_in_float64(tmp_path, case):
    it = scanned(tmp_path, *CASES[case])
    folders = measure_effects(
        it.atlas, it.target, it.model, config=EffectsConfig(n_per_decile=1, contexts_at_once=2, runs_at_once=7)
    )
    assert len(folders) == (2 if case == "mlsae" else 1)
    for number, key in enumerate(it.target.keys):
        latents = it.atlas.latents(key)
        kept, found = latents.kept_codes(), open_effects(it.atlas.path, latents, it.atlas.text)
        busiest = np.argsort(-np.diff(kept.latent_offsets))[:1].tolist()
        for latent in busiest:
            effect = found.of(latent)
            moved = []
            for ablation in effect.ablations:
                context, second = divmod(ablation.document, 2)
                at = ablation.position + (7 if second else 1)
                before, after = twin(it, number, latent, context, at)
                moved.append(after - before)
                # float32 against float64 through three random blocks
                assert ablation.next_token == it.tokens[context, at + 1]
                assert ablation.loss == pytest.approx(-float(before[ablation.next_token]), abs=2e-4)
                assert ablation.loss_change == pytest.approx(float((before - after)[ablation.next_token]), abs=2e-4)
            mean = torch.stack(moved).mean(0)
            assert effect.n == len(moved) > 2
            assert [change.log_p for change in effect.risen] == pytest.approx(mean.topk(10).values.tolist(), abs=2e-4)
            assert [change.log_p for change in effect.fallen] == pytest.approx(
                mean.topk(10, largest=False).values.tolist(), abs=2e-4
            )
            assert max(abs(change.log_p) for change in effect.risen) > 1e-3, "it does something"
            changes = np.array([ablation.loss_change for ablation in effect.ablations])
            assert effect.loss_change == pytest.approx(changes.mean())
            assert effect.standard_error == pytest.approx(changes.std(ddof=1) / np.sqrt(len(changes)))
            of_decile = {ablation.decile: ablation.loss_change for ablation in effect.ablations}
            assert [effect.loss_change_by_decile[i] for i in sorted(of_decile)] == pytest.approx(
                [of_decile[i] for i in sorted(of_decile)]
            )


def test_firings_are_drawn_from_each_tenth_and_only_where_a_token_follows():
    dense = np.zeros((201, 3), dtype=np.float32)
    dense[:, 1] = np.arange(201) / 10
    dense[3, 1] = -5
    has_next = np.arange(201) % 4 > 0
    edges = np.quantile(dense[dense[:, 1] > 0, 1], np.linspace(0, 1, 11)).tolist()
    drawn = draw_firings(kept_of(dense), 1, edges=edges, has_next=has_next, per_decile=3, seed=7)
    assert np.bincount(drawn.decile).tolist() == [3] * 10
    assert has_next[drawn.row].all()
    assert (drawn.value == dense[drawn.row, 1]).all()
    assert (drawn.value > 0).all()
    for value, decile in zip(drawn.value, drawn.decile, strict=True):
        assert edges[decile] <= value <= edges[decile + 1] + 1e-6
    again = draw_firings(kept_of(dense), 1, edges=edges, has_next=has_next, per_decile=2, seed=7)
    assert set(again.row) < set(drawn.row), "a smaller draw is part of a larger one"
    assert len(draw_firings(kept_of(dense), 0, edges=None, has_next=has_next, per_decile=3, seed=7).row) == 0


@pytest.fixture
def it(tmp_path) -> Scanned:
    return scanned(tmp_path, TopK, (RESID,))


def test_killed_between_slices_it_goes_on_and_ends_with_the_same_bits(it, monkeypatch):
    monkeypatch.setattr(measuring, "_MOST_LATENTS", 16)
    monkeypatch.setattr(measuring, "LATENTS_PER_GROUP", 16)
    config = EffectsConfig(n_per_decile=1)
    (folder,) = measure_effects(it.atlas, it.target, it.model, config=config)
    files = [folder / name for name in ("effects.parquet", "ablations.parquet")]
    whole = [file.read_bytes() for file in files]
    for file in (*files, folder / "manifest.json"):
        file.unlink()
    folder.rmdir()
    measure, done = measuring._Work.measure, []

    def killed(work, latents):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(latents)
        return measure(work, latents)

    monkeypatch.setattr(measuring._Work, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        measure_effects(it.atlas, it.target, it.model, config=config)
    seen = []
    monkeypatch.setattr(measuring._Work, "measure", lambda work, latents: (seen.append(latents), measure(work, latents))[1])
    measure_effects(it.atlas, it.target, it.model, config=config)
    assert seen == [list(range(32, 37))]
    assert [file.read_bytes() for file in files] == whole


def test_of_some_latents_only_these_are_told(it):
    measure_effects(it.atlas, it.target, it.model, latents=[5, 3], config=EffectsConfig(n_tokens=2))
    found = open_effects(it.atlas.path, it.atlas.latents("it"), it.atlas.text)
    assert found.latents.tolist() == [3, 5]
    assert found.of(4) is None
    assert found.of(36) is None
    assert len(found.of(3).risen) in (0, 2)


def test_what_cannot_be_measured_is_said(it, tmp_path):
    with pytest.raises(ConfigError, match="no latent 37"):
        measure_effects(it.atlas, it.target, it.model, latents=[37])
    other = tiny_model("llama", seed=1)
    with pytest.raises(ConfigError, match="another model"):
        measure_effects(it.atlas, it.target, other)
    measure_effects(it.atlas, it.target, it.model, latents=[1])
    with pytest.raises(ArtifactExistsError):
        measure_effects(it.atlas, it.target, it.model)


def test_a_latent_without_firings_says_why(it):
    silent = int(np.argmin(np.diff(it.atlas.latents("it").kept_codes().latent_offsets)))
    measure_effects(it.atlas, it.target, it.model, latents=[silent], config=EffectsConfig(n_per_decile=1))
    effect = open_effects(it.atlas.path, it.atlas.latents("it"), it.atlas.text).of(silent)
    if effect.n == 0:
        assert effect.loss_change is None
        assert effect.why_missing
        assert effect.risen == ()


def test_an_atlas_without_kept_codes_is_refused(tmp_path):
    it = scanned(tmp_path / "with", TopK, (RESID,))
    x = it.model.capture(it.tokens, [RESID])
    every = torch.ones_like(it.tokens)
    block = FakeBlock(it.tokens, every > 0, every, torch.arange(S).repeat(N_CONTEXTS, 1), every, x)
    scan(FakeSource([block]), [it.target], tmp_path / "without", config=ScanConfig(n_kept_tokens=0), model=it.model)
    with pytest.raises(ArtifactMissingError, match="no kept codes"):
        measure_effects(open_atlas(tmp_path / "without"), it.target, it.model)
