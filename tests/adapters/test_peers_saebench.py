"""SAEBench's core evaluation on SAEs of ours gives the numbers that `fidelity` gives under SAEBench's definitions."""

import gzip
import json
import sys
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from monoseme.bundled.places import stories_file
from monoseme.evaluation import EvalResult, EvalSubject
from monoseme.evaluation.fidelity import Fidelity
from monoseme.evaluation.formats import read_saebench
from monoseme.interchange import ExportSource, export_sae
from monoseme.models import LanguageModel, Site
from monoseme.saes import SAE, save_sae
from monoseme.saes.topk import TopK
from monoseme.splice import splice, zero_ablation
from monoseme.splice.next_token import divergence, log_probabilities, losses
from monoseme.studies._card.saebench_core import _NAMES, core_file
from monoseme.testing.sources import TensorSource
from tests.adapters.environment import run_script

pytestmark = [pytest.mark.peers, pytest.mark.timeout(900)]

SITE = Site.parse("resid_post.3")
BATCH, LENGTH, N_CONTEXTS = 16, 64, 48
PLAIN, SPECIAL = "plain", "with special tokens"
TOLERANCE = 2e-5
"""Relative: both sum float32 numbers in another order, over another forward of the same model."""


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return LanguageModel.load("bundled")


@pytest.fixture(scope="module")
def texts(model: LanguageModel) -> dict[str, torch.Tensor]:
    """[n, S] contexts: without any special token, and with BOS before each story."""
    with gzip.open(stories_file(), "rt", encoding="utf-8") as lines:
        stories = [model.encode(json.loads(line)["text"]) for line, _ in zip(lines, range(200), strict=False)]
    plain = [token for story in stories for token in story if token not in model.special_ids]
    mixed = [token for story in stories for token in story]
    return {
        name: torch.tensor(ids[: N_CONTEXTS * LENGTH]).reshape(N_CONTEXTS, LENGTH)
        for name, ids in ((PLAIN, plain), (SPECIAL, mixed))
    }


@pytest.fixture(scope="module")
def sae(model: LanguageModel, texts: dict[str, torch.Tensor]) -> SAE:
    """A TopK of 384 latents after some steps: rows that are used and rows that are not."""
    made = TopK(TopK.Config(d_in=model.spec.d_model, n_latents=384, k=16))
    x = model.capture(texts[PLAIN], [SITE])[SITE].flatten(0, 1)
    made.start(x)
    optimiser = torch.optim.Adam(made.parameters(), lr=1e-3)
    draw = torch.Generator().manual_seed(0)
    for _ in range(150):
        optimiser.zero_grad()
        step = made.loss(x[torch.randint(len(x), (256,), generator=draw)])
        step.total.backward()
        made.project_gradients()
        optimiser.step()
        made.after_step(step)
    return made.eval()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory, sae: SAE, texts: dict[str, torch.Tensor]) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("core")
    save_sae(sae, folder / "sae")
    save_file({name: ids.contiguous() for name, ids in texts.items()}, folder / "tokens.safetensors")
    export_sae(sae, folder / "saelens", format="saelens", source=ExportSource(name="topk", sites=(SITE,), model="bundled"))
    return run_script("saebench", "core", folder, SITE) | {"folder": folder}


def measured(model: LanguageModel, sae: SAE, tokens: torch.Tensor) -> EvalResult:
    mask = torch.isin(tokens, torch.tensor(sorted(model.special_ids)), invert=True)
    source = TensorSource(model.capture(tokens, [SITE]), tokens=tokens, mask=mask, contexts_per_block=BATCH)
    subject = EvalSubject(name="topk", sae=sae, source=source, sites=(SITE,), model=model)
    return Fidelity(Fidelity.Config(batch_contexts=BATCH, n_replicates=2)).run(subject)


