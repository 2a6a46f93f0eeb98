"""Llamascopium's folders: its formulas for every activation and scale, the fold of thresholds, crosscoders, broken files."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from monoseme.core.errors import ConfigError, ForeignError, SiteError
from monoseme.interchange import import_saes, read_saes
from monoseme.interchange.llamascopium import Llamascopium
from tests.interchange.rules import assert_same, check_recognised, check_refuses_broken

D, F, K, H = 7, 23, 3, 2
IN, OUT = "blocks.2.hook_resid_post", "blocks.2.hook_mlp_out"
THRESHOLDS = "activation_function.log_jumprelu_threshold"
_NORMS = "dataset_average_activation_norm."


def _table(*, hook_out: str = IN) -> dict[str, torch.Tensor]:
    make = torch.Generator().manual_seed(3)
    shapes = {"W_E": (D, F), "b_E": (F,), "W_D": (F, D), "b_D": (D,)}
    table = {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}
    table[THRESHOLDS] = torch.rand(F, generator=make).log()
    table |= {_NORMS + IN: torch.tensor(5.0)}
    return {**table, **({_NORMS + hook_out: torch.tensor(11.0)} if hook_out != IN else {})}


def _told(**settings: Any) -> dict[str, Any]:
    usual = {"sae_type": "sae", "hook_point_in": IN, "hook_point_out": IN, "d_model": D, "expansion_factor": F / D, "top_k": K}
    more = {"act_fn": "relu", "norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True, "use_decoder_bias": True}
    return {**usual, **more, **settings}


def _put(folder: Path, table: dict[str, torch.Tensor], told: dict[str, Any], *, pickled: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(told))
    if pickled:
        torch.save({"sae": table, "version": "2.0"}, folder / "sae_weights.pt")
    else:
        save_file(table, folder / "sae_weights.safetensors")
    return folder


def _scale(told: dict[str, Any], table: dict[str, torch.Tensor], x: torch.Tensor, hook: str) -> Any:
    kind = told["norm_activation"]
    if kind == "token-wise":
        return D**0.5 / x.norm(dim=-1, keepdim=True)
    return D**0.5 / table[_NORMS + hook] if kind == "dataset-wise" else 1.0


def _theirs(told: dict[str, Any], w: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Their codes and output, as normalize_activations, encode, decode and denormalize_activations compute them."""
    s = _scale(told, w, x, told["hook_point_in"])
    t = _scale(told, w, x, told["hook_point_out"])
    norms = w["W_D"].norm(dim=1) if told["sparsity_include_decoder_norm"] else torch.ones(F)
    pre = ((x * s) @ w["W_E"] + w["b_E"]) * norms
    if told["act_fn"] == "relu":
        f = pre.relu()
    elif told["act_fn"] == "jumprelu":
        f = pre * (pre > w[THRESHOLDS].exp())
    else:
        values, places = pre.relu().topk(K)
        f = torch.zeros_like(pre).scatter(-1, places, values)
    f = f / norms
    return f, (f @ w["W_D"] + w["b_D"]) / t


@pytest.mark.parametrize("by_norms", [False, True])
@pytest.mark.parametrize("norm", ["dataset-wise", "token-wise", "inference"])
@pytest.mark.parametrize("act", ["relu", "jumprelu", "topk"])
def test_codes_and_outputs_are_its_own(tmp_path: Path, act: str, norm: str, by_norms: bool) -> None:
    table, told = _table(), _told(act_fn=act, norm_activation=norm, sparsity_include_decoder_norm=by_norms)
    folder = _put(tmp_path / "sae", table, told, pickled=norm == "inference")
    check_recognised(folder, "llamascopium")
    (read,) = read_saes(folder)
    x = 2 * torch.randn(31, D, generator=torch.Generator().manual_seed(1)) + 0.3
    codes, y = _theirs(told, table, x)
    in_codes = table["W_D"].norm(dim=1) if act == "topk" and by_norms else torch.ones(F)  # norms that were folded
    assert_same(read.found.sae.encode(x).dense() * read.found.code_factor / in_codes, codes)
    assert_same(read.found.sae(x), y)
    assert read.found.sae.config.sites == ("resid_post.2",)


