"""SAELens' folders, written here in their layout: against its formulas, written out; older configs; broken files; round trips."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.interchange import ExportSource, export_sae, import_saes, read_saes
from monoseme.interchange.saelens import SAELens
from monoseme.models import Site
from monoseme.saes import SAE, NormaliseConfig, build
from monoseme.saes.clt import CLT
from monoseme.saes.crosscoder import Crosscoder
from monoseme.saes.matching_pursuit import MatchingPursuit
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.normalized_topk import NormalizedTopK
from monoseme.saes.relu import ReLU
from monoseme.saes.tfa import TFA
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK
from monoseme.saes.transcoder import Transcoder
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken, check_round_trip

D, F, K = 7, 24, 3
State = dict[str, torch.Tensor]
VERSION_6 = {
    "sae_lens_version": "6.54.12",
    "hook_name": "blocks.4.hook_resid_pre",
    "model_name": "gemma-2-2b",
    "prepend_bos": True,
}


def _state(*names: str, seed: int = 3) -> State:
    make = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_dec": (D,)} | dict.fromkeys(names, (F,))
    state = {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}
    return {name: value.abs() if "threshold" in name else value for name, value in state.items()}


def _write(folder: Path, state: State, *, metadata: dict[str, Any] | None = VERSION_6, **settings: Any) -> Path:
    """A folder of version 6, or of an older one where `metadata` is None."""
    folder.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "sae_weights.safetensors")
    content = {"d_in": D, "d_sae": F, "dtype": "float32", "device": "cuda:3", **settings}
    (folder / "cfg.json").write_text(json.dumps(content | ({} if metadata is None else {"metadata": metadata})))
    return folder


def _x() -> torch.Tensor:
    return torch.randn(11, D, generator=torch.Generator().manual_seed(1)) * 3 + 1


def _relu(state: State, x: torch.Tensor) -> torch.Tensor:
    return (x @ state["W_enc"] + state["b_enc"]).relu()


def _topk(state: State, x: torch.Tensor) -> torch.Tensor:
    values, places = (x @ state["W_enc"] + state["b_enc"]).topk(K)
    return torch.zeros(len(x), F).scatter(1, places, values.relu())


def _abstopk(state: State, x: torch.Tensor) -> torch.Tensor:
    pre = x @ state["W_enc"] + state["b_enc"]
    places = pre.abs().topk(K).indices
    return torch.zeros_like(pre).scatter(1, places, pre.gather(1, places))


def _jumprelu(state: State, x: torch.Tensor) -> torch.Tensor:
    pre = x @ state["W_enc"] + state["b_enc"]
    return pre.relu() * (pre > state["threshold"])


def _gated(state: State, x: torch.Tensor) -> torch.Tensor:
    gate = x @ state["W_enc"] + state["b_gate"] > 0
    return gate * (x @ (state["W_enc"] * state["r_mag"].exp()) + state["b_mag"]).relu()


ENCODERS: dict[str, tuple[Callable[[State, torch.Tensor], torch.Tensor], tuple[str, ...]]] = {
    "standard": (_relu, ("b_enc",)),
    "topk": (_topk, ("b_enc",)),
    "abstopk": (_abstopk, ("b_enc",)),
    "jumprelu": (_jumprelu, ("b_enc", "threshold")),
    "gated": (_gated, ("b_gate", "b_mag", "r_mag")),
}


def _theirs(
    encode: Callable[[State, torch.Tensor], torch.Tensor], state: State, x: torch.Tensor, *, centred: bool, normalise: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes and reconstructions as SAELens computes them (`SAE.process_sae_in`, `decode`)."""
    offset, scale = torch.zeros(len(x), 1), torch.ones(len(x), 1)
    if normalise == "layer_norm":
        offset, scale = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        x = (x - offset) / (scale + 1e-5)
    elif normalise == "constant_norm_rescale":
        scale = x.norm(dim=-1, keepdim=True) / D**0.5
        x = x / scale
    elif normalise == "expected_average_only_in":
        scale = torch.full_like(scale, 1 / 0.27)
        x = x * 0.27
    codes = encode(state, x - state["b_dec"] * centred)
    return codes, (codes @ state["W_dec"] + state["b_dec"]) * scale + offset


NORMALISATIONS = ("none", "layer_norm", "constant_norm_rescale", "expected_average_only_in")


