"""Transcoder: read what enters a part of the model (an MLP) and predict, through few latents, what leaves it.

    f = select((s x - c) W_enc + b_enc),   t y_hat = f W_dec + (s x - c) W_skip + b_dec

with x the input site, y the target, s and t their scales, c the measured centre of the input (`_sites`).
Source: Dunefsky et al. 2024, arXiv:2406.11944, section 3 (relu, L1, unit decoder rows); skip connection and TopK codes: Paulo et
al. 2025, arXiv:2501.18823, section 3. AuxK as in Gao et al. 2024, appendix A.2.
Differs from the papers: both sites are scaled to unit mean square; the encoder reads s x - c, which is theirs with another b_enc
(and another b_dec, for the skip connection); the loss is divided by the target's variance and the penalty is in units of its
deviation; in Paulo et al. W_dec starts at zero, here its rows are random unit vectors, unrelated to W_enc, as a unit row must be.
Input and target must have one width, which the view `layers` asks for too.
Letters: B tokens, D model width, F latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import derive_seed
from monoseme.kernels import Encoder
from monoseme.saes._base import Roles
from monoseme.saes._dictionary import encoder_parameter, unit_rows
from monoseme.saes._site_codes import CodesKind, Dictionary
from monoseme.saes._sites import SitesConfig, SitesSAE
from monoseme.tensors.shapes import Float, Tensor


class Transcoder(SitesSAE):
    """f = relu(topk((x - c) W_enc + b_enc)), y_hat = f W_dec + b_dec [+ (x - c) W_skip]: from one site to another."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SitesConfig):
        """Two sites: input, target."""

        codes: CodesKind = "topk"
        """topk: the k largest of each token. batchtopk: k per token on average. relu: all positive, held down by L1.
        threshold: all above a fixed threshold of each latent (JumpReLU), as published transcoders have it."""
        skip: bool = False
        """A linear path past the latents, which begins at zero."""

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.unit_norm = ("W_dec",)
        rows = unit_rows(self.n_latents, self.d_in, seed=derive_seed(config.seed, "encoder"))
        self.W_enc = encoder_parameter(rows)
        self.b_enc = nn.Parameter(torch.zeros(self.n_latents))
        self.W_dec = nn.Parameter(unit_rows(self.n_latents, self.d_in, seed=config.seed))
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))
        self.W_skip = nn.Parameter(torch.zeros(self.d_in, self.d_in)) if config.skip else None
        encoder, decoder = frozenset({"W_enc", "b_enc"}), frozenset({"W_dec"})
        rest = frozenset({"b_dec", "W_skip"} if config.skip else {"b_dec"})
        latents = encoder | decoder
        self.moves = self.moved(config.codes, whole=latents | rest, latents=latents, penalised=encoder)

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        """The first site is read, the second predicted."""
        if n_sites != 2:
            raise ConfigError(f"{cls.plugin_name} learns from two sites, an input and a target, not from {n_sites}")
        return Roles((0,), (1,))

    @classmethod
    def default_sites(cls, n_layers: int) -> tuple[str, ...]:
        """The MLP of the middle block."""
        middle = (n_layers - 1) // 2
        return f"mlp_in.{middle}", f"mlp_out.{middle}"

    def dictionaries(self) -> Sequence[Dictionary]:
        """One; its rows have norm 1, so that a latent weighs what its site does."""
        whole = slice(0, self.d_in)
        norms = self.site_weights.expand(self.n_latents)
        encoder = Encoder(self.W_enc, self.b_enc, self.centre)
        return [Dictionary(encoder, self.W_dec, norms, reads=whole, writes=whole, norms_alike=True)]

    def skip(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"] | None:
        """(s x - c) W_skip, or None without one."""
        return None if self.W_skip is None else (rows - self.centre) @ self.W_skip

    def fold(self, s: Float[Tensor, " one"], t: Float[Tensor, " one"], u: Float[Tensor, ""]) -> None:
        """W_skip too."""
        super().fold(s, t, u)
        if self.W_skip is not None:
            self.W_skip.mul_(s / t)
