"""Facts of TopK, BatchTopK and Thresholded that the battery does not state: hand-worked cases, units, thresholds, AuxK."""

import pytest
import torch

from monoseme.core.errors import ConfigError, TrainingError
from monoseme.kernels import Encoder, kernels_named
from monoseme.saes import Knobs, NormaliseConfig
from monoseme.saes._dead import auxk, default_k_aux
from monoseme.saes._dictionary import geometric_median, renormalise
from monoseme.saes._threshold import move_threshold
from monoseme.saes.batchtopk import BatchTopK
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK

_NONE = NormaliseConfig(kind="none")


def _rows(n: int, width: int = 7, *, seed: int = 0) -> torch.Tensor:
    return 2.0 * torch.randn(n, width, generator=torch.Generator().manual_seed(seed)) + 0.3


def _hand_worked(sae: TopK | BatchTopK) -> None:
    """Four latents on the axes of a plane: +x, +y, -x, -y; the centre is at (1, 0)."""
    axes = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    bias = torch.tensor([1.0, 0.0])
    sae.load_state_dict({**sae.state_dict(), "W_dec": axes, "W_enc": axes.t(), "b_dec": bias})
    sae.started.fill_(True)


def test_topk_by_hand() -> None:
    sae = TopK(TopK.Config(d_in=2, n_latents=4, k=1, normalise=_NONE))
    _hand_worked(sae)
    x = torch.tensor([[4.0, 2.0], [0.0, -5.0], [1.0, 0.0]])  # centred: (3, 2), (-1, -5), (0, 0)
    assert sae.encode(x).dense().tolist() == [[3, 0, 0, 0], [0, 0, 0, 5], [0, 0, 0, 0]]
    assert sae(x).tolist() == [[4, 0], [1, -5], [1, 0]]
    losses = sae.loss(x)
    assert losses.parts["reconstruction"].item() == pytest.approx((4 + 1 + 0) / 3)  # V is 1 without start()
    assert losses.parts["auxk"].item() == 0.0


def test_batchtopk_by_hand_shares_the_budget() -> None:
    sae = BatchTopK(BatchTopK.Config(d_in=2, n_latents=4, k=1, normalise=_NONE))
    _hand_worked(sae)
    losses = sae.loss(torch.tensor([[4.0, 2.0], [0.0, 0.5], [1.0, 0.0]]))  # activations 3, 2 | 1, 0.5 | none
    assert losses.active is not None
    assert losses.active.to_dense().tolist() == [[3, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    sae.after_step(losses)
    assert sae.threshold.item() == 1.0


def test_relu_comes_after_the_selection() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3, normalise=_NONE))
    with torch.no_grad():
        sae.b_enc.fill_(-100.0)
    sae.started.fill_(True)
    losses = sae.loss(_rows(5))
    assert losses.active is not None
    assert losses.active.nnz == 15  # selected, although none is positive
    assert not losses.active.values.any()
    assert sae.encode(_rows(5)).sparse().nnz == 0


@pytest.mark.parametrize("architecture", [TopK, BatchTopK])
def test_k_beyond_the_width_is_refused(architecture: type[TopK] | type[BatchTopK]) -> None:
    with pytest.raises(ConfigError, match="k is 12; it must be from 1 to n_latents = 11"):
        architecture.Config(n_latents=11, k=12)
    with pytest.raises(ConfigError, match="k is 0"):
        architecture.Config(n_latents=11, k=0)


def test_knobs_change_k_for_one_step() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=2))
    sae.start(_rows(50))
    assert sae.loss(_rows(5), Knobs(k=4)).active.nnz == 20
    assert sae.loss(_rows(5)).active.nnz == 10


def test_an_unknown_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="d_in"):
        TopK(TopK.Config())


def test_codes_are_in_activation_units_and_scale_with_the_input() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3, b_dec_start="zeros"))
    sae.start(_rows(200))
    assert sae.unit == "activation"
    codes = sae.encode(_rows(5)).dense()
    # decoder rows have unit norm, so with orthogonal latents a code would be the length of its share of x
    assert torch.allclose(sae.encode(3 * _rows(5)).dense(), 3 * codes, rtol=1e-5)
    assert torch.allclose(codes @ sae.W_dec + sae.b_dec / sae.input_factor, sae(_rows(5)), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "statistic"),
    [
        ("unit_mean_square", lambda x: x.square().sum(1).mean().sqrt()),
        ("inverse_mean_norm", lambda x: x.norm(dim=1).mean()),
    ],
)
def test_the_normalised_sample_has_unit_size(kind: str, statistic) -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3, normalise=NormaliseConfig(kind=kind)))
    sae.start(_rows(200))
    assert statistic(sae.normalise(_rows(200)).rows).item() == pytest.approx(1.0, rel=1e-5)