@pytest.mark.parametrize("by_norms", [False, True])
@pytest.mark.parametrize("act", ["relu", "jumprelu", "topk"])
def test_a_transcoder_has_a_scale_on_each_side(tmp_path: Path, act: str, by_norms: bool) -> None:
    told = _told(act_fn=act, hook_point_out=OUT, sparsity_include_decoder_norm=by_norms)
    table = _table(hook_out=OUT)
    (read,) = read_saes(_put(tmp_path / "sae", table, told))
    x = 2 * torch.randn(31, D, generator=torch.Generator().manual_seed(1)) + 0.3
    codes, y = _theirs(told, table, x)
    assert_same(read.found.sae(x), y)
    assert read.found.sae.config.plugin_name == "transcoder"
    assert read.found.sae.config.sites == ("resid_post.2", "mlp_out.2")
    if act != "topk":
        assert_same(read.found.sae.encode(x).dense() * read.found.code_factor, codes)


@pytest.mark.parametrize("by_norms", [False, True])
def test_a_folded_file_fires_as_it_computes_and_as_in_training_when_mended(tmp_path: Path, by_norms: bool) -> None:
    """Their fold, written out: b_E / s, b_D / t, W_D s / t, thresholds left."""
    told, table = _told(act_fn="jumprelu", hook_point_out=OUT, sparsity_include_decoder_norm=by_norms), _table(hook_out=OUT)
    s, t = D**0.5 / 5.0, D**0.5 / 11.0
    folded = {**table, "b_E": table["b_E"] / s, "b_D": table["b_D"] / t, "W_D": table["W_D"] * s / t}
    told_folded = {**told, "norm_activation": "inference"}
    folder = _put(tmp_path / "sae", folded, told_folded)
    x = 2 * torch.randn(31, D, generator=torch.Generator().manual_seed(1)) + 0.3
    (as_is,) = read_saes(folder)
    (mended,) = read_saes(folder, config=Llamascopium.Config(mend_thresholds=True))
    computed, trained = _theirs(told_folded, folded, x)[0], _theirs(told, table, x)[0]
    assert_same(as_is.found.sae.encode(x).dense(), computed)
    assert_same(mended.found.sae.encode(x).dense() * s, trained)
    assert int((computed > 0).sum()) != int((trained > 0).sum())
    assert any("as its tool lets it" in note for note in as_is.found.notes)


def test_what_the_files_cannot_say_is_asked_for(tmp_path: Path) -> None:
    folder = _put(tmp_path / "sae", _table(), _told(norm_activation="batch-wise"))
    with pytest.raises(ConfigError, match=r"--mean_norm 17\.1"):
        read_saes(folder)
    (read,) = read_saes(folder, config=Llamascopium.Config(mean_norm=5.0))
    x = torch.randn(11, D)
    assert_same(read.found.sae(x), _theirs(_told(), _table(), x)[1])
    _put(folder, _table(), _told(act_fn="batchtopk"))
    with pytest.raises(ConfigError, match="--activation topk"):
        read_saes(folder)
    (read,) = read_saes(folder, config=Llamascopium.Config(activation="topk"))
    assert read.found.sae.config.k == K
    _put(folder, _table(), _told(hook_point_in="blocks.2.hook_z", hook_point_out="blocks.2.hook_z", norm_activation="inference"))
    with pytest.raises(SiteError, match="--site"):
        import_saes(folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (_told(sae_type="clt"), "sae and crosscoder are read"),
        (_told(use_glu_encoder=True), "gated by a second one"),
        (_told(act_fn="gelu"), "act_fn is 'gelu'"),
        (_told(norm_activation="layer"), "norm_activation is 'layer'"),
        (_told(d_model=8), "d_model is 8"),
        (_told(hook_point_out=OUT, norm_activation="token-wise"), "a transcoder that scales each vector"),
    ],
)
def test_what_it_cannot_be_is_refused(tmp_path: Path, told: dict[str, Any], message: str) -> None:
    with pytest.raises(ForeignError, match=message):
        read_saes(_put(tmp_path / "sae", _table(), told), format="llamascopium")


