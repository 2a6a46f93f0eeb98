"""A text over time: the parts of a code, and how much each rebuilds."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from monoseme.models import Site
from monoseme.saes.tfa import TFA
from monoseme.splice import Placed
from monoseme.web.prompt._time import shares_of

from .prompt_run import ONE, TEXT, PromptRun

_SITE = Site.parse(ONE[0])


@pytest.fixture(scope="module")
def run(prompt_run: PromptRun) -> PromptRun:
    return prompt_run


def _dense(run: PromptRun, sae: str, part: str | None) -> torch.Tensor:
    """Codes [S, F] of TEXT, zeros on its beginning-of-text token."""
    tokens = torch.tensor([run.model.encode(TEXT)])
    mask = run.model.editable(tokens)
    codes = Placed(run.saes[sae], (_SITE,)).encode(run.model.capture(tokens, [_SITE]), mask).dense(part)
    found = torch.zeros(tokens.shape[1], codes.shape[1])
    found[mask[0]] = codes.detach()
    return found


@pytest.mark.parametrize(("sae", "parts"), [("tsae", ["high", "low"]), ("tfa", ["predicted", "novel"]), ("topk", ["all"])])
def test_rows_are_the_codes_of_each_part(run: PromptRun, sae: str, parts: list[str]) -> None:
    answer = run.ask(sae, "/time", rows=200)
    assert [part["name"] for part in answer["parts"]] == parts
    assert answer["n_rows"] == len(answer["rows"])
    for part in answer["parts"]:
        dense = _dense(run, sae, None if part["name"] == "all" else part["name"])
        rows = [row for row in answer["rows"] if row["part"] == part["name"]]
        found = torch.zeros_like(dense)
        for row in rows:
            found[row["positions"], row["latent"]] = torch.tensor(row["values"])
            assert row["total"] == pytest.approx(float(dense[:, row["latent"]].abs().sum()), rel=1e-5)
            assert abs(row["max"]) == pytest.approx(float(dense[:, row["latent"]].abs().max()), rel=1e-5)
            assert row["peak"] == int(dense[:, row["latent"]].abs().argmax())
        torch.testing.assert_close(found, dense, rtol=1e-5, atol=1e-6)  # told to 6 digits
        assert part["n_fired"] == len(rows) == int((dense != 0).any(0).sum())
        assert part["l0"] == pytest.approx(int((dense != 0).sum()) / (len(dense) - 1))


def test_rows_are_the_strongest_by_total_in_order_of_their_first_peak(run: PromptRun) -> None:
    every, few = (run.ask("tfa", "/time", rows=n)["rows"] for n in (200, 3))
    for part in ("predicted", "novel"):
        totals = sorted((row["total"] for row in every if row["part"] == part), reverse=True)
        assert sorted((row["total"] for row in few if row["part"] == part), reverse=True) == totals[:3]
    peaks = [row["peak"] for row in few]
    assert peaks == sorted(peaks)
    assert len(few) == 6


def test_a_latent_that_is_asked_for_is_shown_however_weak(run: PromptRun) -> None:
    every = run.ask("topk", "/time", rows=200)["rows"]
    weakest = min(every, key=lambda row: row["total"])["latent"]
    shown = run.ask("topk", "/time", rows=2, latent=weakest)["rows"]
    assert weakest in [row["latent"] for row in shown]
    assert len(shown) == 3


def test_energies_of_predicted_and_novel_are_of_what_each_adds(run: PromptRun) -> None:
    tokens = torch.tensor([run.model.encode(TEXT)])
    mask = run.model.editable(tokens)
    sae = run.saes["tfa"]
    assert isinstance(sae, TFA)
    made = sae.reconstruct_parts(run.model.capture(tokens, [_SITE])[_SITE], mask)
    sizes = torch.stack([made.predicted[mask].square().sum(-1), made.novel[mask].square().sum(-1)], dim=1).double()
    expected = sizes / sizes.sum(1, keepdim=True)
    answer = run.ask("tfa", "/time")
    for i, part in enumerate(answer["parts"]):
        assert part["energy"][0] is None
        assert part["energy"][1:] == pytest.approx(expected[:, i].tolist(), rel=1e-4)
        assert part["energy_of_text"] == pytest.approx(float(sizes[:, i].sum() / sizes.sum()), rel=1e-4)
    assert answer["why_no_energy"] is None


def test_the_energy_of_a_text_is_that_of_tfas_training_log(shared: Path) -> None:
    v = load_file(shared / "vectors" / "tfa.safetensors")
    name = "relu.tied.layers1.bf1"
    sizes = [v[f"tfa.{name}.{part}_recons"].double().square().sum() for part in ("pred", "novel")]
    assert float(shares_of(torch.stack(sizes)[None])[0, 0]) == pytest.approx(float(v[f"tfa.log.{name}.rel_energy"]), rel=1e-5)


def test_shares_of_nothing_do_not_exist(run: PromptRun) -> None:
    assert bool(shares_of(torch.zeros(1, 2)).isnan().all())
    answer = run.ask("topk", "/time")
    assert set(answer["parts"][0]["energy"]) == {None}
    assert "no parts" in answer["why_no_energy"]


def test_a_part_keeps_to_its_own_latents(run: PromptRun) -> None:
    high = int(0.2 * run.saes["tsae"].n_latents)
    for row in run.ask("tsae", "/time", rows=200)["rows"]:
        assert (row["part"] == "high") == (row["latent"] < high)


@pytest.mark.parametrize("query", [{"rows": 0}, {"rows": 201}, {"latent": -1}])
def test_bounds_are_kept(run: PromptRun, query: dict[str, int]) -> None:
    assert run.refused("topk", "/time", **query).status_code == 422