def test_standardised_vectors_have_mean_zero_and_unbiased_deviation_one() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3, normalise=NormaliseConfig(kind="standardise", eps=0.0)))
    rows = sae.normalise(_rows(5)).rows
    assert torch.allclose(rows.mean(1), torch.zeros(5), atol=1e-6)
    assert torch.allclose(rows.std(1), torch.ones(5), rtol=1e-5)
    assert sae.unit == "standardised"


def test_vectors_of_one_norm_are_scaled_by_themselves_and_back() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3, normalise=NormaliseConfig(kind="vector_norm")))
    sae.start(_rows(50))
    x = torch.cat([_rows(5), torch.zeros(1, 7)])
    assert torch.allclose(sae.normalise(x).rows[:5].norm(dim=1), torch.full((5,), 7**0.5), rtol=1e-5)
    assert sae.unit == "standardised"
    codes, larger = sae.encode(x[:5]), sae.encode(3 * x[:5])
    assert torch.allclose(larger.dense(), codes.dense(), atol=1e-5)
    assert torch.allclose(sae.decode(larger), 3 * sae.decode(codes), atol=1e-4)
    assert sae(x)[5].abs().max().item() < 1e-30  # a vector of zeros has no direction, and comes back as it is
    wanted = (codes.dense() @ sae.W_dec + sae.b_dec) * x[:5].norm(dim=1, keepdim=True) / 7**0.5
    assert torch.allclose(sae.decode(codes), wanted, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "constant"},
        {"kind": "none", "constant": 2.0},
        {"kind": "none", "eps": 0.1},
        {"kind": "constant", "constant": -1.0},
    ],
)
def test_normalisation_settings_that_would_not_be_used_are_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match=r"normalise\."):
        NormaliseConfig(**settings)


@pytest.mark.parametrize("how", ["geometric_median", "mean", "zeros"])
def test_b_dec_starts_in_the_normalised_space(how: str) -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3, b_dec_start=how))
    sample = _rows(200)
    sae.start(sample)
    raw = (sae.b_dec / sae.input_factor).double()
    wanted = {"mean": sample.double().mean(0), "zeros": torch.zeros(7).double(), "geometric_median": geometric_median(sample)}
    assert torch.allclose(raw, wanted[how], atol=1e-5)


def test_geometric_median_ignores_an_outlier() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1e6, 0.0]])
    assert geometric_median(points, n_steps=1000, tolerance=1e-12).norm().item() < 0.5
    assert points.mean(0).norm().item() > 1e5


def test_geometric_median_at_a_sample_point_is_finite() -> None:
    assert geometric_median(torch.zeros(5, 7)).tolist() == [0.0] * 7


def test_a_loss_of_one_is_predicting_the_mean() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3, b_dec_start="mean"))
    sample = _rows(500)
    sae.start(sample)
    with torch.no_grad():
        sae.b_enc.fill_(-100.0)  # nothing fires
    assert sae.loss(sample).parts["reconstruction"].item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("sample", [torch.ones(5, 7), torch.full((5, 7), torch.nan), torch.zeros(5, 7)])
def test_a_sample_without_variance_is_refused(sample: torch.Tensor) -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3))
    with pytest.raises(TrainingError, match="variance"):
        sae.start(sample)


@pytest.mark.parametrize(("width", "k_aux"), [(192, 128), (768, 512), (2304, 1024), (1024, 512), (2, 1), (1, 1)])
def test_k_aux_is_a_power_of_two_near_half_the_width(width: int, k_aux: int) -> None:
    assert default_k_aux(width) == k_aux


def test_auxk_equals_its_formula_and_leaves_live_latents_alone() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=2, normalise=_NONE)).double()
    x, residual = _rows(5).double(), _rows(5, seed=1).double()
    dead = torch.tensor([1, 4, 5, 9])
    value = auxk(x, residual, sae.encoder, sae.W_dec, dead=dead, k_aux=2, kernels=kernels_named("torch"))
    pre = x @ sae.W_enc + sae.b_enc - sae.b_dec @ sae.W_enc
    masked = torch.full_like(pre, -torch.inf)
    masked[:, dead] = pre[:, dead]
    top = masked.topk(2, dim=1)
    e_hat = torch.zeros_like(pre).scatter(1, top.indices, top.values.relu()) @ sae.W_dec
    centred = residual - residual.mean(0)
    wanted = (residual - e_hat).square().sum(1).mean() / centred.square().sum(1).mean()
    assert torch.allclose(value, wanted, rtol=1e-12)
    value.backward()
    live = torch.ones(11, dtype=torch.bool)
    live[dead] = False
    for grad in (sae.W_enc.grad.t(), sae.b_enc.grad, sae.W_dec.grad):
        assert not grad[live].any()
        assert grad[dead].any()
    assert sae.b_dec.grad is None


