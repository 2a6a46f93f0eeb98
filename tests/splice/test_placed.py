"""An SAE in its places reads what stands there, whatever view it reads, and says what it gives back at each output."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import Site
from monoseme.saes import SAE, Codes
from monoseme.saes._base import Roles
from monoseme.splice import Placed, without_code
from monoseme.tensors.sparse import SparseCodes

N, S, L, D, F = 3, 5, 4, 7, 11
SITES = tuple(Site("resid_post", layer) for layer in range(L))


class Linear(nn.Module):
    """f = relu(x W), x_hat = f V + b, at one site; its parts are the even latents and the whole."""

    learns_from = reads = "tokens"
    codes_per_site = False
    roles = SAE.roles
    encode_contexts = SAE.encode_contexts
    d_in, n_latents = D, F

    def __init__(self) -> None:
        super().__init__()
        gen = torch.Generator().manual_seed(0)
        self.w = nn.Parameter(torch.randn(D, F, generator=gen))
        self.v = nn.Parameter(torch.randn(F, D, generator=gen))
        self.b = nn.Parameter(torch.randn(D, generator=gen))

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        whole = (x @ self.w).relu()
        even = whole * (torch.arange(F) % 2 == 0)
        return Codes({"all": SparseCodes.from_dense(whole), "even": even})

    def decode(self, codes: Codes) -> Tensor:
        return codes.dense() @ self.v + self.b


class Transcode(Linear):
    """From the second of two sites to the first."""

    learns_from = "layers"

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        if n_sites != 2:
            raise ConfigError(f"two sites, not {n_sites}")
        return Roles((1,), (0,))


class EachSite(Linear):
    """Codes of its own at each site."""

    learns_from = reads = "layers"
    codes_per_site = True

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        return Roles(tuple(range(n_sites)), tuple(range(n_sites)))


class OneCode(EachSite):
    """One code of the sum of its sites; what it gives back at site l is l + 1 times the reconstruction."""

    codes_per_site = False

    def encode(self, x: Tensor, state: Any = None) -> Codes:
        return super().encode(x.sum(-2))

    def decode(self, codes: Codes) -> Tensor:
        return super().decode(codes).unsqueeze(-2) * torch.arange(1.0, L + 1)[:, None]


class SoFar(Linear):
    """Codes of the sum of the context so far."""

    learns_from = reads = "contexts"

    def encode_contexts(self, x: Tensor, mask: Tensor) -> Codes:
        return self.encode(x.where(mask[..., None], 0.0).cumsum(1))


@pytest.fixture
def activations() -> dict[Site, Tensor]:
    gen = torch.Generator().manual_seed(1)
    return {site: torch.randn(N, S, D, generator=gen, dtype=torch.float64) for site in SITES}


@pytest.fixture
def mask() -> Tensor:
    return torch.rand(N, S, generator=torch.Generator().manual_seed(2)) > 0.3


def test_a_reader_of_tokens_is_given_the_masked_rows(activations: dict[Site, Tensor], mask: Tensor):
    sae = Linear()
    (found,) = Placed(sae, SITES[2:3]).read(activations, mask)
    x = activations[SITES[2]][mask]
    assert found.site == SITES[2]
    assert torch.equal(found.x, x)
    assert found.x_hat.dtype == torch.float32
    torch.testing.assert_close(found.codes.to_dense(), sae.encode(x.float()).dense())
    torch.testing.assert_close(found.x_hat, sae.decode(sae.encode(x.float())))


def test_a_part_is_decoded_alone(activations: dict[Site, Tensor], mask: Tensor):
    sae = Linear()
    (found,) = Placed(sae, SITES[2:3]).read(activations, mask, part="even")
    assert not found.codes.to_dense()[:, 1::2].any()
    torch.testing.assert_close(found.x_hat, found.codes.to_dense() @ sae.v + sae.b)
    with pytest.raises(ConfigError, match='no part "odd"'):
        Placed(sae, SITES[2:3]).read(activations, mask, part="odd")


def test_a_transcoder_reads_one_site_and_gives_back_another(activations: dict[Site, Tensor], mask: Tensor):
    sae, placed = Transcode(), Placed(Transcode(), SITES[:2])
    (found,) = placed.read(activations, mask)
    assert (placed.inputs, placed.outputs) == (SITES[1:2], SITES[:1])
    assert torch.equal(found.x, activations[SITES[0]][mask])
    torch.testing.assert_close(found.x_hat, sae.decode(sae.encode(activations[SITES[1]][mask].float())))


def test_codes_of_each_site_go_with_that_site(activations: dict[Site, Tensor], mask: Tensor):
    alone, placed = Linear(), Placed(EachSite(), SITES)
    found = placed.read(activations, mask)
    assert [read.site for read in found] == list(SITES)
    for read in found:
        (expected,) = Placed(alone, (read.site,)).read(activations, mask)
        assert torch.equal(read.x, expected.x)
        torch.testing.assert_close(read.codes.to_dense(), expected.codes.to_dense())
        torch.testing.assert_close(read.x_hat, expected.x_hat)


def test_one_code_serves_all_sites(activations: dict[Site, Tensor], mask: Tensor):
    sae = OneCode()
    found = Placed(sae, SITES).read(activations, mask)
    total = sum(activations[site] for site in SITES)[mask].float()
    for i, read in enumerate(found):
        torch.testing.assert_close(read.codes.to_dense(), (total @ sae.w).relu())
        torch.testing.assert_close(read.x_hat, (i + 1) * ((total @ sae.w).relu() @ sae.v + sae.b))


def test_a_reader_of_contexts_is_given_whole_ones(activations: dict[Site, Tensor], mask: Tensor):
    sae = SoFar()
    x = activations[SITES[0]]
    hidden = {SITES[0]: x.where(mask[..., None], torch.nan)}
    (found,) = Placed(sae, SITES[:1]).read(hidden, mask)
    row = 0
    for i in range(N):
        for t in range(S):
            if mask[i, t]:
                so_far = x[i, : t + 1][mask[i, : t + 1]].sum(0).float()
                torch.testing.assert_close(found.codes.to_dense()[row], (so_far @ sae.w).relu(), atol=1e-5, rtol=1e-4)
                row += 1
    assert row == len(found.x)


def test_a_code_of_zeros_decodes_to_the_bias(activations: dict[Site, Tensor], mask: Tensor):
    sae = Linear()
    codes = sae.encode(activations[SITES[0]][mask].float())
    for given in (codes, codes.with_all(codes.dense())):
        assert torch.equal(sae.decode(without_code(given)), sae.b.expand(int(mask.sum()), D))


def test_sites_that_do_not_fit_are_refused(activations: dict[Site, Tensor], mask: Tensor):
    with pytest.raises(ConfigError, match="two sites, not 3"):
        Placed(Transcode(), SITES[:3])
    with pytest.raises(SiteError, match=r"needs mlp_out\.1, but the activations hold resid_post\.0"):
        Placed(Linear(), (Site("mlp_out", 1),)).read(activations, mask)
    activations[SITES[1]] = torch.zeros(N, S, D + 1)
    with pytest.raises(SiteError, match=r"resid_post\.0 has D=7, resid_post\.1 has D=8"):
        Placed(EachSite(), SITES[:2]).read(activations, mask)
