"""dictionary_learning's folders: every class against its formula, what runs leave behind, broken files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.interchange import import_saes, read_saes
from monoseme.interchange.dictionary_learning import DictionaryLearning
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken

D, F, K = 7, 23, 3
SIZES = (4, 8, 11)
State = dict[str, torch.Tensor]
Codes = Callable[[State, torch.Tensor], torch.Tensor]
READ = DictionaryLearning.Config


def _linear(state: State, x: torch.Tensor, b_dec: str) -> torch.Tensor:
    return (x - state[b_dec]) @ state["encoder.weight"].t() + state["encoder.bias"]


def _gated(state: State, x: torch.Tensor) -> torch.Tensor:
    u = (x - state["decoder_bias"]) @ state["encoder.weight"].t()
    return ((u + state["gate_bias"]) > 0) * (state["r_mag"].exp() * u + state["mag_bias"]).relu()


def _jump(state: State, x: torch.Tensor) -> torch.Tensor:
    pre = x @ state["W_enc"] + state["b_enc"]
    return (pre * (pre > state["threshold"])).relu()


def _topk(state: State, x: torch.Tensor) -> torch.Tensor:
    acts = _linear(state, x, "b_dec").relu()
    values, places = acts.topk(int(state["k"]))
    return torch.zeros_like(acts).scatter(-1, places, values)


def _above(state: State, x: torch.Tensor) -> torch.Tensor:
    pre = (x - state["b_dec"]) @ state["W_enc"] + state["b_enc"] if "W_enc" in state else _linear(state, x, "b_dec")
    return pre.relu() * (pre.relu() > state["threshold"])


def _new(state: State, x: torch.Tensor) -> torch.Tensor:
    return (x @ state["encoder.weight"].t() + state["encoder.bias"]).relu()


FORMULAS: dict[str, Codes] = {
    "AutoEncoder": lambda state, x: _linear(state, x, "bias").relu(),
    "AutoEncoderNew": _new,
    "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _jump,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _above,
    "MatryoshkaBatchTopKSAE": _above,
}
"""What each class computes: `dictionary.py` and `trainers/` of the tool."""
_BIAS = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias", "GatedAutoEncoder": "decoder_bias"}


def _decoded(name: str, state: State, codes: torch.Tensor) -> torch.Tensor:
    rows = state["W_dec"] if "W_dec" in state else state["decoder.weight"].t()
    return codes @ rows + state[_BIAS.get(name, "b_dec")]


def state_of(name: str) -> State:
    """A random state dict of a class; thresholds lie among the activations."""
    make = torch.Generator().manual_seed(5)
    linear = {"encoder.weight": (F, D), "decoder.weight": (D, F), "encoder.bias": (F,)}
    plain = {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, D), "b_dec": (D,)}
    shapes: dict[str, Any] = plain if name in ("JumpReluAutoEncoder", "MatryoshkaBatchTopKSAE") else dict(linear)
    if name == "GatedAutoEncoder":
        shapes = {"encoder.weight": (F, D), "decoder.weight": (D, F), "r_mag": (F,), "gate_bias": (F,), "mag_bias": (F,)}
    if "W_enc" not in shapes:
        shapes[_BIAS.get(name, "b_dec")] = (D,)
    state = {key: torch.randn(*shape, generator=make) for key, shape in shapes.items()}
    if name == "JumpReluAutoEncoder":
        state["threshold"] = torch.randn(F, generator=make)
    if "TopK" in name:
        state |= {"k": torch.tensor(K, dtype=torch.int32), "threshold": torch.tensor(1.5)}
    if name == "MatryoshkaBatchTopKSAE":
        state["group_sizes"] = torch.tensor(SIZES)
    return state


def trainer_of(name: str, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"dict_class": name, "activation_dim": D, "dict_size": F, "lr": 3e-4, "steps": 1000, "seed": 0}
    return {
        **settings,
        "layer": 8,
        "lm_name": "EleutherAI/pythia-160m-deduped",
        "submodule_name": "resid_post_layer_8",
        **more,
    }


def give(folder: Path, name: str, state: Any = None, **trainer: Any) -> Path:
    """A trainer's folder as the tool leaves it."""
    folder.mkdir(parents=True)
    torch.save(state_of(name) if state is None else state, folder / "ae.pt")
    config = {"trainer": trainer_of(name, **trainer), "buffer": {"d_submodule": D, "io": "out", "ctx_len": 128}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(13, D, generator=torch.Generator().manual_seed(8)) * 2


@pytest.mark.parametrize("name", FORMULAS)
def test_codes_and_reconstructions_are_those_of_the_class(name: str, tmp_path: Path, x: torch.Tensor) -> None:
    folder = give(tmp_path / "trainer_0", name)
    check_recognised(folder, "dictionary_learning")
    (read,) = read_saes(folder)
    codes = FORMULAS[name](state_of(name), x)
    assert 0 < int((codes > 0).sum()) < codes.numel()
    assert_same(read.found.sae.encode(x).dense(), codes)
    assert_same(read.found.sae(x), _decoded(name, state_of(name), codes))
    assert (str(read.sites), read.found.model) == ("(Site.parse('resid_post.8'),)", "EleutherAI/pythia-160m-deduped")
    assert read.found.facts["trainer"]["steps"] == 1000


def test_groups_are_parts_of_the_code(tmp_path: Path, x: torch.Tensor) -> None:
    (read,) = read_saes(give(tmp_path / "trainer_0", "MatryoshkaBatchTopKSAE"))
    sae = read.found.sae
    assert sae.config.groups == {"group_0": 4, "group_1": 8, "group_2": 11}
    theirs = _above(state_of("MatryoshkaBatchTopKSAE"), x)
    assert_same(sae.encode(x).dense("group_1")[:, 4:12], theirs[:, 4:12])


def test_the_identity_gives_activations_back(tmp_path: Path, x: torch.Tensor) -> None:
    (read,) = read_saes(give(tmp_path / "trainer_0", "IdentityDict", {}))
    assert torch.equal(read.found.sae(x), x)


def test_topk_goes_by_its_threshold_where_that_is_asked_for(tmp_path: Path, x: torch.Tensor) -> None:
    folder = give(tmp_path / "trainer_0", "AutoEncoderTopK")
    (read,) = read_saes(folder, config=READ(use_threshold=True))
    assert_same(read.found.sae.encode(x).dense(), _above(state_of("AutoEncoderTopK"), x))
    with pytest.raises(ConfigError, match="--use_threshold is for AutoEncoderTopK"):
        read_saes(give(tmp_path / "trainer_1", "BatchTopKSAE"), config=READ(use_threshold=True))


@pytest.mark.parametrize("name", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
def test_a_threshold_that_was_never_set_keeps_what_is_positive(name: str, tmp_path: Path, x: torch.Tensor) -> None:
    state = {**state_of(name), "threshold": torch.tensor(-1.0)}
    (read,) = read_saes(give(tmp_path / "trainer_0", name, state))
    assert_same(read.found.sae.encode(x).dense(), _above(state, x))
    assert any("never set" in note for note in read.found.notes)


def test_jumprelu_takes_b_dec_off_only_when_told(tmp_path: Path, x: torch.Tensor) -> None:
    folder, state = give(tmp_path / "trainer_0", "JumpReluAutoEncoder"), state_of("JumpReluAutoEncoder")
    (read,) = read_saes(folder, config=READ(apply_b_dec_to_input=True))
    assert_same(read.found.sae.encode(x).dense(), _jump(state, x - state["b_dec"]))
    (plain,) = read_saes(folder)
    assert any("--apply_b_dec_to_input" in note for note in plain.found.notes)


@pytest.mark.parametrize("name", ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "BatchTopKSAE", "JumpReluAutoEncoder"])
def test_what_a_run_that_was_cut_off_left_works_on_divided_activations(name: str, tmp_path: Path, x: torch.Tensor) -> None:
    state, norm = state_of(name), 7.25
    left = {"step": 90, "ae": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}}
    backup = {**left, "config": trainer_of(name), "norm_factor": norm}
    for folder in (tmp_path / "told", tmp_path / "alone"):
        give(folder, name, backup)
    (tmp_path / "alone" / "config.json").unlink()
    for folder in (tmp_path / "told", tmp_path / "alone"):
        check_recognised(folder, "dictionary_learning")
        (read,) = read_saes(folder)
        codes = FORMULAS[name](state, x / norm)
        assert_same(read.found.sae.encode(x).dense() * read.found.code_factor, codes)
        assert_same(read.found.sae(x), _decoded(name, state, codes) * norm)
        assert_same(read.found.sae.export()(x), read.found.sae(x), tolerance=1e-6)
        assert any("divided by 7.25" in note for note in read.found.notes)


