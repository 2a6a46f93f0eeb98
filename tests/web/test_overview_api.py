"""The map of a dictionary and two SAEs against each other, on the tiny real run."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from monoseme.web.overview import _umap
from monoseme.web.overview._comparison import comparison
from monoseme.web.overview._directions import Basis, Dictionary, Directions
from monoseme.web.overview._jobs import Jobs
from monoseme.web.overview._map import pca
from monoseme.web.overview._match import matched
from monoseme.web.overview.answers import SaeSummary
from monoseme.web.run_files import UnavailableError
from monoseme.web.values import MetricValue

_SAE = "/api/runs/tiny/saes/topk"


def _until_done(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    for _ in range(600):
        answer = ask()
        if answer["progress"]["state"] in ("done", "failed"):
            return answer
        time.sleep(0.05)
    raise AssertionError(answer)


def test_a_map_has_a_place_for_each_latent_that_fires(real: TestClient) -> None:
    told = _until_done(lambda: real.get(f"{_SAE}/map?method=pca").json())
    assert told["progress"]["state"] == "done"
    points = np.frombuffer(real.get(f"{_SAE}/map/points?method=pca").content, "<f4").reshape(2, -1)
    densities = np.frombuffer(real.get(f"{_SAE}/latents/values?columns=density").content, "<f4")
    placed = np.isfinite(points).all(0)
    assert (placed == (densities > 0)).all()
    assert placed.sum() == told["n_placed"]
    assert np.abs(points[:, placed]).max() == pytest.approx(1.0)


@pytest.mark.slow
def test_umap_is_made_in_a_process_of_its_own_and_kept_beside_the_artifacts(real: TestClient, run_folder: Path) -> None:
    told = _until_done(lambda: real.get(f"{_SAE}/map").json())
    assert told["progress"]["why"] == ""
    points = np.frombuffer(real.get(f"{_SAE}/map/points").content, "<f4").reshape(2, -1)
    assert np.isfinite(points).all(0).sum() == told["n_placed"]
    assert [path.suffix for path in (run_folder / "cache" / "web").iterdir()] == [".npy"]


def test_neighbours_of_rows_are_their_nearest_by_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_umap, "_tell", lambda *_: None)
    monkeypatch.setattr(_umap, "_BLOCK", 40)
    rows = np.random.default_rng(0).normal(size=(23, 7)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    found = _umap.nearest(rows, 4)
    assert (found.row == np.argsort(-(rows @ rows.T), axis=1)[:, :4]).all()
    assert found.distance[:, 0] == pytest.approx(0, abs=1e-6)


def test_pca_finds_the_two_directions_of_most_variance() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(200, 5)) * [1, 9, 0.5, 4, 0.1] + 3).astype(np.float32)
    found = pca(rows)
    assert abs(np.corrcoef(found[:, 0], rows[:, 1])[0, 1]) > 0.99
    assert abs(np.corrcoef(found[:, 1], rows[:, 3])[0, 1]) > 0.99


def test_a_difference_has_the_error_of_both_and_favours_a_side_only_beyond_it() -> None:
    def sae(name: str, **values: tuple[float | None, float | None]) -> SaeSummary:
        metrics = [
            MetricValue(name=key, value=value, standard_error=error, better="lower", n=100)
            for key, (value, error) in values.items()
        ]
        return SaeSummary(
            name=name, architecture=name, n_latents=7, site="", has_atlas=False, config={}, metrics=metrics, domains={}
        )

    a = sae("a", fvu=(0.5, 0.03), mse=(1.0, 0.3), l0=(3.0, None), dead=(None, None), ce_original=(4.2, 0.3))
    b = sae("b", fvu=(0.2, 0.04), mse=(1.2, 0.4), l0=(4.0, 0.1), dead=(0.1, 0.1), ce_original=(4.2, 0.3))
    found = {pair.name: pair for pair in comparison(a, b, runs=("x", "y")).metrics}
    assert (found["fvu"].difference, found["fvu"].low) == (pytest.approx(-0.3), pytest.approx(-0.3 - 1.96 * 0.05))
    assert [found[name].favours for name in ("fvu", "mse", "l0")] == ["b", "neither", "neither"]
    assert (found["l0"].difference, found["l0"].low) == (1.0, None)
    assert found["dead"].difference is None
    assert (found["ce_original"].difference, found["ce_original"].low) == (0, None), "one measurement, told twice"


def _dictionary(rows: np.ndarray, model: str = "m", site: str = "resid_post.1") -> Dictionary:
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    directions = Directions(np.arange(len(rows), dtype=np.int32) + 10, unit, len(rows) + 10, "")
    return Dictionary(directions, Basis(model, (site,), rows.shape[1], is_residual=site.startswith("resid")), "h")


def test_latents_are_matched_with_the_nearest_direction_both_ways() -> None:
    rows = np.eye(5, 7)
    found = matched(_dictionary(rows), _dictionary(rows[[2, 0, 1]]), lambda *_: None)
    assert found.partners[:3].tolist() == [11, 12, 10]
    assert found.cosines[:3] == pytest.approx(1.0)
    assert found.is_mutual.tolist() == [True, True, True, False, False]
    assert (found.summary.a.mean_cosine, found.summary.b.mean_cosine) == (pytest.approx(0.6), pytest.approx(1.0))
    assert sum(found.summary.a.histogram.counts) == 5


@pytest.mark.parametrize(("model", "site", "d"), [("other", "resid_post.1", 7), ("m", "mlp_in.1", 7), ("m", "resid_post.1", 11)])
def test_directions_without_a_basis_in_common_are_not_compared(model: str, site: str, d: int) -> None:
    with pytest.raises(UnavailableError, match="cannot be compared"):
        matched(_dictionary(np.eye(5, 7)), _dictionary(np.eye(5, d), model, site), lambda *_: None)


def test_an_sae_against_another_and_against_what_is_not_there(real: TestClient) -> None:
    answer = real.get("/api/compare?a=tiny:topk&b=tiny:batchtopk").json()
    assert {pair["name"] for pair in answer["metrics"]} > {"fvu", "l0"}
    state = _until_done(lambda: real.get("/api/compare/match?a=tiny:topk&b=tiny:batchtopk&limit=3&order=lowest").json())
    cosines = [pair["cosine"] for pair in state["partners"]]
    assert cosines == sorted(cosines)
    assert len(cosines) == 3
    assert state["total"] == state["match"]["a"]["n"]
    assert [real.get(f"/api/compare?a=tiny:topk&b={b}").status_code for b in ("tiny", "no:topk", "tiny:no")] == [422, 404, 404]


def test_work_is_done_once_and_begun_anew_after_it_failed() -> None:
    calls: list[int] = []

    def work(tell: Any) -> int:
        tell("counting", 0.5)
        calls.append(1)
        if len(calls) == 1:
            raise UnavailableError("not yet")
        return len(calls)

    jobs: Jobs[int] = Jobs()

    def ask() -> dict[str, Any]:
        progress, result = jobs.ask("key", work)
        return {"progress": progress.model_dump(), "result": result}

    assert _until_done(ask)["progress"]["why"] == "not yet"
    assert _until_done(ask)["result"] == 2
    assert ask()["result"] == 2
    assert len(calls) == 2
