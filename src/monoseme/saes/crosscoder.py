"""Crosscoder: one code for several sites side by side - layers of a model, or one site of two models.

    f = select(sum_l (s_l x_l - c_l) W_enc,l + b_enc),   s_l x_hat_l = f W_dec,l + b_dec,l

A latent weighs n_i = sum_l ||W_dec,i,l||: with relu the penalty is on f_i n_i, with topk and batchtopk the largest f_i n_i are
kept, and a batchtopk threshold is one on f_i n_i; fixed thresholds (codes threshold, JumpReLU) are on f_i. Decoder norms are
free; how they share out among the sites says where a latent lives (`relative_norms`): near 0 or 1 for two models it belongs to
one of them, near 1/2 to both.

Source: Lindsey et al. 2024, "Sparse crosscoders for cross-layer features and model diffing", transformer-circuits.pub
(architecture, L1 weighted by summed norms); Minder et al. 2025, arXiv:2504.02922 (BatchTopK crosscoder, its scaled selection,
AuxK). AuxK as in Gao et al. 2024, appendix A.2.
Differs from the papers: the encoder reads s_l x_l - c_l with a measured c, which is theirs with another b_enc; the loss is
divided by the variance over all sites, and the penalty is in units of its root; a site's scale brings its mean square to 1.
Letters: B tokens, L sites, D model width, F latents. W_enc is [L D, F], W_dec [F, L D], b_dec [L D]: sites side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.kernels import Encoder
from monoseme.saes._base import Roles
from monoseme.saes._dictionary import encoder_parameter, unit_rows
from monoseme.saes._reconstruct import ALL_PARAMETERS
from monoseme.saes._site_codes import Dictionary
from monoseme.saes._sites import SitesConfig, SitesSAE
from monoseme.tensors.shapes import Float, Tensor


class Crosscoder(SitesSAE):
    """f = relu(batchtopk(sum_l x_l W_enc,l + b_enc)) by f_i sum_l ||W_dec,i,l||, x_hat_l = f W_dec,l + b_dec,l."""

    reads = "layers"

    @dataclass(frozen=True, kw_only=True)
    class Config(SitesConfig):
        """Every site is read and given back."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        n_columns = len(self.output_factor) * self.d_in
        rows = unit_rows(self.n_latents, n_columns, seed=config.seed)
        self.W_enc = encoder_parameter(rows)
        self.b_enc = nn.Parameter(torch.zeros(self.n_latents))
        self.W_dec = nn.Parameter(rows)
        self.b_dec = nn.Parameter(torch.zeros(n_columns))
        self.moves = self.moved(config.codes, whole=ALL_PARAMETERS, latents=ALL_PARAMETERS - {"b_dec"})

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        """All sites are read and given back."""
        if n_sites < 2:
            raise ConfigError(f"{cls.plugin_name} learns from two sites or more side by side, not from {n_sites}")
        return Roles(tuple(range(n_sites)), tuple(range(n_sites)))

    @classmethod
    def default_sites(cls, n_layers: int) -> tuple[str, ...]:
        """The residual stream after every block."""
        return tuple(f"resid_post.{layer}" for layer in range(n_layers))

    def site_norms(self) -> Float[Tensor, "F L"]:
        """||W_dec,i,l|| of each latent at each site, in the normalised space (after export: up to one common factor)."""
        per_site = self.W_dec.reshape(self.n_latents, -1, self.d_in)
        return torch.linalg.vector_norm(per_site, dim=2) * self.site_weights

    def relative_norms(self) -> Float[Tensor, "F L"]:
        """Each site's share of a latent's norms, in [0, 1], summing to 1; equal shares for a latent that writes nothing."""
        norms = self.site_norms().detach()
        total = norms.sum(1, keepdim=True)
        return torch.where(total > 0, norms / total, 1 / norms.shape[1])

    def dictionaries(self) -> Sequence[Dictionary]:
        """One, on all sites side by side."""
        whole = slice(0, self.b_dec.shape[0])
        norms = self.site_norms().sum(1)
        return [Dictionary(Encoder(self.W_enc, self.b_enc, self.centre), self.W_dec, norms, reads=whole, writes=whole)]