def test_an_sae_may_have_no_decoder_bias(tmp_path: Path) -> None:
    table = {name: value for name, value in _table().items() if name != "b_D"}
    (read,) = read_saes(_put(tmp_path / "sae", table, _told(use_decoder_bias=False)))
    x = torch.randn(11, D)
    assert_same(read.found.sae(x), _theirs(_told(), {**table, "b_D": torch.zeros(D)}, x)[1])


def _crosscoder_files(folder: Path, act: str, norm: str, *, alike: bool) -> tuple[dict[str, torch.Tensor], Path]:
    make = torch.Generator().manual_seed(4)
    shapes = {"W_E": (H, D, F), "b_E": (H, F), "W_D": (H, F, D), "b_D": (H, D)}
    table = {name: torch.randn(*shape, generator=make) for name, shape in shapes.items()}
    if alike:
        table["W_D"] = table["W_D"] / table["W_D"].norm(dim=2, keepdim=True) * (0.5 + torch.rand(F, 1, generator=make))
    table |= {THRESHOLDS: torch.rand(F, generator=make).log(), _NORMS + IN: torch.tensor(5.0), _NORMS + OUT: torch.tensor(20.0)}
    told = {"sae_type": "crosscoder", "hook_points": [IN, OUT], "d_model": D, "act_fn": act, "norm_activation": norm}
    return table, _put(folder, table, told)


@pytest.mark.parametrize("norm", ["dataset-wise", "inference"])
@pytest.mark.parametrize("act", ["relu", "jumprelu"])
def test_a_crosscoder_whose_heads_fire_together_computes_the_same(tmp_path: Path, act: str, norm: str) -> None:
    w, folder = _crosscoder_files(tmp_path / "cc", act, norm, alike=act == "jumprelu")
    check_recognised(folder, "llamascopium")
    (read,) = read_saes(folder)
    x = 2 * torch.randn(31, H, D, generator=torch.Generator().manual_seed(1))
    s = torch.tensor([D**0.5 / 5, D**0.5 / 20]).reshape(H, 1) if norm == "dataset-wise" else torch.ones(H, 1)
    pre = torch.einsum("bhd,hdf->bf", x * s, w["W_E"]) + w["b_E"].sum(0)
    norms = w["W_D"].norm(dim=2)  # [H, F]
    gated = pre.unsqueeze(1) * norms
    f = (gated.relu() if act == "relu" else gated * (gated > w[THRESHOLDS].exp())) / norms
    x_hat = (torch.einsum("bhf,hfd->bhd", f, w["W_D"]) + w["b_D"]) / s
    assert_same(read.found.sae.encode(x).dense(), f[:, 0])
    assert_same(read.found.sae(x), x_hat)
    assert read.found.sae.config.sites == ("resid_post.2", "mlp_out.2")


@pytest.mark.parametrize("act", ["jumprelu", "topk"])
def test_a_crosscoder_whose_heads_fire_apart_is_refused(tmp_path: Path, act: str) -> None:
    _, folder = _crosscoder_files(tmp_path / "cc", act, "dataset-wise", alike=False)
    with pytest.raises(ForeignError, match="its heads fire apart"):
        read_saes(folder)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    folder = _put(tmp_path / "sae", _table(), _told(act_fn="jumprelu"), pickled=True)
    check_refuses_broken(folder, tmp_path, format="llamascopium")


@pytest.mark.slow
def test_broken_crosscoders_are_refused(tmp_path: Path) -> None:
    table, folder = _crosscoder_files(tmp_path / "cc", "relu", "dataset-wise", alike=False)
    del table[THRESHOLDS]  # which nothing reads with relu
    save_file(table, folder / "sae_weights.safetensors")
    check_refuses_broken(folder, tmp_path, format="llamascopium")