def test_a_run_holds_trainers_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number, name in ((10, "AutoEncoder"), (2, "GatedAutoEncoder")):
        give(tmp_path / "resid_post_layer_8" / f"trainer_{number}", name)
    check_recognised(tmp_path / "resid_post_layer_8", "dictionary_learning")
    assert [one.found.name for one in read_saes(tmp_path / "resid_post_layer_8")] == ["trainer_2", "trainer_10"]
    assert [one.found.name for one in read_saes(tmp_path)] == ["resid_post_layer_8_trainer_2", "resid_post_layer_8_trainer_10"]
    assert len(import_saes(tmp_path, tmp_path / "out").paths) == 2


def test_a_checkpoint_finds_the_config_one_level_up(tmp_path: Path, x: torch.Tensor) -> None:
    folder = give(tmp_path / "trainer_0", "AutoEncoderTopK")
    (folder / "checkpoints").mkdir()
    other = {**state_of("AutoEncoderTopK"), "b_dec": torch.ones(D)}
    torch.save({f"_orig_mod.{name}": value for name, value in other.items()}, folder / "checkpoints" / "ae_1000.pt")
    check_recognised(folder / "checkpoints" / "ae_1000.pt", "dictionary_learning")
    (read,) = read_saes(folder / "checkpoints" / "ae_1000.pt")
    assert read.found.name == "ae_1000"
    assert_same(read.found.sae.encode(x).dense(), _topk(other, x))
    assert read_saes(folder / "ae.pt")[0].found.name == "trainer_0"


