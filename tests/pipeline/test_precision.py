"""Weights of half the bits are told with what they do to the activations."""

import dataclasses
from pathlib import Path

import pytest
import torch

from monoseme.core.display import SilentDisplay, use_display
from monoseme.core.errors import ModelError
from monoseme.models import LanguageModel, ModelConfig
from monoseme.pipeline import RunFolder, train_run
from monoseme.pipeline._materials import Materials
from monoseme.pipeline._precision import precision_line, rounding_errors, tell_precision
from monoseme.testing.models import tiny_model
from tests.pipeline.conftest import tiny_config

# Whether bfloat16 is worth it depends on the machine; on those where it is not, a run says so.
pytestmark = pytest.mark.filterwarnings("ignore:this machine multiplies bfloat16 no faster")


class Listening(SilentDisplay):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_float32_run_has_nothing_to_tell(run: RunFolder) -> None:
    assert run.record()["environment"]["precision"] == {}


def test_a_bfloat16_run_says_how_far_its_activations_are_from_float32(
    model_folder: Path, corpus_file: Path, tmp_path: Path
) -> None:
    config = tiny_config(model_folder, corpus_file, n_steps=2)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, dtype="bfloat16"))
    with use_display(listening := Listening()):
        record = train_run(config, tmp_path / "run").record()
    (facts,) = record["environment"]["precision"].values()
    assert facts["dtype"] == "bfloat16"
    assert set(facts["relative_error"]) == {"resid_post.0", "mlp_out.1"}
    # bfloat16 keeps 8 bits, 2e-3 to 4e-3 for one rounding; float32 would be below 1e-6.
    assert all(1e-3 < error < 0.1 for error in facts["relative_error"].values())
    assert precision_line(facts) in listening.said


def test_the_error_is_that_of_the_tokens_an_sae_sees(model_folder: Path, corpus_file: Path) -> None:
    config = tiny_config(model_folder, corpus_file)
    materials = Materials(dataclasses.replace(config, model=dataclasses.replace(config.model, dtype="bfloat16")))
    (source,) = materials.live_sources.values()
    block = source.block(0)
    exact = LanguageModel.load(ModelConfig(model=str(model_folder))).capture(block.tokens, source.sites)
    errors = rounding_errors(materials.model, source)
    for site, x in exact.items():
        wanted, given = x[block.mask].double(), block.activations[site][block.mask].double()
        # Padding on the right changes no real token, but its batch may be summed in another order.
        assert errors[str(site)] == pytest.approx(float((given - wanted).norm() / wanted.norm()), rel=1e-3)


def test_where_float32_does_not_fit_that_is_said(model_folder: Path, corpus_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(model_folder, corpus_file)
    materials = Materials(dataclasses.replace(config, model=dataclasses.replace(config.model, dtype="bfloat16")))

    def full(_model: LanguageModel) -> LanguageModel:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(LanguageModel, "in_float32", full)
    with use_display(SilentDisplay()):
        (facts,) = tell_precision(materials).values()
    assert facts["relative_error"] is None
    assert "no memory" in precision_line(facts)


def test_a_model_in_memory_is_converted() -> None:
    half = LanguageModel.from_modules(tiny_model("llama")._model.bfloat16(), tiny_model("llama").tokenizer)
    assert half.in_float32().dtype is torch.float32
    assert half.dtype is torch.bfloat16


def test_a_model_spread_over_devices_has_no_second_copy() -> None:
    model = tiny_model("llama")
    spread = LanguageModel(model._model, model.tokenizer, ModelConfig(model="x", device_map="auto"))
    with pytest.raises(ModelError, match="spread"):
        spread.in_float32()