@pytest.mark.parametrize(
    ("architecture", "normalise", "centred"),
    [(name, kind, (i + j) % 2 == 0) for i, name in enumerate(ENCODERS) for j, kind in enumerate(NORMALISATIONS)],
)
def test_codes_and_reconstructions_are_theirs(architecture: str, normalise: str, centred: bool, tmp_path: Path) -> None:
    encode, names = ENCODERS[architecture]
    state = _state(*names)
    settings = {"architecture": architecture, "apply_b_dec_to_input": centred, "normalize_activations": normalise}
    folder = _write(tmp_path / "sae", state, **settings, **({"k": K} if "topk" in architecture else {}))
    (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": 0.27, "has_whitening": False}))
    (read,) = read_saes(folder)
    codes, x_hat = _theirs(encode, state, _x(), centred=centred, normalise=normalise)
    assert_same(read.found.sae.encode(_x()).dense() * read.found.code_factor, codes)
    assert_same(read.found.sae(_x()), x_hat, tolerance=2e-5 if normalise == "layer_norm" else 1e-5)
    assert read.found.code_factor == (0.27 if normalise == "expected_average_only_in" else 1.0)
    told = (read.sites, read.found.model, read.found.name)
    assert told == ((Site("resid_pre", 4),), "google/gemma-2-2b", "sae")


def test_norms_that_weigh_activations_are_folded_and_said(tmp_path: Path) -> None:
    state = _state("b_enc")
    settings = {"k": K, "rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": False}
    (read,) = read_saes(_write(tmp_path / "sae", state, architecture="topk", **settings))
    norms = state["W_dec"].norm(dim=1)
    weighed = {"W_enc": state["W_enc"] * norms, "b_enc": state["b_enc"] * norms}
    codes = _topk(weighed, _x())
    assert_same(read.found.sae.encode(_x()).dense(), codes)
    assert_same(read.found.sae(_x()), codes / norms @ state["W_dec"] + state["b_dec"])
    assert any("norms of decoder rows" in note for note in read.found.notes)


@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_a_folder_of_a_run_has_one_threshold_for_all(architecture: str, tmp_path: Path) -> None:
    state = {**_state("b_enc"), "topk_threshold": torch.tensor(2.0, dtype=torch.float64)}
    settings: dict[str, Any] = {"k": 3.5, "rescale_acts_by_decoder_norm": False, "matryoshka_widths": [5, 11, F]}
    (read,) = read_saes(_write(tmp_path / "sae", state, architecture=architecture, **settings))
    codes = _jumprelu({**state, "threshold": torch.full((F,), 2.0)}, _x() - state["b_dec"])
    found = read.found.sae.encode(_x())
    assert_same(found.dense(), codes)
    if architecture == "matryoshka_batchtopk":
        assert isinstance(read.found.sae, Thresholded)
        assert read.found.sae.config.group_sizes == (5, 6, F - 11)  # widths add up in their file
        assert_same(found.dense("group_1")[:, 5:11], codes[:, 5:11])


def test_thresholds_may_be_logarithms(tmp_path: Path) -> None:
    state = _state("b_enc", "threshold")
    logs = {**{name: state[name] for name in ("W_enc", "W_dec", "b_enc", "b_dec")}, "log_threshold": state["threshold"].log()}
    (read,) = read_saes(_write(tmp_path / "sae", logs, architecture="jumprelu"))
    assert_same(read.found.sae.encode(_x()).dense(), _jumprelu(state, _x() - state["b_dec"]))


def test_whitening_is_put_into_the_weights(tmp_path: Path) -> None:
    state, make = _state("b_enc"), torch.Generator().manual_seed(8)
    mean, matrix = torch.randn(D, generator=make), torch.randn(D, D, generator=make, dtype=torch.float64) + 3 * torch.eye(D)
    for centred in (True, False):
        settings = {"normalize_activations": "covariance_whitening", "apply_b_dec_to_input": centred}
        folder = _write(tmp_path / f"sae{centred}", state, architecture="standard", **settings)
        table = {"mean": mean.double(), "matrix": matrix, "inverse_matrix": matrix.inverse().contiguous()}
        save_file(table, folder / "activation_whitening.safetensors")
        (read,) = read_saes(folder)
        z = ((_x().double() - mean) @ matrix).float()
        codes = _relu(state, z - state["b_dec"] * centred)
        x_hat = (codes @ state["W_dec"] + state["b_dec"]).double() @ matrix.inverse() + mean
        assert_same(read.found.sae.encode(_x()).dense(), codes)
        assert_same(read.found.sae(_x()), x_hat.float())


@pytest.mark.parametrize("architecture", ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"])
def test_transcoders_read_one_place_and_write_another(architecture: str, tmp_path: Path) -> None:
    state = _state("b_enc", "threshold")
    state["W_skip"] = torch.randn(D, D, generator=torch.Generator().manual_seed(2))
    names = {"hook_name": "blocks.4.hook_resid_pre", "hook_name_out": "blocks.4.hook_mlp_out", "sae_lens_version": "6.0.0"}
    settings = {"d_out": D, "apply_b_dec_to_input": False}
    (read,) = read_saes(_write(tmp_path / "sae", state, metadata=names, architecture=architecture, **settings))
    codes = (_jumprelu if "jumprelu" in architecture else _relu)(state, _x())
    y_hat = codes @ state["W_dec"] + state["b_dec"] + (_x() @ state["W_skip"].t() if "skip" in architecture else 0)
    assert_same(read.found.sae.encode(_x()).dense(), codes)
    assert_same(read.found.sae(_x()), y_hat)
    assert read.sites == (Site("resid_pre", 4), Site("mlp_out", 4))


def test_a_transcoder_to_another_width_is_refused(tmp_path: Path) -> None:
    state = _state("b_enc") | {"W_dec": torch.randn(F, 5), "b_dec": torch.randn(5)}
    folder = _write(tmp_path / "sae", state, architecture="transcoder", d_out=5, apply_b_dec_to_input=False)
    with pytest.raises(ForeignError, match="D=7 and writes D=5"):
        read_saes(folder)


def test_matching_pursuit_is_theirs(tmp_path: Path) -> None:
    state = {name: _state()[name] for name in ("W_dec", "b_dec")}
    state["W_dec"] = torch.nn.functional.normalize(state["W_dec"].abs(), dim=1)  # so that some residuals have no positive product
    (read,) = read_saes(
        _write(tmp_path / "sae", state, architecture="matching_pursuit", residual_threshold=1.5, max_iterations=5)
    )
    rows: list[torch.Tensor] = []
    for residual in _x() - state["b_dec"]:  # `_encode_matching_pursuit`, a row at a time
        code, support = torch.zeros(F), torch.zeros(F, dtype=torch.bool)
        for _ in range(5):
            best = int((state["W_dec"] @ residual).argmax())
            value = (state["W_dec"][best] @ residual).relu()
            code[best] += value
            residual = residual - value * state["W_dec"][best]
            if torch.equal(code != 0, support) or residual.norm() < 1.5:
                break
            support = code != 0
        rows.append(code)
    assert_same(read.found.sae.encode(_x()).dense(), torch.stack(rows))
    assert_same(read.found.sae(_x()), torch.stack(rows) @ state["W_dec"] + state["b_dec"])


# -- configs of older versions ---------------------------------------------------------------------------------------

OLD = {"hook_point": "blocks.2.hook_mlp_out", "hook_point_head_index": None, "model_name": "gpt2-small", "context_size": 64}


def test_an_older_config_is_read_with_its_defaults(tmp_path: Path) -> None:
    state = _state("b_enc") | {"scaling_factor": torch.ones(F)}
    folder = _write(tmp_path / "sae", state, metadata=None, normalize_activations=False, activation_fn_str="relu", **OLD)
    save_file({"sparsity": torch.full((F,), -1.0).index_fill(0, torch.tensor([2, 5]), -10.0)}, folder / "sparsity.safetensors")
    (read,) = read_saes(folder)
    assert_same(read.found.sae.encode(_x()).dense(), _relu(state, _x() - state["b_dec"]))
    assert (read.sites, read.found.model) == ((Site("mlp_out", 2),), "gpt2")
    facts = read.found.facts
    assert (facts["context_size"], facts["l0_in_training"], facts["never_active_in_training"]) == (64, 2.2, 2)
    import_saes(folder, tmp_path / "out")


def test_an_older_topk_is_one_by_its_activation(tmp_path: Path) -> None:
    state = _state("b_enc")
    settings = {"architecture": "standard", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}
    (read,) = read_saes(_write(tmp_path / "sae", state, metadata=None, apply_b_dec_to_input=False, **settings, **OLD))
    assert_same(read.found.sae.encode(_x()).dense(), _topk(state, _x()))


def test_factors_from_fine_tuning_are_put_into_the_decoder(tmp_path: Path) -> None:
    state = _state("b_enc", "scaling_factor")
    (read,) = read_saes(_write(tmp_path / "sae", state, metadata=None, finetuning_scaling_factor=True, **OLD))
    codes = _relu(state, _x() - state["b_dec"])
    assert_same(read.found.sae.encode(_x()).dense(), codes)
    assert_same(read.found.sae(_x()), codes * state["scaling_factor"] @ state["W_dec"] + state["b_dec"])
    with pytest.raises(ForeignError, match="scaling_factor is not 1"):
        read_saes(_write(tmp_path / "not", state, metadata=None, **OLD))


def test_a_factor_that_no_file_says_is_asked_for_by_its_flag(tmp_path: Path) -> None:
    state = _state("b_enc")
    folder = _write(tmp_path / "sae", state, metadata=None, normalize_activations=True, **OLD)
    with pytest.raises(ConfigError, match=r"--norm_scaling_factor 0\.27"):
        read_saes(folder)
    (read,) = read_saes(folder, config=SAELens.Config(norm_scaling_factor=0.5))
    assert_same(read.found.sae.encode(_x()).dense() * 0.5, _relu(state, 0.5 * _x() - state["b_dec"]))
    with pytest.raises(ConfigError, match="Leave it out"):
        read_saes(_write(tmp_path / "none", state, **OLD), config=SAELens.Config(norm_scaling_factor=0.5))


# -- folders, names, places ------------------------------------------------------------------------------------------


def test_a_folder_of_folders_holds_as_many_saes(tmp_path: Path) -> None:
    for name in ("layer_1/width 8", "layer_2/width_8"):
        _write(tmp_path / "all" / name, _state("b_enc"))
    check_recognised(tmp_path / "all", "saelens")
    assert [one.found.name for one in read_saes(tmp_path / "all")] == ["layer_1_width_8", "layer_2_width_8"]
    assert len(read_saes(tmp_path / "all" / "layer_1")) == 1
    check_recognised(tmp_path / "all" / "layer_2" / "width_8" / "cfg.json", "saelens")
    assert not SAELens().recognises(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"hook_name": "blocks.3.ln2.hook_normalized"}, r"name of no site here.*--site"),
        ({"hook_name": "blocks.3.attn.hook_z", "hook_head_index": 4}, r"one head of blocks\.3\.attn\.hook_z"),
    ],
)
def test_a_hook_that_is_no_site_of_ours_is_said(names: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = _write(tmp_path / "sae", _state("b_enc"), metadata={"sae_lens_version": "6.1.0", **names})
    (read,) = read_saes(folder)
    assert read.sites is None
    assert any(re.search(said, note) for note in read.found.notes)
    with pytest.raises(SiteError, match=r"--site"):
        import_saes(folder, tmp_path / "out")
    (read,) = read_saes(folder, config=SAELens.Config(site="mlp_in.3"))
    assert read.sites == (Site("mlp_in", 3),)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "lista"}, 'no architecture "lista"'),
        ({"activation_fn": "tanh-relu"}, "relu and topk can be read"),
        ({"normalize_activations": "by_hand"}, "normalize_activations is 'by_hand'"),
        ({"d_sae": 24.5}, "whole number"),
        ({"apply_b_dec_to_input": "yes"}, "true or false"),
        ({"architecture": "topk", "k": 99}, "from 1 to 24"),
        ({"architecture": "matryoshka_batchtopk", "matryoshka_widths": [9, 5]}, "larger than the one before"),
        ({"architecture": "temporal", "n_heads": 5}, "cannot be divided"),
        ({"normalize_activations": "covariance_whitening"}, "activation_whitening.safetensors"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    state = {**_state("b_enc"), "topk_threshold": torch.tensor(1.0)}
    with pytest.raises(ForeignError, match=said):
        read_saes(_write(tmp_path / "sae", state, **settings))


def test_broken_files_are_refused(tmp_path: Path) -> None:
    new = _write(tmp_path / "new", _state("b_enc", "threshold"), architecture="jumprelu")
    check_refuses_broken(new, tmp_path / "a", format="saelens", at_least=45)


@pytest.mark.slow
def test_broken_files_of_an_older_version_are_refused(tmp_path: Path) -> None:
    old = _write(tmp_path / "old", _state("b_enc"), metadata=None, normalize_activations=False, **OLD)
    save_file({"sparsity": torch.full((F,), -1.0)}, old / "sparsity.safetensors")
    check_refuses_broken(old, tmp_path / "b", format="saelens", optional=("sparsity.safetensors",), at_least=45)


# -- export ----------------------------------------------------------------------------------------------------------

_SIZES: dict[str, Any] = {"d_in": D, "n_latents": F}
_RAW: dict[str, Any] = {**_SIZES, "normalise": NormaliseConfig(kind="none")}


def _filled(config: SAE.Config) -> SAE:
    sae, make = build(config), torch.Generator().manual_seed(5)
    for name, value in [*sae.named_parameters(), *sae.named_buffers()]:
        if name in ("b_enc", "b_dec", "centre", "W_skip"):
            value.data.copy_(torch.randn(value.shape, generator=make))
        elif name == "threshold" and getattr(config, "codes", "") != "relu":
            value.copy_(torch.rand(value.shape, generator=make))
    return sae


@pytest.mark.parametrize(
    "config",
    [
        ReLU.Config(**_RAW, weight_by_decoder_norm=True),
        TopK.Config(**_RAW, k=K, signed=True),
        NormalizedTopK.Config(**_SIZES, k=K, normalise=NormaliseConfig(kind="standardise", eps=1e-5)),
        Thresholded.Config(**_RAW, group_sizes=(5, F - 5)),
        MatchingPursuit.Config(**_RAW, k=K, positive=True, stop_at_repeat=True, stop_norm=0.2),
        TFA.Config(**_RAW, k=K, n_heads=2, bottleneck=2, encoder_scale=1 / (4 * D)),
    ],
    ids=lambda config: config.plugin_name,
)
def test_a_round_trip_is_exact(config: SAE.Config, tmp_path: Path) -> None:
    sae = _filled(config)
    again = check_round_trip(sae, tmp_path, format="saelens")
    for name, value in sae.named_parameters():
        assert torch.equal(dict(again.named_parameters())[name], value), name
    assert again.parts == sae.parts


def test_a_tfa_of_another_scale_has_codes_of_another_size_there(tmp_path: Path) -> None:
    sae = _filled(TFA.Config(**_RAW, k=K, n_heads=2, bottleneck=2, tied=False, n_attention_layers=2))  # 1/4 before the ReLU
    again = check_round_trip(sae, tmp_path, format="saelens", encoder_scale=0.25)
    for name, value in sae.named_parameters():
        assert_same(dict(again.named_parameters())[name], value, tolerance=1e-6)
    (read,) = read_saes(tmp_path / "saelens-out")
    x, c = _x()[:10].reshape(2, 5, D), D**0.5
    assert_same(read.found.sae.encode(x).dense() * c, sae.encode(x).dense())
    assert_same(read.found.sae(x), sae(x))


@pytest.mark.parametrize("codes", ["relu", "threshold", "batchtopk"])
def test_a_transcoder_comes_back_with_its_centre_in_its_biases(codes: Any, tmp_path: Path) -> None:
    more = {"k": K} if codes == "batchtopk" else {}
    sae = _filled(Transcoder.Config(**_RAW, **more, n_sites=2, codes=codes, skip=True))
    again = check_round_trip(sae, tmp_path, format="saelens", site="resid_pre.1,mlp_out.1")
    assert_same(again(_x()), sae(_x()), tolerance=1e-6)


def test_a_model_in_a_folder_is_named_without_its_path(tmp_path: Path) -> None:
    source = ExportSource(name="a", sites=(Site("mlp_in", 3),), model=f"{tmp_path}/gpt2")
    export_sae(_filled(TopK.Config(**_SIZES, k=K)), tmp_path / "out", format="saelens", source=source)
    assert json.loads((tmp_path / "out" / "cfg.json").read_text())["metadata"]["model_name"] == "./gpt2"


@pytest.mark.parametrize("format", ["saelens", "dictionary_learning", "sparsify", "plain"])
def test_no_path_of_this_machine_is_in_what_is_written(format: str, tmp_path: Path) -> None:
    """Of the model, of the text, and of what an import noted."""
    facts = {"model": f"{tmp_path}/gpt2", "corpus": f"{tmp_path}/own.txt", "imported": {"dataset_path": f"{tmp_path}/theirs"}}
    source = ExportSource(name="a", sites=(Site("mlp_out", 3),), model=facts["model"], facts=facts)
    export_sae(_filled(TopK.Config(**_SIZES, k=K)), tmp_path / "out", format=format, source=source)
    told = "".join(file.read_text() for file in (tmp_path / "out").rglob("*.json"))
    assert "./gpt2" in told
    assert str(tmp_path) not in told


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"bos": "always", "keep_special": False}, (True, True, "bos")),
        ({"bos": "never", "keep_special": True}, (False, False, None)),
        ({"imported": {"prepend_bos": False, "exclude_special_tokens": True}}, (False, True, None)),
        ({"bos": "document", "keep_special": True, "imported": {"exclude_special_tokens": True}}, (True, False, "bos")),
        ({}, (True, None, "bos")),
    ],
)
def test_what_is_written_says_whether_special_tokens_were_seen(
    facts: dict[str, Any], told: tuple[object, ...], tmp_path: Path
) -> None:
    source = ExportSource(name="a", sites=(Site("mlp_out", 3),), facts=facts)
    export_sae(_filled(TopK.Config(**_SIZES, k=K)), tmp_path / "out", format="saelens", source=source)
    about = json.loads((tmp_path / "out" / "cfg.json").read_text())["metadata"]
    assert tuple(about[name] for name in ("prepend_bos", "exclude_special_tokens", "sequence_separator_token")) == told


