"""MLSAE against an independent float64 twin of its formulas, its counts and logs, one layer of it, and the tuned lens."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from monoseme.core.errors import ConfigError
from monoseme.saes import NormaliseConfig, load_sae, save_sae
from monoseme.saes._lens import SiteLens, Translators, read_lens, select_maps, translators_of
from monoseme.saes.lensed_topk import LensedTopK
from monoseme.saes.mlsae import MLSAE
from monoseme.saes.topk import TopK

B, L, D, F, K = 5, 3, 7, 11, 2


def _x(n: int = B, *, seed: int = 0) -> torch.Tensor:
    """Layers of unlike size and offset, as the residual stream has them."""
    x = torch.randn(n, L, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x * torch.tensor([1.0, 4.0, 20.0], dtype=torch.float64).view(L, 1) + torch.arange(L).view(L, 1) + 0.5


def _started(**settings: Any) -> MLSAE:
    sae = MLSAE(MLSAE.Config(**{"d_in": D, "n_latents": F, "n_sites": L, "k": K, "dead_after_tokens": 100, **settings})).double()
    sae.start(_x(101, seed=1))
    return sae


class Twin:
    """The formulas of the reference, one vector at a time, with the auxiliary loss in one space and detached."""

    def __init__(self, sae: MLSAE) -> None:
        self.w_enc, self.w_dec, self.b = (p.detach() for p in (sae.W_enc, sae.W_dec, sae.b_dec))
        self.k, self.k_aux, self.coefficient = sae.config.k, sae.config.k_aux, sae.config.auxk_coefficient
        self.eps = sae.config.normalise.eps

    def vector(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x~, code and x~_hat of one vector."""
        mean = x.sum() / len(x)
        std = (((x - mean) ** 2).sum() / (len(x) - 1)).sqrt()
        x_n = (x - mean) / (std + self.eps)
        pre = [sum((x_n[d] - self.b[d]) * self.w_enc[d, j] for d in range(len(x))) for j in range(self.w_enc.shape[1])]
        kept = sorted(range(len(pre)), key=lambda j: -float(pre[j]))[: self.k]
        code = torch.zeros(len(pre), dtype=torch.float64)
        for j in kept:
            code[j] = max(float(pre[j]), 0.0)
        return x_n, code, code @ self.w_dec + self.b

    def back(self, x: torch.Tensor, x_hat_n: torch.Tensor) -> torch.Tensor:
        return x_hat_n * (x.std() + self.eps) + x.mean()

    def codes(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.stack([self.vector(v)[1] for v in token]) for token in x])

    def reconstruction(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.stack([self.back(v, self.vector(v)[2]) for v in token]) for token in x])

    def fvu(self, x: torch.Tensor) -> list[float]:
        x_hat = self.reconstruction(x)
        shares: list[float] = []
        for layer in range(x.shape[1]):
            entries = x[:, layer].flatten().tolist()
            mean = sum(entries) / len(entries)
            variance = sum((e - mean) ** 2 for e in entries) / (len(entries) - 1)
            shares.append(float((x_hat[:, layer] - x[:, layer]).square().mean()) / variance)
        return shares

    def auxk(self, x: torch.Tensor, dead: list[int]) -> float:
        above, below = 0.0, 0.0
        for vector in x.flatten(0, 1):
            x_n, _, x_hat = self.vector(vector)
            error = x_n - x_hat
            pre = {j: float((x_n - self.b) @ self.w_enc[:, j]) for j in dead}
            strongest = sorted(dead, key=lambda j: -pre[j])[: self.k_aux]
            e_hat = sum((max(pre[j], 0.0) * self.w_dec[j] for j in strongest), torch.zeros_like(error))
            above += float(((error - e_hat) ** 2).sum())
            below += float(((error - error.mean()) ** 2).sum())
        return self.coefficient * above / below


def test_forward_and_loss_are_those_of_the_twin() -> None:
    sae, x = _started(), _x()
    twin = Twin(sae)
    assert torch.allclose(sae.encode(x).dense(), twin.codes(x), rtol=0, atol=1e-9)
    assert torch.allclose(sae(x), twin.reconstruction(x), rtol=0, atol=1e-9)
    losses = sae.loss(x)
    assert torch.allclose(losses.x_hat, twin.reconstruction(x).flatten(1), rtol=0, atol=1e-9)
    assert losses.parts["reconstruction"].item() == pytest.approx(sum(twin.fvu(x)) / L, abs=1e-9)
    assert losses.total.item() == losses.parts["reconstruction"].item()  # nothing is dead
    assert [losses.logs[f"fvu/site_{i}"].item() for i in range(L)] == pytest.approx(twin.fvu(x), abs=1e-9)


