"""A text at all layers of an MLSAE, against its codes as they are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from monoseme.evaluation import text_metrics
from monoseme.models import Site
from monoseme.splice import Placed, Read
from monoseme.tensors.sparse import SparseCodes
from monoseme.web.prompt import _layers
from monoseme.web.prompt._layers import METRICS

from .prompt_run import SITES, TEXT, K, PromptRun


@pytest.fixture(scope="module")
def run(prompt_run: PromptRun) -> PromptRun:
    return prompt_run


@pytest.fixture(scope="module")
def dense(run: PromptRun) -> torch.Tensor:
    """Codes [S, L, F] of TEXT, zeros on its beginning-of-text token."""
    tokens = torch.tensor([run.model.encode(TEXT)])
    sites = tuple(Site.parse(site) for site in SITES)
    activations = run.model.capture(tokens, sites)
    mask = run.model.editable(tokens)
    codes = Placed(run.saes["mlsae"], sites).encode(activations, mask).dense()
    found = torch.zeros(tokens.shape[1], *codes.shape[1:])
    found[mask[0]] = codes.detach()
    return found


def test_columns_hold_every_code_other_than_zero(run: PromptRun, dense: torch.Tensor) -> None:
    answer = run.ask("mlsae", "/layers")
    codes = answer["codes"]
    found = torch.zeros_like(dense)
    found[codes["position"], codes["layer"], codes["latent"]] = torch.tensor(codes["value"])
    assert len(codes["value"]) == int((dense != 0).sum())
    torch.testing.assert_close(found, dense, rtol=1e-5, atol=1e-6)  # told to 6 digits
    order = list(zip(codes["position"], codes["layer"], [-abs(value) for value in codes["value"]], strict=True))
    assert order == sorted(order)
    assert [token["special"] for token in answer["tokens"]] == [True] + [False] * (len(dense) - 1)


def test_histograms_count_the_codes_of_each_layer_in_64_bins_of_the_same_edges(run: PromptRun, dense: torch.Tensor) -> None:
    layers = run.ask("mlsae", "/layers")["layers"]
    assert [layer["site"] for layer in layers] == list(SITES)
    edges = layers[0]["histogram"]["edges"]
    assert len(edges) == 65
    assert edges[0] == 0
    assert edges[-1] == pytest.approx(float(dense.max()))
    for i, layer in enumerate(layers):
        values = dense[:, i][dense[:, i] != 0].double()
        assert layer["histogram"]["edges"] == edges
        upper = [*edges[1:-1], float("inf")]
        inside = [int(((values >= low) & (values < high)).sum()) for low, high in zip(edges, upper, strict=False)]
        assert layer["histogram"]["counts"] == inside
        assert layer["max"] == pytest.approx(float(values.max()))
        assert layer["n_fired"] == int((dense[:, i] != 0).any(0).sum())


def test_metrics_of_a_layer_are_those_of_its_reconstruction(run: PromptRun) -> None:
    tokens = torch.tensor([run.model.encode(TEXT)])
    placed = Placed(run.saes["mlsae"], tuple(Site.parse(site) for site in SITES))
    reads = placed.read(run.model.capture(tokens, placed.inputs), run.model.editable(tokens))
    for read, layer in zip(reads, run.ask("mlsae", "/layers")["layers"], strict=True):
        metrics = {metric["name"]: metric["value"] for metric in layer["metrics"]}
        x, error = read.x.double(), (read.x - read.x_hat.detach()).double()
        assert metrics["fvu"] == pytest.approx(float(error.square().sum() / (x - x.mean(0)).square().sum()))
        assert metrics["mse"] == pytest.approx(float(error.square().mean()))
        assert metrics["l2_norm_in"] == pytest.approx(float(x.norm(dim=1).mean()))
        assert metrics["l0"] == pytest.approx(read.codes.nnz / len(x))
        assert all(metric["definition"] for metric in layer["metrics"])


def test_metrics_are_those_that_mlsae_itself_logs(shared: Path) -> None:
    v = load_file(shared / "vectors" / "mlsae.safetensors")
    for kind in ("std", "raw"):
        for layer in range(len(v["x"])):
            rows = (v[name][layer].reshape(-1, v[name].shape[-1]) for name in ("x", f"{kind}.recons", f"{kind}.codes"))
            x, x_hat, codes = rows
            found = text_metrics(Read(Site("resid_post", layer), SparseCodes.from_dense(codes), x, x_hat), METRICS)
            metrics = {metric.name: metric.value for metric in found}
            assert metrics["fvu_as_mlsae"] == pytest.approx(float(v[f"{kind}.layer_fvu"][layer]), rel=1e-5)
            assert metrics["mse"] == pytest.approx(float(v[f"{kind}.layer_mse"][layer]), rel=1e-5)
            assert metrics["l0"] == pytest.approx(float(v[f"{kind}.layer_l0"][layer]), rel=1e-5)


def test_latents_are_summed_over_layers_and_positions(run: PromptRun, dense: torch.Tensor) -> None:
    answer = run.ask("mlsae", "/layers")
    assert answer["n_latents_fired"] == len(answer["latents"]) == int((dense != 0).any(0).any(0).sum())
    layer_number = torch.arange(len(SITES)).double()[None, :]
    for latent in answer["latents"]:
        own = dense[:, :, latent["index"]].double()
        assert latent["total"] == pytest.approx(float(own.sum()))
        assert latent["mean_layer"] == pytest.approx(float((own * layer_number).sum() / own.sum()))
        assert latent["max"] == pytest.approx(float(own.max()))
        assert float(own[latent["peak"], latent["peak_layer"]]) == pytest.approx(latent["max"])
        assert latent["n_firings"] == int((own != 0).sum())
    sizes = [latent["max"] for latent in answer["latents"]]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.95])
def test_a_table_holds_what_exceeds_the_threshold_by_mean_layer_then_total(
    run: PromptRun, dense: torch.Tensor, threshold: float
) -> None:
    position = 6
    table = run.ask("mlsae", "/layers/table", position=position, threshold=threshold)
    here = dense[position].double()  # [L, F]
    top = float(here.max())
    kept = torch.where(here > threshold * top, here, 0.0)
    expected = sorted(
        (_mean_layer(kept[:, latent]), -float(kept[:, latent].sum()), latent) for latent in kept.any(0).nonzero()[:, 0].tolist()
    )
    assert table["max"] == pytest.approx(top)
    assert [row["latent"] for row in table["rows"]] == [latent for _, _, latent in expected]
    assert table["n_rows"] == len(expected) >= 1
    for row, (mean_layer, minus_total, latent) in zip(table["rows"], expected, strict=True):
        assert row["mean_layer"] == pytest.approx(mean_layer)
        assert row["total"] == pytest.approx(-minus_total)
        assert [value or 0.0 for value in row["values"]] == pytest.approx(kept[:, latent].tolist(), rel=1e-5)


def _mean_layer(values: torch.Tensor) -> float:
    return float((values * torch.arange(len(values))).sum() / values.sum())


def test_a_token_that_is_not_read_has_an_empty_table(run: PromptRun) -> None:
    table = run.ask("mlsae", "/layers/table", position=0)
    assert table["token"]["special"]
    assert (table["max"], table["rows"], table["n_rows"]) == (None, [], 0)


def test_a_position_beyond_the_text_is_refused(run: PromptRun) -> None:
    answer = run.refused("mlsae", "/layers/table", position=500)
    assert answer.status_code == 404
    assert "counted from 0" in answer.json()["error"]


def test_an_sae_with_one_code_has_no_layers(run: PromptRun) -> None:
    for name in ("topk", "crosscoder"):
        answer = run.refused(name, "/layers")
        assert answer.status_code == 409
        assert name in answer.json()["error"]


def test_steps_from_position_to_position_do_not_run_the_model_again(run: PromptRun) -> None:
    run.ask("mlsae", "/layers", text="the cat")
    before = run.n_calls
    for position in range(3):
        run.ask("mlsae", "/layers/table", text="the cat", position=position)
    assert run.n_calls == before


def test_long_texts_keep_the_strongest_of_each_token_and_layer(run: PromptRun, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run.ask("mlsae", "/layers", text=TEXT)
    n_tokens = len(whole["tokens"])
    monkeypatch.setattr(_layers, "MAX_ENTRIES", 2 * (n_tokens + 1) * len(SITES))
    longer = f"{TEXT} "  # one token more
    cut: Any = run.ask("mlsae", "/layers", text=longer)
    assert "2 strongest" in cut["truncated"]
    assert whole["truncated"] == ""
    counts: dict[tuple[int, int], int] = {}
    for place in zip(cut["codes"]["position"], cut["codes"]["layer"], strict=True):
        counts[place] = counts.get(place, 0) + 1
    assert set(counts.values()) == {2}
    assert K > 2
    # What is summed, and the table of one token, still rest on every code.
    assert len(run.ask("mlsae", "/layers/table", text=longer, position=6, threshold=0)["rows"]) > 2 * len(SITES)
    assert sum(latent["n_firings"] for latent in cut["latents"]) > sum(counts.values())
    monkeypatch.setattr(_layers, "MAX_ENTRIES", 10**6)
    uncut = run.ask("mlsae", "/layers", text=longer)
    assert (cut["latents"], cut["n_latents_fired"]) == (uncut["latents"], uncut["n_latents_fired"])


def test_longer_ones_keep_the_strongest_in_tables_too(run: PromptRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_layers, "MAX_KEPT", 1)
    assert "Tables hold the 1 strongest" in run.ask("mlsae", "/layers", text="one hill")["truncated"]
    rows = run.ask("mlsae", "/layers/table", text="one hill", position=1, threshold=0)["rows"]
    assert sum(value is not None for row in rows for value in row["values"]) == len(SITES)