@pytest.mark.parametrize("name", FORMULAS)
def test_without_a_config_the_class_is_known_by_its_tensors(name: str, tmp_path: Path, x: torch.Tensor) -> None:
    folder = give(tmp_path / "here" / "trainer_0", name)
    (folder / "config.json").unlink()
    check_recognised(folder, "dictionary_learning")
    if name in ("AutoEncoderTopK", "BatchTopKSAE"):
        with pytest.raises(ConfigError, match="--dict_class BatchTopKSAE"):
            read_saes(folder)
    told: Any = name
    (read,) = read_saes(folder, config=READ(dict_class=told) if "TopK" in name else READ())
    assert_same(read.found.sae.encode(x).dense(), FORMULAS[name](state_of(name), x))
    with pytest.raises(SiteError, match="--site"):
        import_saes(folder, tmp_path / "out", config=READ(dict_class=told))


def test_older_topk_files_have_neither_k_nor_a_threshold(tmp_path: Path) -> None:
    state = {key: value for key, value in state_of("AutoEncoderTopK").items() if key not in ("k", "threshold")}
    assert read_saes(give(tmp_path / "a", "AutoEncoderTopK", state, k=5))[0].found.sae.config.k == 5
    with pytest.raises(ConfigError, match="--k 64"):
        read_saes(give(tmp_path / "b", "AutoEncoderTopK", state))
    assert read_saes(tmp_path / "b", config=READ(k=2))[0].found.sae.config.k == 2


