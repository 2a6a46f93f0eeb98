"""What two parts explain, against the definitions over all tokens at once, hand-worked cases, and TFA's own log."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.evaluation._base import EvalResult, EvalSubject
from monoseme.evaluation._share_sums import effective_rank
from monoseme.evaluation.predicted_share import PredictedShare
from monoseme.evaluation.smoothness import Smoothness
from monoseme.saes import SAE, Codes
from monoseme.tensors.sparse import SparseCodes

_N, _S, _D, _F = 7, 17, 5, 11


class _TwoParts:
    """Answers with given codes of whole contexts and decodes with a matrix; the predicted part is dense, the novel one sparse."""

    learns_from = reads = "contexts"
    codes_per_site = False
    roles = SAE.roles

    def __init__(self, predicted: Tensor, novel: Tensor, w_dec: Tensor, bias: Tensor) -> None:
        self.n_latents, self.d_in = w_dec.shape
        self._parts, self._w_dec, self._bias = (predicted, novel), w_dec, bias
        self._at = 0

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        raise AssertionError("whole contexts were asked for")

    def encode_contexts(self, x: Tensor, mask: Tensor) -> Codes:
        predicted, novel = (part[self._at : self._at + len(x)] for part in self._parts)
        self._at += len(x)
        return Codes({"all": predicted + novel, "predicted": predicted, "novel": SparseCodes.from_dense(novel)})

    def decode(self, codes: Codes) -> Tensor:
        return codes.dense() @ self._w_dec + self._bias


def _data(seed: int = 0) -> SimpleNamespace:
    gen = torch.Generator().manual_seed(seed)
    novel = torch.randn(_N, _S, _F, generator=gen).relu() * (torch.rand(_N, _S, _F, generator=gen) > 0.5)
    novel[0, :3] = 0
    mask = torch.rand(_N, _S, generator=gen) > 0.1
    return SimpleNamespace(
        x=torch.randn(_N, _S, _D, generator=gen) * 3 + 5,
        predicted=torch.randn(_N, _S, _F, generator=gen),
        novel=novel,
        w_dec=torch.randn(_F, _D, generator=gen),
        bias=torch.randn(_D, generator=gen),
        mask=mask,
        documents=torch.arange(_N)[:, None].expand(_N, _S) // 2,
    )


def _subject(given: SimpleNamespace, d: SimpleNamespace) -> EvalSubject:
    source = given.source_of(d.x.where(d.mask[..., None], torch.nan), d.mask, d.documents)
    return EvalSubject(name="two", sae=_TwoParts(d.predicted, d.novel, d.w_dec, d.bias), sites=(given.SITE,), source=source)


def _measure(given: SimpleNamespace, d: SimpleNamespace, *, batch: int = 3, **settings: float) -> EvalResult:
    config = PredictedShare.Config(batch_contexts=batch, n_replicates=20, **settings)
    return PredictedShare(config).run(_subject(given, d))


def _definitions(d: SimpleNamespace) -> dict[str, float]:
    x, zp, zn = (t[d.mask].double() for t in (d.x, d.predicted, d.novel))
    p, n, b = zp @ d.w_dec.double(), zn @ d.w_dec.double(), d.bias.double()
    variance = float((x - x.mean(0)).pow(2).sum())
    fvu = {
        "predicted": float((x - b - p).pow(2).sum()) / variance,
        "novel": float((x - b - n).pow(2).sum()) / variance,
        "both": float((x - b - p - n).pow(2).sum()) / variance,
        "bias": float((x - b).pow(2).sum()) / variance,
    }
    pp, nn = p.pow(2).sum(-1), n.pow(2).sum(-1)
    energy = float((p + n).pow(2).sum())
    p_0, n_0 = p - p.mean(0), n - n.mean(0)
    spread = float((p_0 + n_0).pow(2).sum())
    has = nn > 0
    return {
        **{f"fvu_{name}": value for name, value in fvu.items()},
        **{f"explained_{name}": 1 - fvu[name] for name in ("predicted", "novel", "both")},
        "cross_term": 2 * float((p * n).sum()) / variance,
        "energy_predicted": float(pp.sum() / (pp.sum() + nn.sum())),
        "energy_share_predicted": float(pp.sum()) / energy,
        "energy_share_novel": float(nn.sum()) / energy,
        "energy_share_cross": 2 * float((p * n).sum()) / energy,
        "variance_share_predicted": float(p_0.pow(2).sum()) / spread,
        "variance_share_novel": float(n_0.pow(2).sum()) / spread,
        "variance_share_cross": 2 * float((p_0 * n_0).sum()) / spread,
        "cosine_errors": float(torch.cosine_similarity(x - b - p, x - b - n).mean()),
        "cosine_reconstructions": float(torch.cosine_similarity(p[has], n[has]).mean()),
        "cosine_codes": float(torch.cosine_similarity(zp[has], zn[has]).mean()),
        "nmse_predicted_as_tfa": fvu["predicted"] / fvu["bias"],
        "nmse_novel_as_tfa": fvu["novel"] / fvu["bias"],
    }


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_metrics_follow_their_definitions(given: SimpleNamespace, batch: int):
    d = _data()
    found = _measure(given, d, batch=batch)
    for name, value in _definitions(d).items():
        # Decoding is float32.
        assert found[name].value == pytest.approx(value, rel=1e-5), name
        assert found[name].standard_error > 0
    assert found["cosine_codes"].n < found["fvu_both"].n == int(d.mask.sum())
    assert [m.name for m in found.metrics] == [definition.name for definition in PredictedShare.definitions()]


def test_the_parts_add_up_with_the_cross_term(given: SimpleNamespace):
    found = _measure(given, _data(3))
    fvu = {name: found[f"fvu_{name}"].value for name in ("predicted", "novel", "both", "bias")}
    assert fvu["both"] == pytest.approx(fvu["predicted"] + fvu["novel"] - fvu["bias"] + found["cross_term"].value, rel=1e-9)
    for kind in ("energy", "variance"):
        shares = torch.stack([found.replicates[f"{kind}_share_{name}"] for name in ("predicted", "novel", "cross")])
        # Of the estimate and under every weighting of the documents; float64.
        whole = shares.sum(0)[shares.isfinite().all(0)]  # a weighting that leaves out all four documents has no shares
        assert len(whole) > 15
        assert torch.allclose(whole, torch.ones_like(whole), rtol=0, atol=1e-12)


def test_parts_worked_by_hand(given: SimpleNamespace):
    # x = (2, 0), (0, 2): the predicted part gives the mean's direction, the novel part half of what is left.
    d = SimpleNamespace(
        x=torch.tensor([[[2.0, 0.0], [0.0, 2.0]]]),
        predicted=torch.tensor([[[1.0, 1.0], [1.0, 1.0]]]),
        novel=torch.tensor([[[0.5, -0.5], [-0.5, 0.5]]]),
        w_dec=torch.eye(2),
        bias=torch.zeros(2),
        mask=torch.ones(1, 2, dtype=torch.bool),
        documents=torch.zeros(1, 2, dtype=torch.int64),
    )
    found = _measure(given, d, batch=1, rank_tokens=2)
    expected = {
        "fvu_bias": 8 / 4,
        "fvu_predicted": 4 / 4,
        "fvu_novel": 5 / 4,
        "fvu_both": 1 / 4,
        "cross_term": 0.0,
        "energy_predicted": 4 / 5,
        "energy_share_predicted": 4 / 5,
        "energy_share_cross": 0.0,
        "variance_share_predicted": 0.0,
        "variance_share_novel": 1.0,
        "cosine_errors": 1 / 5**0.5,  # of (1, -1) and (1.5, 0.5), and mirrored
        "cosine_reconstructions": 0.0,
        "tv_relative_predicted": 0.0,
        "tv_relative_novel": 2.0,
        "effective_rank_predicted": 1.0,
        "effective_rank_novel": 1.0,
        "entropy_rank_novel": 1.0,
        "effective_rank_all": 2.0,
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, abs=1e-12), name


def test_slowness_is_that_of_smoothness(given: SimpleNamespace):
    d = _data()
    found = _measure(given, d)
    smooth = Smoothness(Smoothness.Config(batch_contexts=3, n_replicates=20)).run(_subject(given, d))
    for row in smooth.tables["parts"].to_pylist():
        if row["metric"] == "smoothness_tv_relative":
            metric = found[f"tv_relative_{row['part']}"]
            assert (metric.value, metric.standard_error, metric.n) == (row["value"], row["standard_error"], row["n"])


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_effective_ranks_are_those_of_singular_values(rank: int):
    gen = torch.Generator().manual_seed(rank)
    codes = torch.randn(17, rank, generator=gen, dtype=torch.float64) @ torch.randn(rank, 29, generator=gen, dtype=torch.float64)
    values = torch.linalg.svdvals(codes)
    held = values.square().cumsum(0) / values.square().sum()
    for share in (0.5, 0.9, 0.999999):
        assert effective_rank(codes.T, share=share).by_share == int((held >= share).nonzero()[0]) + 1
    found = effective_rank(codes.T, share=0.999999)
    assert found.by_share <= rank
    weights = values[:rank] / values[:rank].sum()
    # Singular values are roots of eigenvalues, which have eight digits.
    assert found.by_entropy == pytest.approx(float((-(weights * weights.log()).sum()).exp()), rel=1e-6)
    assert effective_rank(torch.zeros(0, 17, dtype=torch.float64), share=0.999) == (0, 0.0)


def test_equal_directions_have_their_number_as_rank():
    found = effective_rank(torch.eye(11, 5, dtype=torch.float64), share=0.99)
    assert found == (5, pytest.approx(5, abs=1e-12))


def test_replicates_are_where_the_standard_errors_come_from(given: SimpleNamespace):
    found = _measure(given, _data())
    assert set(found.replicates) == {metric.name for metric in found.metrics}
    for metric in found.metrics:
        drawn = found.replicates[metric.name]
        assert drawn.shape == (21,)
        assert (metric.value, metric.standard_error) == (float(drawn[0]), float(drawn[1:][drawn[1:].isfinite()].std()))


def test_short_stretches_have_no_rank(given: SimpleNamespace):
    found = _measure(given, _data(), rank_tokens=100)
    assert found["effective_rank_novel"].why_missing == "no stretch is long enough"
    assert found["tv_relative_novel"].value is not None


def test_an_sae_without_these_parts_has_the_rank_of_its_code_and_the_reason(given: SimpleNamespace):
    codes = torch.eye(24, 11).reshape(3, 8, 11)
    sae = given.Sae([(codes.flatten(0, 1), torch.zeros(24, 5))], n_latents=11)
    found = PredictedShare().run(
        EvalSubject(name="topk", sae=sae, sites=(given.SITE,), source=given.source_of(torch.ones(3, 8, 5)))
    )
    assert found["effective_rank_all"].value == pytest.approx((8 + 3 + 0) / 3)
    missing = {m.name: m.why_missing for m in found.metrics if m.value is None}
    assert set(missing.values()) == {"its codes have no parts predicted and novel, but all"}
    assert {m.name for m in found.metrics} - set(missing) == {"tv_relative_all", "effective_rank_all", "entropy_rank_all"}


@pytest.mark.parametrize(("name", "value"), [("rank_share", 1.0), ("rank_tokens", 0)])
def test_settings_out_of_range_are_refused(name: str, value: float):
    with pytest.raises(ConfigError, match=name):
        PredictedShare.Config(**{name: value})


def test_the_training_log_of_tfa(shared: Path, given: SimpleNamespace):
    v = load_file(shared / "vectors" / "tfa.safetensors")
    name = "relu.tied.layers1.bf1"
    predicted, novel = v[f"tfa.{name}.pred_codes"], v[f"tfa.{name}.novel_codes"]
    everywhere = torch.ones(v["tfa.x"].shape[:2], dtype=torch.bool)
    documents = torch.arange(len(everywhere))[:, None].expand(everywhere.shape)
    d = SimpleNamespace(
        x=v["tfa.x"], predicted=predicted, novel=novel, w_dec=v["tfa.D"], bias=v["tfa.b"][0], mask=everywhere, documents=documents
    )
    found = _measure(given, d, batch=len(everywhere))
    log = f"tfa.log.{name}"
    theirs = {
        "nmse_predicted_as_tfa": float(v[f"{log}.mse_pred"] / v[f"{log}.mse_bias"]),
        "nmse_novel_as_tfa": float(v[f"{log}.mse_novel"] / v[f"{log}.mse_bias"]),
        "energy_predicted": float(v[f"{log}.rel_energy"]),
        "cosine_errors": float(v[f"{log}.error_similarity"]),
        "cosine_reconstructions": float(v[f"{log}.pn_recons_similarity"]),
        "cosine_codes": float(v[f"{log}.pn_code_similarity"]),
    }
    for ours, value in theirs.items():
        assert found[ours].value == pytest.approx(value, rel=1e-4, abs=1e-5), ours


def test_it_is_called_by_words(given: SimpleNamespace):
    one, other = _subject(given, _data()), _subject(given, _data())
    with pytest.raises(ConfigError, match="predicted share measures SAEs together"):
        PredictedShare(PredictedShare.Config()).run_many([one, other])