def test_what_is_written_says_where_it_comes_from(tmp_path: Path) -> None:
    sae = _filled(TopK.Config(**_SIZES, k=K))
    source = ExportSource(
        name="a", sites=(Site("mlp_in", 3),), model="google/gemma-2-2b", facts={"context_len": 128, "corpus": "stories"}
    )
    told = export_sae(sae, tmp_path / "out", format="saelens", source=source, config=SAELens.WriteConfig(dtype="bfloat16"))
    content = json.loads((tmp_path / "out" / "cfg.json").read_text())
    about = content["metadata"]
    assert (about["model_name"], about["context_size"], about["dataset_path"]) == ("gemma-2-2b", 128, "stories")
    assert (about["sae_lens_version"], about["hook_name"], content["dtype"]) == ("6.54.12", None, "bfloat16")
    assert any("no hook at mlp_in.3" in lost for lost in told.lost)
    assert any("rounded to bfloat16" in lost for lost in told.lost)
    assert load_file(tmp_path / "out" / "sae_weights.safetensors")["W_dec"].dtype == torch.bfloat16


def test_one_place_of_an_mlsae_is_written(tmp_path: Path) -> None:
    sae = _filled(MLSAE.Config(**_SIZES, k=K, n_sites=3))
    sites = tuple(Site("resid_post", layer) for layer in range(3))
    source = ExportSource(name="a", sites=sites)
    with pytest.raises(ConfigError, match=r"--site resid_post\.3"):
        export_sae(sae, tmp_path / "none", format="saelens", source=source)
    with pytest.raises(ConfigError, match=r"has resid_post\.0, resid_post\.1"):
        export_sae(sae, tmp_path / "none", format="saelens", source=source, config=SAELens.WriteConfig(site="mlp_out.1"))
    told = export_sae(sae, tmp_path / "one", format="saelens", source=source, config=SAELens.WriteConfig(site="resid_post.1"))
    assert told.codes_off == 0.0
    (read,) = read_saes(tmp_path / "one")
    assert read.sites == (Site("resid_post", 1),)
    assert_same(read.found.sae.encode(_x()).dense(), sae.at(1).encode(_x()).dense())


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Crosscoder.Config(**_RAW, k=K, n_sites=2), r"not crosscoder[\s\S]*plain"),
        (CLT.Config(**_RAW, k=K, n_sites=4), r"not clt[\s\S]*plain"),
        (TopK.Config(**_RAW, k=K, groups=True), "groups of neighbours"),
        (TFA.Config(**_RAW, novel="nullify", n_heads=2), "relu or topk"),
        (NormalizedTopK.Config(**_SIZES, k=K, normalise=NormaliseConfig(kind="standardise", eps=1e-3)), r"adds 1e-05"),
        (Transcoder.Config(**_RAW, n_sites=2, k=K), 'not with codes "topk"'),
        (MatchingPursuit.Config(**_RAW, k=K, step=0.5), "whole steps"),
    ],
    ids=lambda given: getattr(given, "plugin_name", None),
)
def test_what_it_has_no_place_for_is_refused(config: SAE.Config, said: str, tmp_path: Path) -> None:
    sites = tuple(Site("resid_post", layer) for layer in range(4))
    with pytest.raises(ConfigError, match=said):
        export_sae(build(config), tmp_path / "out", format="saelens", source=ExportSource(name="a", sites=sites))
    assert not (tmp_path / "out").exists()