@pytest.mark.parametrize("k_aux", [1, 256])
def test_the_auxiliary_loss_is_that_of_the_twin(k_aux: int) -> None:
    sae, x = _started(k=1, k_aux=k_aux, auxk_one_in=1), _x(2)
    fired = sae.encode(x).dense().flatten(0, 1).ne(0).any(0)
    dead = [j for j in range(F) if not fired[j]]
    assert len(dead) > 1
    sae.tokens_since_fired[dead] = 100
    assert sae.loss(x).parts["auxk"].item() == pytest.approx(Twin(sae).auxk(x, dead), abs=1e-9)


def test_the_bias_starts_in_the_middle_of_the_standardised_vectors_of_all_layers() -> None:
    sae, rows = _started(b_dec_start="mean"), torch.stack([Twin(_started()).vector(v)[0] for v in _x(101, seed=1).flatten(0, 1)])
    assert torch.allclose(sae.b_dec, rows.mean(0), rtol=0, atol=1e-9)  # not of the raw ones


def test_every_layer_weighs_the_same_however_large_it_is() -> None:
    sae, x = _started(normalise=NormaliseConfig(kind="standardise", eps=0.0)), _x()
    larger = x * torch.tensor([1.0, 1.0, 1000.0], dtype=torch.float64).view(L, 1)
    assert sae.loss(larger).total.item() == pytest.approx(sae.loss(x).total.item(), rel=1e-12)


def test_masked_tokens_leave_with_all_their_layers() -> None:
    sae, x = _started(), _x()
    mask = torch.tensor([True, False, True, True, False])
    spoilt = torch.where(mask.view(B, 1, 1), x, torch.nan)
    losses = sae.loss(spoilt, mask=mask)
    assert losses.n_rows == 3
    assert losses.total.item() == sae.loss(x[mask]).total.item()


def test_a_latent_that_fires_at_one_layer_of_a_token_is_alive_and_tokens_are_counted() -> None:
    sae, x = _started(k=1), _x()
    losses = sae.loss(x)
    sae.after_step(losses, losses)
    fired = sae.encode(x).dense().flatten(0, 1).ne(0).any(0)
    assert torch.equal(sae.tokens_since_fired, torch.where(fired, 0, 2 * B))


def test_a_value_below_the_threshold_does_not_count_as_firing() -> None:
    sae, x = _started(), _x()
    largest = sae.encode(x).dense().max().item()
    still = _started(dead_threshold=largest + 1)
    still.after_step(still.loss(x))
    assert still.tokens_since_fired.eq(B).all()


def test_logs_have_each_number_for_each_layer_and_their_mean() -> None:
    logs = _started().loss(_x()).logs
    assert set(logs) == {f"{name}/{of}" for name in ("fvu", "l1", "mse") for of in ("mean", "site_0", "site_1", "site_2")}
    assert logs["l1/mean"].item() == pytest.approx(sum(logs[f"l1/site_{i}"].item() for i in range(L)) / L)