@torch.no_grad()
def by_their_rules(model: LanguageModel, sae: SAE, tokens: torch.Tensor) -> dict[str, float]:
    """What `fidelity` defines otherwise: KL also at the last position of a context, zeros also at special tokens."""
    mask = torch.isin(tokens, torch.tensor(sorted(model.special_ids)), invert=True)
    log_p = log_probabilities(model.run(tokens).logits[mask])
    zero = model.run(tokens, edits=[zero_ablation(SITE)], mask=torch.ones_like(mask)).logits
    spliced = model.run(tokens, edits=[splice(sae, SITE)], mask=mask).logits
    kl, kl_zero = (float(divergence(log_p, logits[mask]).mean()) for logits in (spliced, zero))
    sources = mask[:, :-1]
    ce = float(losses(zero[:, :-1][sources], tokens[:, 1:][sources]).mean())
    return {
        "kl_div_with_sae": kl,
        "kl_div_with_ablation": kl_zero,
        "kl_div_score": (kl_zero - kl) / kl_zero,
        "ce_loss_with_ablation": ce,
    }


@pytest.fixture(scope="module")
def ours(model: LanguageModel, sae: SAE, texts: dict[str, torch.Tensor]) -> dict[str, tuple[EvalResult, dict[str, float]]]:
    return {name: (measured(model, sae, tokens), by_their_rules(model, sae, tokens)) for name, tokens in texts.items()}


WAYS = ("adapter", "adapter, unit rows", "SAELens' class", "subclass of SAELens' class", "exported folder")


@pytest.mark.parametrize("text", [PLAIN, SPECIAL])
@pytest.mark.parametrize("way", WAYS)
def test_core_gives_our_numbers(ours: Any, theirs: dict[str, Any], way: str, text: str) -> None:
    (fidelity, by_rules), found = ours[text], theirs[f"{way} | {text}"]
    given = {name: value for category in _NAMES for name, value in found[category].items()}
    mine = {name: fidelity[our_name].value for names in _NAMES.values() for name, our_name in names.items()}
    mine |= by_rules
    mine["ce_loss_score"] = (mine["ce_loss_with_ablation"] - mine["ce_loss_with_sae"]) / (
        mine["ce_loss_with_ablation"] - mine["ce_loss_without_sae"]
    )
    for name, value in mine.items():  # the rows of docs/adapters.md, shown with -s
        row = (way, text, f"`{name}`", f"{value:.7g}", f"{given[name]:.7g}", f"{abs(value - given[name]) / abs(value):.0e}")
        sys.stdout.write(f"| {' | '.join(row)} |\n")
    assert set(mine) == set(given)
    assert given == pytest.approx(mine, rel=TOLERANCE)
    density = np.asarray(fidelity.tables["latents"]["density"])
    np.testing.assert_allclose(found["features"]["feature_density"], density, rtol=0, atol=1.5 / (N_CONTEXTS * LENGTH))
    assert found["misc_metrics"]["frac_alive"] == pytest.approx((density > 0).mean(), abs=1.5 / len(density))
    if text == PLAIN:
        assert given["ce_loss_with_ablation"] == pytest.approx(fidelity["ce_zero"].value, rel=TOLERANCE)
        assert given["kl_div_with_sae"] == pytest.approx(fidelity["kl"].value, rel=5e-3)


def test_the_files_it_writes_are_read_and_ours_are_of_its_form(ours: Any, theirs: Any) -> None:
    for path in theirs["folder"].glob("*.json"):
        assert read_saebench(path).metrics["sparsity"]["l0"] == pytest.approx(16, abs=0.1)
    (content,) = core_file(ours[PLAIN][0], config={}).values()
    (theirs["folder"] / "ours").mkdir()
    (theirs["folder"] / "ours" / "core.json").write_bytes(content)
    assert run_script("saebench", "validate", theirs["folder"] / "ours") == ["core"]


def test_saelens_own_class_is_used_where_there_is_one(theirs: dict[str, Any]) -> None:
    assert theirs["classes"]["SAELens' class"].startswith("sae_lens.")
    assert theirs["classes"]["subclass of SAELens' class"].startswith("monoseme.")
