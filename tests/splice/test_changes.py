"""Changes of codes agree with the same on a dense matrix."""

import pytest
import torch
from torch import Tensor

from monoseme.core.errors import ConfigError
from monoseme.models import EditContext
from monoseme.saes import Codes
from monoseme.splice import ablate_latents, clamp_latents, scale_latents
from monoseme.tensors.sparse import SparseCodes

CONTEXT = EditContext(
    tokens=torch.zeros(1, 5, dtype=torch.long),
    mask=torch.ones(1, 5, dtype=torch.bool),
    positions=torch.arange(5)[None],
    row=torch.zeros(1, dtype=torch.long),
    is_prompt=torch.ones(1, 5, dtype=torch.bool),
)


@pytest.fixture
def code() -> Tensor:
    """[B=5, F=11], about half zeros, some negative."""
    drawn = torch.randn(5, 11, generator=torch.Generator().manual_seed(0))
    return drawn * (drawn.abs() > 0.7)


@pytest.fixture(params=["sparse", "dense"])
def codes(request: pytest.FixtureRequest, code: Tensor) -> Codes:
    """The same codes in both forms."""
    return Codes({"all": SparseCodes.from_dense(code) if request.param == "sparse" else code.clone()})


def test_clamping_sets_latents_in_every_row(codes: Codes, code: Tensor) -> None:
    code[:, 3], code[:, 7] = 2.5, -1.0
    assert torch.equal(clamp_latents({7: -1.0, 3: 2.5})(codes, CONTEXT).dense(), code)


def test_scaling_multiplies_where_latents_fire(codes: Codes, code: Tensor) -> None:
    code[:, 2] *= 3.0
    assert torch.equal(scale_latents({2: 3.0})(codes, CONTEXT).dense(), code)


def test_ablating_sets_latents_to_zero(codes: Codes, code: Tensor) -> None:
    code[:, [0, 10]] = 0.0
    assert torch.equal(ablate_latents([0, 10])(codes, CONTEXT).dense(), code)


def test_changing_nothing_changes_nothing(codes: Codes, code: Tensor) -> None:
    for change in (clamp_latents({}), scale_latents({}), ablate_latents([])):
        assert torch.equal(change(codes, CONTEXT).dense(), code)


def test_the_codes_given_stay_as_they_are(codes: Codes, code: Tensor) -> None:
    clamp_latents({1: 9.0})(codes, CONTEXT)
    ablate_latents([1])(codes, CONTEXT)
    assert torch.equal(codes.dense(), code)


def test_a_latent_that_is_not_there_is_refused(codes: Codes) -> None:
    for change in (clamp_latents({11: 1.0}), scale_latents({-1: 1.0}), ablate_latents([11])):
        with pytest.raises(ConfigError, match="there is no latent"):
            change(codes, CONTEXT)
