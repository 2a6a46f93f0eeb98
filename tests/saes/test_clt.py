"""Cross-layer transcoder: latents write forward only, each layer's own dead are counted, and layers share a batch's budget."""

from typing import Any

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.saes import Knobs
from monoseme.saes.clt import CLT
from monoseme.tensors.sparse import SparseCodes
from monoseme.testing import SAE_CHECKS, subject_of
from monoseme.testing.conformance import Check
from monoseme.training.life import LatentLife

D, F, B, L = 7, 11, 5, 3
KINDS = ("topk", "batchtopk", "relu")


def _sites(n: int, *, seed: int = 0) -> Tensor:
    """[n, 2 L, D]: L inputs, then L outputs, each on a scale of its own."""
    x = torch.randn(n, 2 * L, D, generator=torch.Generator().manual_seed(seed)) + 0.5
    return x * torch.tensor([3.0, 0.2, 40.0, 0.1, 7.0, 1.3]).reshape(2 * L, 1)


def _made(codes: Any, **settings: Any) -> CLT:
    """Started, in float64, with norms and biases that differ from latent to latent."""
    k: dict[str, Any] = {} if codes == "relu" else {"k": 2}
    sae = CLT(CLT.Config(d_in=D, n_latents=F, n_sites=2 * L, codes=codes, **k, **settings)).double()
    sae.start(_sites(101, seed=1))
    random = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in (sae.b_enc, sae.b_dec):
            parameter += 0.1 * torch.randn(parameter.shape, generator=random, dtype=torch.float64)
        for rows in sae.W_dec:
            rows.mul_(torch.linspace(0.3, 2.0, F).unsqueeze(1))
    return sae


def _parts(sae: CLT, batch: Tensor, codes: str, k: int) -> dict[str, Tensor]:
    """Dense codes [B, L, F], norms [L, F] and reconstruction [B, L, D], layer by layer and without a kernel."""
    x, y = batch[:, :L] * sae.input_factor.reshape(L, 1), batch[:, L:] * sae.output_factor.reshape(L, 1)
    centre = sae.centre.reshape(L, D)
    pre = torch.stack([(x[:, l] - centre[l]) @ sae.W_enc[l] + sae.b_enc[l] for l in range(L)], dim=1)  # noqa: E741
    norms = torch.stack([rows.norm(dim=1) for rows in sae.W_dec])
    weighed = pre * norms
    if codes == "topk":
        keep = weighed >= weighed.sort(dim=2, descending=True).values[:, :, k - 1 : k]
    elif codes == "batchtopk":
        keep = weighed >= weighed.flatten().sort(descending=True).values[k * L * len(x) - 1]
    else:
        keep = pre > 0
    f = torch.where(keep, pre, 0.0).relu()
    y_hat = sae.b_dec.reshape(1, L, D).repeat(len(x), 1, 1)
    for target in range(L):
        for layer in range(target + 1):
            y_hat[:, target] += f[:, layer] @ sae.decoder(layer, target)
    return {"f": f, "norms": norms, "y": y, "y_hat": y_hat}