@pytest.mark.parametrize(
    ("trainer", "io", "site"),
    [
        ({"submodule_name": "resid_post_layer_8"}, "out", "resid_post.8"),
        ({"submodule_name": "resid_pre_layer_3"}, "in", "resid_pre.3"),
        ({"submodule_name": "resid_out_layer3"}, "out", "resid_post.3"),
        ({"submodule_name": "mlp_layer_2"}, "out", "mlp_out.2"),
        ({"submodule_name": "mlp_layer_2"}, "in", "mlp_in.2"),
        ({"submodule_name": "attn_out_layer_2"}, "out", "attn_out.2"),
        ({"submodule_name": "blocks.4.hook_mlp_out"}, "out", "mlp_out.4"),
        ({"submodule_name": "blocks.4.resid_post"}, "out", "resid_post.4"),
        ({"submodule_name": "gpt_neox.layers.5"}, "out", "resid_post.5"),
        ({"submodule_name": "model.layers.5"}, "in", "resid_pre.5"),
        ({"submodule_name": "model.layers.5.self_attn"}, "in", "attn_in.5"),
        ({"submodule_name": None}, "out", None),
        ({"submodule_name": "something else"}, "out", None),
    ],
)
def test_the_site_is_read_from_the_spellings_in_use(trainer: dict[str, Any], io: str, site: str | None, tmp_path: Path) -> None:
    folder = give(tmp_path / "trainer_0", "AutoEncoder", **trainer)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "buffer": {"io": io}}))
    (read,) = read_saes(folder)
    assert read.found.sae.config.sites == (None if site is None else (site,))
    assert any("--site resid_post.8" in note for note in read.found.notes) == (site is None)
    assert read_saes(folder, config=READ(site="mlp_out.0"))[0].found.sae.config.sites == ("mlp_out.0",)


def test_a_transcoder_and_classes_of_others_are_refused(tmp_path: Path) -> None:
    folder = give(tmp_path / "trainer_0", "AutoEncoder")
    (folder / "config.json").write_text(json.dumps({"trainer": trainer_of("AutoEncoder"), "buffer": {"io": "in_and_out"}}))
    with pytest.raises(ForeignError, match="transcoder"):
        read_saes(folder)
    with pytest.raises(ConfigError, match=r"(?s)SparseThing.*Known: AutoEncoder"):
        read_saes(give(tmp_path / "trainer_1", "SparseThing", {}))


@pytest.mark.parametrize("value", [0, -4, F + 1, "many"])
def test_a_k_that_cannot_be_is_refused(value: Any, tmp_path: Path) -> None:
    state = {key: tensor for key, tensor in state_of("AutoEncoderTopK").items() if key != "k"}
    with pytest.raises(ForeignError, match="k"):
        read_saes(give(tmp_path / "trainer_0", "AutoEncoderTopK", state, k=value))


def test_groups_that_do_not_make_up_the_latents_are_refused(tmp_path: Path) -> None:
    state = {**state_of("MatryoshkaBatchTopKSAE"), "group_sizes": torch.tensor([4, 8])}
    with pytest.raises(ForeignError, match="do not make up 23"):
        read_saes(give(tmp_path / "trainer_0", "MatryoshkaBatchTopKSAE", state))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    folder = give(tmp_path / "given", "BatchTopKSAE")
    check_refuses_broken(folder, tmp_path, format="dictionary_learning", config=READ(site="resid_post.8"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["AutoEncoder", "AutoEncoderNew", "GatedAutoEncoder", "AutoEncoderTopK", "MatryoshkaBatchTopKSAE"]
)
def test_broken_files_of_the_other_classes_are_refused(name: str, tmp_path: Path) -> None:
    folder, told = give(tmp_path / "given", name), READ(site="resid_post.8")
    optional = () if name == "AutoEncoderTopK" else ("config.json",)
    check_refuses_broken(folder, tmp_path, format="dictionary_learning", config=told, optional=optional)


@pytest.mark.slow
def test_broken_files_of_a_run_that_was_cut_off_are_refused(tmp_path: Path) -> None:
    left = {"step": 90, "ae": state_of("BatchTopKSAE"), "optimizer": {}, "config": {}, "norm_factor": 3.0}
    folder = give(tmp_path / "given", "BatchTopKSAE", left)
    check_refuses_broken(folder, tmp_path, format="dictionary_learning", config=READ(site="resid_post.8"))


@pytest.mark.parametrize("norm", [0.0, -2.0, float("nan"), "x"])
def test_a_norm_factor_that_cannot_be_is_refused(norm: Any, tmp_path: Path) -> None:
    left = {"step": 90, "ae": state_of("BatchTopKSAE"), "config": {}, "norm_factor": norm}
    with pytest.raises(ForeignError, match="norm_factor"):
        read_saes(give(tmp_path / "trainer_0", "BatchTopKSAE", left))