def test_auxk_gradient_matches_finite_differences() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=2, normalise=_NONE)).double()
    x, residual = _rows(5).double(), _rows(5, seed=1).double()
    dead = torch.tensor([1, 4, 5, 9])

    def value(W_enc: torch.Tensor, b_enc: torch.Tensor, W_dec: torch.Tensor) -> torch.Tensor:
        return auxk(x, residual, Encoder(W_enc, b_enc, sae.b_dec), W_dec, dead=dead, k_aux=2, kernels=kernels_named("torch"))

    leaves = [p.detach().clone().requires_grad_() for p in (sae.W_enc, sae.b_enc, sae.W_dec)]
    assert torch.autograd.gradcheck(value, leaves)


def test_auxk_of_a_single_row_is_zero_not_nan() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=2))
    sae.start(_rows(50))
    sae.tokens_since_fired.fill_(10_000_000)
    assert sae.loss(_rows(1)).parts["auxk"].item() == 0.0


def test_a_latent_that_fires_in_the_batch_is_not_revived() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=11))
    sae.start(_rows(50))
    with torch.no_grad():
        sae.b_enc.fill_(100.0)  # everything fires
    sae.tokens_since_fired.fill_(10_000_000)
    assert sae.dead_mask().all()
    assert sae.loss(_rows(5)).parts["auxk"].item() == 0.0


def test_the_threshold_forgets_at_the_configured_rate() -> None:
    threshold, n_updates = torch.zeros(()), torch.zeros((), dtype=torch.int64)
    for smallest, wanted in ((0.8, 0.8), (0.4, 0.7), (0.4, 0.625)):
        move_threshold(threshold, n_updates, torch.tensor([5.0, 0.0, smallest, 2.0]), decay=0.75)
        assert threshold.item() == pytest.approx(wanted)
    move_threshold(threshold, n_updates, torch.zeros(3), decay=0.75)  # nothing positive was kept: nothing to learn
    assert threshold.item() == pytest.approx(0.625)
    assert int(n_updates) == 3


def test_batchtopk_exports_to_thresholded_with_the_threshold_in_raw_units() -> None:
    sae = BatchTopK(BatchTopK.Config(d_in=7, n_latents=11, k=2, normalise=NormaliseConfig(kind="constant", constant=4.0)))
    sae.start(_rows(50))
    sae.after_step(sae.loss(_rows(50)))
    exported = sae.export()
    assert isinstance(exported, Thresholded)
    assert torch.allclose(exported.threshold, (sae.threshold / 4.0).expand(11))
    assert exported.input_variance.item() == pytest.approx(sae.input_variance.item() / 16)
    # the loss of the export is on the same scale, so fine-tuning starts where training ended
    x = _rows(50)
    wanted = ((x - sae(x)) * 4.0).square().sum(1).mean() / sae.input_variance
    assert exported.loss(x).total.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_normalised_loss_survives_export() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=2))
    sae.start(_rows(50))
    assert sae.export().loss(_rows(5)).total.item() == pytest.approx(sae.loss(_rows(5)).total.item(), rel=1e-5)


def test_an_edited_dense_code_decodes_like_the_sparse_one() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3, normalise=NormaliseConfig(kind="standardise")))
    sae.start(_rows(50))
    codes = sae.encode(_rows(6).reshape(2, 3, 7))
    assert codes.dense().shape == (2, 3, 11)
    edited = codes.dense()
    assert torch.allclose(sae.decode(codes.with_all(edited)), sae.decode(codes), atol=1e-5)
    edited[0, 0, 4] += 2.0
    gap = sae.decode(codes.with_all(edited)) - sae.decode(codes)
    assert torch.allclose(gap[0, 0], 2.0 * sae.W_dec[4] * codes.scale[0, 0], atol=1e-5)
    with pytest.raises(ConfigError, match='no part "high"'):
        codes.part("high")


def test_low_precision_activations_are_read_in_the_precision_of_the_weights() -> None:
    sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3))
    sae.start(_rows(50).bfloat16())
    x = _rows(5).bfloat16()
    assert sae(x).dtype == torch.float32
    assert torch.equal(sae(x), sae(x.float()))


def test_reference_and_fast_kernels_train_alike() -> None:
    saes = []
    for kernels in ("torch", "reference"):
        sae = TopK(TopK.Config(d_in=7, n_latents=11, k=3)).double()
        sae.use_kernels(kernels)
        sae.start(_rows(50))
        optimiser = torch.optim.SGD(sae.parameters(), lr=0.1)
        for step in range(5):
            losses = sae.loss(_rows(20, seed=step))
            optimiser.zero_grad()
            losses.total.backward()
            sae.project_gradients()
            optimiser.step()
            sae.after_step(losses)
        saes.append(sae)
    for name, tensor in saes[0].state_dict().items():
        assert torch.allclose(tensor.double(), saes[1].state_dict()[name].double(), rtol=1e-9), name


def test_a_row_of_zeros_stays_zero_when_rows_are_renormalised() -> None:
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    renormalise([weight])
    assert torch.allclose(weight, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