@pytest.mark.parametrize("check", SAE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("codes", ["topk", "relu"])
def test_every_choice_of_codes_keeps_the_contract(codes: Any, check: Check) -> None:
    k: dict[str, Any] = {} if codes == "relu" else {"k": 2, "auxk_one_in": 1}
    small = CLT.Config(d_in=D, n_latents=F, n_sites=6, codes=codes, **k)
    check(subject_of(CLT, small=small, planted=small))


def test_latents_write_to_their_own_layer_and_later_ones_by_hand() -> None:
    """D = 1, two layers, a latent each: layer 0 reads 2 and writes 10 x and 100 x, layer 1 reads 3 and writes 1000 x."""
    sae = CLT(CLT.Config(d_in=1, n_latents=1, n_sites=4, codes="relu"))
    with torch.no_grad():
        for layer, row in enumerate([[10.0, 100.0], [1000.0]]):
            sae.W_enc[layer].fill_(1.0)
            sae.W_dec[layer].copy_(torch.tensor([row]))
        sae.b_dec.copy_(torch.tensor([0.5, 0.25]))
    x = torch.tensor([[[2.0], [3.0]]])
    assert sae.encode(x).dense().tolist() == [[[2.0], [3.0]]]
    assert sae(x).tolist() == [[[20.5], [200.0 + 3000.0 + 0.25]]]
    assert sae.decoder(0, 1).tolist() == [[100.0]]
    with pytest.raises(ConfigError, match="layer 1 writes to layers 1 to 1, not to 0"):
        sae.decoder(1, 0)


def test_an_input_reaches_only_its_own_layer_and_later_ones() -> None:
    sae, x = _made("relu"), _sites(1)[:, :L].double().requires_grad_()
    for target in range(L):
        (gradient,) = torch.autograd.grad(sae(x)[0, target].sum(), x)
        reached = gradient[0].abs().sum(1) > 0
        assert reached.tolist() == [layer <= target for layer in range(L)]


@pytest.mark.parametrize("codes", KINDS)
def test_the_loss_is_the_formula(codes: str) -> None:
    sae, batch, sample = _made(codes), _sites(B).double(), _sites(101, seed=1).double()
    factors = sample.square().sum(2).mean(0).rsqrt()
    assert torch.allclose(torch.cat([sae.input_factor, sae.output_factor]), factors, rtol=1e-12)
    made = _parts(sae, batch, codes, 2)
    targets = sample[:, L:] * factors[L:].reshape(L, 1)
    per_site = (targets - targets.mean(0)).square().sum(2).mean(0)
    errors = (made["y"] - made["y_hat"]).square().sum(2).mean(0)
    losses = sae.loss(batch, Knobs(sparsity=1.7))
    assert losses.parts["reconstruction"].item() == pytest.approx((errors.sum() / per_site.sum()).item(), rel=1e-9)
    for site in range(L):
        assert losses.logs[f"fvu/site_{site}"].item() == pytest.approx((errors[site] / per_site[site]).item(), rel=1e-9)
    raw = made["y_hat"] / factors[L:].reshape(L, 1)
    assert torch.allclose(losses.x_hat, raw.flatten(1), rtol=1e-9)
    assert losses.active is not None
    assert torch.allclose(losses.active.to_dense(), made["f"], atol=1e-12)
    if codes == "relu":
        sizes = made["f"] * made["norms"] / per_site.sum().sqrt()
        penalty = 1.7 * 0.1 * torch.tanh(4.0 * sizes).sum((1, 2)).mean()
        assert losses.parts["sparsity"].item() == pytest.approx(penalty.item(), rel=1e-9)


def test_auxk_is_the_formula_over_all_layers() -> None:
    sae, batch = _made("topk", k_aux=3, auxk_one_in=1), _sites(B).double()
    made = _parts(sae, batch, "topk", 2)
    dead = (made["f"] == 0).all(0)
    dead[0] = False  # a layer without dead latents has no part in it
    sae.tokens_since_fired[dead] = sae.config.dead_after_tokens
    x, centre = batch[:, :L] * sae.input_factor.reshape(L, 1), sae.centre.reshape(L, D)
    error = (made["y"] - made["y_hat"]).flatten(1)
    error_hat = torch.zeros(B, L, D, dtype=torch.float64)
    for layer in range(L):
        pre = (x[:, layer] - centre[layer]) @ sae.W_enc[layer] + sae.b_enc[layer]
        pre = torch.where(dead[layer], pre, -torch.inf)
        cut = pre.sort(dim=1, descending=True).values[:, 2:3]
        f = torch.where(pre >= cut, pre, 0.0).relu()
        for target in range(layer, L):
            error_hat[:, target] += f @ sae.decoder(layer, target)
    wanted = (error - error_hat.flatten(1)).square().sum(1).mean() / (error - error.mean(0)).square().sum(1).mean()
    assert sae.loss(batch).parts["auxk"].item() == pytest.approx(wanted.item() / 32, rel=1e-9)


@pytest.mark.parametrize("codes", KINDS)
def test_export_keeps_choice_reconstruction_and_loss(codes: str) -> None:
    sae, batch = _made(codes), _sites(B).double()
    sae.after_step(sae.loss(batch))
    sae.threshold *= 0.9  # off the very entry that it was measured at
    exported = sae.export()
    assert isinstance(exported, CLT)
    used = sae.encode(batch[:, :L])
    assert torch.equal(used.dense() != 0, exported.encode(batch[:, :L]).dense() != 0)
    by_hand = exported.b_dec.reshape(1, L, D).repeat(B, 1, 1)
    for layer in range(L):
        for target in range(layer, L):
            by_hand[:, target] += used.dense()[:, layer] @ exported.decoder(layer, target)
    assert torch.allclose(by_hand, sae.decode(used), rtol=1e-9, atol=1e-12)
    one, two = sae.loss(batch), exported.loss(batch)
    for name in one.parts:
        assert one.parts[name].item() == pytest.approx(two.parts[name].item(), rel=1e-9), name


def test_the_budget_of_a_batch_is_shared_by_all_layers() -> None:
    sae, batch = _made("batchtopk"), _sites(B).double()
    with torch.no_grad():
        sae.b_enc[1] += 50.0  # a loud layer takes from the others
    active = sae.loss(batch, Knobs(k=3)).active
    assert active is not None
    per_layer = active.l0().sum(0)
    assert int(per_layer.sum()) == 3 * L * B
    assert per_layer[1] > per_layer[0] + per_layer[2]


def test_the_dead_of_each_layer_are_counted_by_themselves() -> None:
    sae = _made("topk")
    dense = torch.zeros(2, L, F)
    dense[0, 0, 4] = dense[1, 2, 5] = 1.0
    losses = sae.loss(_sites(2).double())._replace(active=SparseCodes.from_dense(dense))
    sae.after_step(losses)
    wanted = torch.full((L, F), 2)
    wanted[0, 4] = wanted[2, 5] = 0
    assert torch.equal(sae.tokens_since_fired, wanted)


def test_leading_shapes_and_dense_codes_decode_alike() -> None:
    sae, x = _made("topk"), _sites(6)[:, :L].double()
    codes = sae.encode(x.reshape(2, 3, L, D))
    assert codes.dense().shape == (2, 3, L, F)
    assert torch.allclose(sae.decode(codes).reshape(6, L, D), sae(x), atol=1e-12)
    assert torch.allclose(sae.decode(codes.with_all(codes.dense())), sae.decode(codes), atol=1e-12)


@pytest.mark.parametrize(("n_sites", "message"), [(3, "an even number, not 3"), (None, "number of sites is not known")])
def test_numbers_of_sites_it_cannot_have_are_refused(n_sites: int | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CLT(CLT.Config(d_in=D, n_latents=F, n_sites=n_sites, k=2))


def test_it_learns_from_all_mlps_inputs_first() -> None:
    assert CLT.default_sites(2) == ("mlp_in.0", "mlp_in.1", "mlp_out.0", "mlp_out.1")
    roles = CLT.roles(4)
    assert (roles.inputs, roles.outputs) == ((0, 1), (2, 3))


def test_it_learns_what_only_an_earlier_layer_knows() -> None:
    """The last output is made of the first input alone: its error falls, through the decoders across layers."""
    x = torch.randn(512, L, D, generator=torch.Generator().manual_seed(3))
    y = torch.stack([x[:, 0], x[:, 1], x[:, 0].relu()], dim=1)
    batch = torch.cat([x, y], dim=1)
    sae = CLT(CLT.Config(d_in=D, n_latents=29, n_sites=2 * L, codes="batchtopk", k=6))
    sae.start(batch)
    optimiser = torch.optim.Adam(sae.parameters(), lr=0.01)
    for _ in range(60):
        losses = sae.loss(batch)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        sae.after_step(losses)
    assert float(sae.loss(batch).logs["fvu/site_2"]) < 0.4


def test_the_life_of_latents_is_told_layer_by_layer() -> None:
    sae, batch = _made("topk"), _sites(50).double()
    life = LatentLife(sae)
    losses = sae.loss(batch)
    sae.after_step(losses)
    life.add(sae, losses)
    row = life.row(sae)
    assert life.n_rows == 50
    assert sum(row["age"]) == sum(row["density"]) + row["silent"] == L * F
