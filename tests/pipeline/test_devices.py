"""SAEs are where the run says; torch's meta device stands in for a second one, which tests may not have."""

import dataclasses
from pathlib import Path

import pytest
import torch

from monoseme.core.errors import ModelError
from monoseme.pipeline import Materials, RunConfig, RunFolder, open_saes
from monoseme.pipeline._train import _jobs
from monoseme.splice import as_computed
from monoseme.tensors.processes import Mesh

from .conftest import tiny_config


def _with_saes_on(config: RunConfig, device: str | None) -> Materials:
    return Materials(dataclasses.replace(config, stream=dataclasses.replace(config.stream, sae_device=device)))


@pytest.mark.parametrize(("said", "is_on"), [(None, "cpu"), ("meta", "meta")])
def test_saes_learn_where_the_model_is_or_where_the_run_says(
    model_folder: Path, corpus_file: Path, said: str | None, is_on: str
) -> None:
    materials = _with_saes_on(tiny_config(model_folder, corpus_file), said)
    for job in _jobs(materials, Mesh()):
        assert {tensor.device.type for tensor in job.sae.state_dict().values()} == {is_on}
        assert job.sae.W_enc.t().is_contiguous()  # as the kernels read it


def test_a_device_that_is_not_there_is_refused(model_folder: Path, corpus_file: Path) -> None:
    with pytest.raises(ModelError, match=r'"nowhere" is no device'):
        _ = _with_saes_on(tiny_config(model_folder, corpus_file), "nowhere").sae_device


def test_trained_saes_are_opened_where_they_are_measured(run: RunFolder) -> None:
    assert {str(one.sae.input_factor.device) for one in open_saes(str(run.path), device="meta")} == {"meta"}


def test_a_splice_brings_activations_to_its_sae() -> None:
    sae = torch.nn.Linear(3, 5, device="meta", dtype=torch.float64)
    given = as_computed(sae, torch.ones(2, 3))
    assert (given.device.type, given.dtype) == ("meta", torch.float64)