@pytest.mark.parametrize("kind", ["standardise", "none", "unit_mean_square"])
def test_one_layer_of_it_is_a_topk_with_the_same_codes(kind: Any, tmp_path: Path) -> None:
    sites = ("resid_post.0", "resid_post.1", "resid_post.2")
    sae, x = _started(normalise=NormaliseConfig(kind=kind), sites=sites), _x()
    for site in range(L):
        one = sae.at(site)
        assert type(one) is TopK
        assert one.config.sites == (sites[site],)
        assert torch.allclose(one.encode(x[:, site]).dense(), sae.encode(x).dense()[:, site], rtol=0, atol=1e-9)
        assert torch.allclose(one(x[:, site]), sae(x)[:, site], rtol=0, atol=1e-9)
    save_sae(sae.at(1), tmp_path / "one")
    assert torch.equal(load_sae(tmp_path / "one")(x[:, 1]), sae.at(1)(x[:, 1]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_sites": 0}, "n_sites is 0"),
        ({"dead_threshold": -1.0}, "dead_threshold is -1.0"),
        ({"k": 12}, "k is 12"),
        ({"lens_layers": (0, 1, 2)}, "without a lens"),
        ({"lens": "somewhere", "lens_layers": (0, 1)}, "2 translators for 3 sites"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MLSAE.Config(**{"d_in": D, "n_latents": F, "n_sites": L, "k": K, **settings})


def test_an_unknown_number_of_layers_is_refused() -> None:
    with pytest.raises(ConfigError, match="number of layers is not known"):
        MLSAE(MLSAE.Config(d_in=D, n_latents=F, k=K))
    with pytest.raises(ConfigError, match="3 sites, 0 to 2; it has no site 3"):
        _started().at(3)


# -- the tuned lens ------------------------------------------------------------------------------------------------------


def _lens_folder(folder: Path, *, n: int = L, singular: int | None = None) -> Path:
    """A made-up lens, as the package tuned-lens writes it: the state of a list of linear layers, and the config."""
    stream = torch.Generator().manual_seed(5)
    state = {f"{i}.weight": 0.3 * torch.randn(D, D, generator=stream) for i in range(n)}
    state |= {f"{i}.bias": torch.randn(D, generator=stream) for i in range(n)}
    if singular is not None:
        state[f"{singular}.weight"] = -torch.eye(D) + torch.ones(D, D)
    folder.mkdir()
    config = {"base_model_name_or_path": "made/up", "d_model": D, "num_hidden_layers": n, "bias": True, "unembed_hash": "0"}
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(state, folder / "params.pt")
    return folder


def test_the_lens_is_the_linear_layer_added_to_its_input(tmp_path: Path) -> None:
    maps = read_lens(str(_lens_folder(tmp_path / "lens")), d_in=D)
    lens = SiteLens(L, D)
    lens.set_maps(maps)
    x = _x().float()
    for site in range(L):
        linear = torch.nn.Linear(D, D)
        linear.load_state_dict({"weight": maps.weight[site], "bias": maps.bias[site]})
        assert torch.allclose(lens(x)[:, site], x[:, site] + linear(x[:, site]), rtol=1e-5, atol=1e-5)


def test_lens_and_inverse_are_the_identity_also_after_a_cast(tmp_path: Path) -> None:
    lens = SiteLens(L, D)
    lens.set_maps(read_lens(str(_lens_folder(tmp_path / "lens")), d_in=D))
    x = _x()
    assert torch.allclose(lens.inverse(lens(x.float())), x.float(), rtol=1e-4, atol=1e-4)  # in float32 first
    lens.double()
    assert torch.allclose(lens.inverse(lens(x)), x, rtol=0, atol=1e-9)
    assert torch.allclose(lens(lens.inverse(x)), x, rtol=0, atol=1e-9)


def test_a_lens_that_does_not_say_how_many_maps_it_has_is_refused(tmp_path: Path) -> None:
    folder = _lens_folder(tmp_path / "lens")
    (folder / "config.json").write_text(json.dumps({"d_model": D, "num_hidden_layers": "three"}))
    with pytest.raises(ConfigError, match="num_hidden_layers is 'three'"):
        read_lens(str(folder), d_in=D)


def _lensed(folder: Path, **settings: Any) -> MLSAE:
    return _started(lens=str(folder), lens_layers=(0, 1, 2), **settings)


def test_behind_a_lens_it_is_the_same_sae_of_what_the_lens_makes(tmp_path: Path) -> None:
    sae, x = _lensed(_lens_folder(tmp_path / "lens")), _x()
    assert sae.lens is not None
    twin, seen = Twin(sae), sae.lens(x)
    assert torch.allclose(sae.encode(x).dense(), twin.codes(seen), rtol=0, atol=1e-9)
    assert torch.allclose(sae(x), sae.lens.inverse(twin.reconstruction(seen)), rtol=0, atol=1e-9)
    losses = sae.loss(x)
    assert losses.parts["reconstruction"].item() == pytest.approx(sum(twin.fvu(seen)) / L, abs=1e-9)
    assert torch.allclose(losses.x_hat, sae(x).flatten(1), rtol=0, atol=1e-9)
    assert torch.equal(losses.x, x.flatten(1))


def test_behind_a_lens_the_bias_starts_in_the_middle_of_what_the_lens_makes(tmp_path: Path) -> None:
    sae = _lensed(_lens_folder(tmp_path / "lens"), b_dec_start="mean", normalise=NormaliseConfig(kind="none"))
    assert sae.lens is not None
    assert torch.allclose(sae.b_dec, sae.lens(_x(101, seed=1)).flatten(0, 1).mean(0), rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", ["standardise", "unit_mean_square"])
def test_a_saved_sae_needs_its_lens_folder_no_more(tmp_path: Path, kind: Any) -> None:
    folder = _lens_folder(tmp_path / "lens")
    sae, x = _lensed(folder, normalise=NormaliseConfig(kind=kind)), _x()
    save_sae(sae, tmp_path / "sae")
    save_sae(sae.export(), tmp_path / "exported")
    save_sae(sae.at(1), tmp_path / "one")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    loaded = load_sae(tmp_path / "sae")
    assert torch.equal(loaded(x), sae(x))
    assert loaded.config.lens == str(folder)
    loaded.start(_x(101, seed=2))  # learning on measures anew but keeps the lens
    assert torch.allclose(load_sae(tmp_path / "exported")(x), sae(x), rtol=0, atol=1e-9)
    one = load_sae(tmp_path / "one")
    assert type(one) is LensedTopK
    assert torch.allclose(one(x[:, 1]), sae(x)[:, 1], rtol=0, atol=1e-9)
    assert torch.allclose(one.encode(x[:, 1]).dense(), sae.encode(x).dense()[:, 1], rtol=0, atol=1e-9)


def test_sites_take_the_translator_trained_on_them() -> None:
    assert translators_of(("resid_pre.0", "resid_post.0", "resid_pre.3", "resid_post.3")) == (0, 1, 3, 4)
    with pytest.raises(ConfigError, match=r"no translator for mlp_out\.1"):
        translators_of(("resid_post.0", "mlp_out.1"))


def test_what_leaves_the_last_block_needs_no_translator(tmp_path: Path) -> None:
    folder = _lens_folder(tmp_path / "lens")
    maps = read_lens(str(folder), d_in=D)
    sae = _started(lens=str(folder), sites=("resid_post.0", "resid_post.1", "resid_post.2"))
    assert sae.lens is not None
    assert torch.equal(sae.lens.weight[:2].float(), maps.weight[1:])
    assert not sae.lens.weight[2].any()
    assert not sae.lens.bias[2].any()
    with pytest.raises(ConfigError, match="it has none for 4"):
        select_maps(maps, (0, 4))


def test_a_lens_without_an_inverse_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the lens of site 1 cannot be inverted"):
        _lensed(_lens_folder(tmp_path / "lens", singular=1))


def test_a_lens_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = _lens_folder(tmp_path / "lens")
    with pytest.raises(ConfigError, match="for activations of width 7, the SAE's are 11 wide"):
        read_lens(str(folder), d_in=11)
    with pytest.raises(ConfigError, match="there is no folder"):
        read_lens(str(tmp_path / "nowhere"), d_in=D)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 4}))
    with pytest.raises(ConfigError, match=r'no tensor "3\.weight"'):
        read_lens(str(folder), d_in=D)
    (folder / "params.pt").write_bytes(b"not tensors")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lens(str(folder), d_in=D)


class _Touch:
    """Would create a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_nothing_of_a_lens_is_executed(tmp_path: Path) -> None:
    folder = _lens_folder(tmp_path / "lens")
    torch.save({"0.weight": _Touch(tmp_path / "harm")}, folder / "params.pt")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lens(str(folder), d_in=D)
    assert not (tmp_path / "harm").exists()


def test_a_hub_name_is_looked_up_in_the_space_of_tuned_lens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _lens_folder(tmp_path / "lens")
    asked: list[tuple[str, str, str]] = []

    def download(repo_id: str, filename: str, *, repo_type: str) -> str:
        asked.append((repo_id, filename, repo_type))
        return str(folder / filename.rpartition("/")[2])

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    maps = read_lens("EleutherAI/pythia-70m-deduped", d_in=D)
    files = [f"lens/EleutherAI/pythia-70m-deduped/{name}" for name in ("config.json", "params.pt")]
    assert asked == [("AlignmentResearch/tuned-lens", file, "space") for file in files]
    assert torch.equal(maps.weight, read_lens(str(folder), d_in=D).weight)


def test_a_lens_that_the_hub_does_not_have_is_told_with_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def download(repo_id: str, filename: str, *, repo_type: str) -> str:
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(
        ConfigError, match=r"nobody/none is neither a folder here nor to be had from the hub space Align[\s\S]*no conn"
    ):
        read_lens("nobody/none", d_in=D)


def test_a_fresh_lensed_topk_stands_behind_the_identity() -> None:
    sae = LensedTopK(LensedTopK.Config(d_in=D, n_latents=F, k=K)).double()
    plain = TopK(TopK.Config(d_in=D, n_latents=F, k=K)).double()
    for each in (sae, plain):
        each.start(_x(101)[:, 1])
    x = _x()[:, 1]
    assert torch.allclose(sae(x), plain(x), rtol=0, atol=1e-9)
    assert sae.loss(x).total.item() == pytest.approx(plain.loss(x).total.item(), abs=1e-9)


def test_maps_of_another_shape_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"the lens maps \(2, 7, 7\), the SAE needs \(3, 7, 7\)"):
        SiteLens(L, D).set_maps(Translators(torch.zeros(2, D, D), torch.zeros(2, D)))
