"""MLSAE: one TopK dictionary for the residual stream of all layers, each vector standardised, each layer of equal weight.

    x~ = (x - mean_D x) / (std_D x + eps),  f = relu(topk((x~ - b_dec) W_enc)),  x~_hat = f W_dec + b_dec,  for each layer l
    x_hat = x~_hat (std_D x + eps) + mean_D x
    loss = mean_l FVU_l + auxk_coefficient mean (e - e_hat)^2 / mean (e - mean_D e)^2
    FVU_l = mean_{b,d} (x_hat - x)^2 / Var(x_l), Var unbiased over all entries of the layer, about one number

with e = x~ - x~_hat, detached, and e_hat what the k_aux strongest dead latents decode to. With a tuned lens, x above is what the
lens makes of the activations, and x_hat goes through its inverse afterwards.

Source: Lawson et al. 2024 (arXiv:2409.04185), section 3, and github.com/tim-lawson/mlsae.
Differs from the code: the auxiliary loss is in one space, detached, without b_dec, of dead latents only, and zero with nothing
dead; b_dec starts in the space in which it is used; decoder rows are unit after each step; de-standardising multiplies by
std + eps, not std; dead latents are counted in tokens; the whole inverse of a lens is applied, not its diagonal, and a layer's
output takes the translator that was trained on it (one further than theirs; `lens_layers` gives theirs); the dictionary starts
uniform on the sphere.
Letters: B tokens, L sites, D model width, F latents, K kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE, Roles
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, add_up
from monoseme.saes._dead import fired_latents, note_firing, revived, still_dead
from monoseme.saes._dictionary import encoder_parameter, unit_rows
from monoseme.saes._export import folded_copy
from monoseme.saes._lens import SiteLens, read_lens, select_maps, translators_of
from monoseme.saes._normalise import NormaliseConfig, Normalised, denormalised
from monoseme.saes._one_site import one_site
from monoseme.saes._settings import aim_k, check_k
from monoseme.saes._squared_error import squared_norms
from monoseme.tensors.joint import mean_over
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class MLSAE(SAE):
    """f_l = relu(topk((x~_l - b_dec) W_enc)), x~_hat_l = f_l W_dec + b_dec, one W for all l, x~ = (x - mean(x)) / std(x)."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AuxKConfig):
        """k latents per token and layer, from one dictionary."""

        n_sites: int | None = None
        """Layers (count); None until the sites are known."""
        k: int = 32
        """Latents kept per token and layer (count, 1 <= k <= n_latents)."""
        k_aux: int = 256
        """Most dead latents per token and layer in the auxiliary loss (count)."""
        dead_threshold: float = 1e-3
        """A latent fires, for the count of dead ones, above this value (in the normalised space)."""
        normalise: NormaliseConfig = field(default_factory=lambda: NormaliseConfig(kind="standardise"))
        """Per-vector standardisation, which makes layers of unlike size alike; other kinds apply one factor to all layers."""
        lens: str | None = None
        """Folder or hub name of a tuned lens to learn behind (read once, then saved with the SAE). None: no lens."""
        lens_layers: tuple[int, ...] | None = None
        """Translator of each site. None: those trained on the sites (i + 1 for resid_post.i). MLSAE itself took 0, 1, 2, ..."""

        def __post_init__(self) -> None:
            super().__post_init__()
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)
            if self.n_sites is not None and self.n_sites < 1:
                raise ConfigError(f"n_sites is {self.n_sites}; it must be at least 1")
            if not self.dead_threshold >= 0:
                raise ConfigError(f"dead_threshold is {self.dead_threshold}; it must not be negative")
            self._check_lens()

        def _check_lens(self) -> None:
            if self.lens_layers is None:
                return
            if self.lens is None:
                raise ConfigError("lens_layers is given without a lens: name one with lens, or leave lens_layers out")
            if self.n_sites is not None and len(self.lens_layers) != self.n_sites:
                raise ConfigError(
                    f"lens_layers names {len(self.lens_layers)} translators for {self.n_sites} sites; give one each"
                )

    config: Config
    learns_from = "layers"
    reads = "layers"
    codes_per_site = True
    moves: Mapping[str, frozenset[str]] = {
        "reconstruction": frozenset({"W_enc", "W_dec", "b_dec"}),
        "auxk": frozenset({"W_enc", "W_dec"}),
    }
    detached = frozenset({"auxk"})

    def __init__(self, config: Config) -> None:
        """Raises ConfigError while `config.n_sites` is None."""
        super().__init__(config)
        if config.n_sites is None:
            raise ConfigError("the number of layers is not known: set n_sites, or let the sites fill it in by training")
        self.n_sites = config.n_sites
        self._aux = AuxK.of(config, self.d_in)
        rows = unit_rows(self.n_latents, self.d_in, seed=config.seed)
        self.W_enc, self.W_dec = encoder_parameter(rows), nn.Parameter(rows)
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))
        self.register_buffer("b_enc", torch.zeros(self.n_latents))  # the architecture has none
        self.lens = None if config.lens is None else SiteLens(self.n_sites, self.d_in)

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        """Every site is read and given back."""
        if n_sites < 1:
            raise ConfigError("mlsae learns from at least one site")
        return Roles(tuple(range(n_sites)), tuple(range(n_sites)))

    @classmethod
    def default_sites(cls, n_layers: int) -> tuple[str, ...]:
        """The output of every block."""
        return tuple(f"resid_post.{layer}" for layer in range(n_layers))

    def encode(self, x: Float[Tensor, "*lead L D"], state: Any = None) -> Codes:
        """The k largest latents of each vector, where positive: codes [*, L, F]."""
        rows = self.normalise(self._through_lens(x))
        return self.public_codes(self._codes(rows.rows, self.config.k), rows)

    def decode(self, codes: Codes) -> Float[Tensor, "*lead L D"]:
        """Raw activations of every layer."""
        x_hat = super().decode(codes)
        return x_hat if self.lens is None else self.lens.inverse(x_hat)

    @torch.no_grad()
    def start(self, sample: Float[Tensor, "N L D"]) -> None:
        """Reads the lens, if there is one and this is the first start; then measures as the base class, over all layers' vectors.

        Raises what the base class does, and ConfigError for a lens that cannot be read, does not fit or has no inverse.
        """
        if self.lens is not None and self.config.lens is not None and not bool(self.started):
            maps = read_lens(self.config.lens, d_in=self.d_in)
            self.lens.set_maps(select_maps(maps, self._translators()))
        super().start(self._through_lens(sample))

    def loss(
        self, x: Float[Tensor, "*lead L D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Mean FVU over layers, and the auxiliary loss; `mask` leaves out tokens, with all their layers."""
        self.require_start()
        raw = x.reshape(-1, *x.shape[-2:]) if mask is None else x[mask]
        seen = self._through_lens(raw)
        rows = self.normalise(seen)
        codes = self._codes(rows.rows, knobs.k or self.config.k)
        x_hat = self.kernels.decode(codes, self.W_dec, self.b_dec)
        seen_hat = denormalised(x_hat, rows, self.input_factor).reshape(seen.shape)
        active = codes.detach()
        mse = mean_over(self.mesh.rows, (seen_hat - seen).square().mean((0, 2)), n_rows=len(seen))
        fvu = mse / self._variances(seen.to(mse.dtype))
        parts = {
            "reconstruction": fvu.mean(),
            "auxk": self._aux.coefficient * self._auxk(rows, x_hat, active),
        }
        raw_hat = seen_hat if self.lens is None else self.lens.inverse(seen_hat)
        logs = _site_logs({"fvu": fvu, "l1": self._l1(active), "mse": mse})
        return Losses(add_up(parts), parts, active, raw_hat.flatten(1), raw.flatten(1), logs)

    @torch.no_grad()
    def after_step(self, *losses: Losses) -> None:
        """Unit rows again; a latent fired for a token if it fired at any of its layers, and tokens are what is counted."""
        super().after_step()
        for batch in losses:
            if batch.active is not None:
                fired = fired_latents(self._loud(batch.active))
                note_firing(self.tokens_since_fired, fired, n_rows=batch.n_rows, rows=self.mesh.rows)

    def export(self) -> SAE:
        """The same for raw activations; a factor of the normalisation goes into the weights."""
        return folded_copy(self)

    def at(self, site: int) -> SAE:
        """The SAE of one layer: `topk` with the shared dictionary, or `lensed_topk` where a lens stands before it.

        It reads tokens, and gives the codes that this SAE gives at that site. Raises ConfigError for a site there is not.
        """
        if not 0 <= site < self.n_sites:
            raise ConfigError(f"this SAE has {self.n_sites} sites, 0 to {self.n_sites - 1}; it has no site {site}")
        return one_site(self, site, lens=self.lens)

    def _translators(self) -> tuple[int | None, ...]:
        if self.config.lens_layers is not None:
            return self.config.lens_layers
        return translators_of(self.config.sites or self.default_sites(self.n_sites))

    def _through_lens(self, x: Float[Tensor, "*lead L D"]) -> Float[Tensor, "*lead L D"]:
        return x if self.lens is None else self.lens(x)

    def _codes(self, rows: Float[Tensor, "B_L D"], k: int) -> SparseCodes:
        codes = self.kernels.encode_topk(rows, self.encoder, k)
        return codes.with_values(codes.values.relu())

    def _loud(self, active: SparseCodes) -> SparseCodes:
        """The codes with zeros where a value is too small to count as firing."""
        return active.with_values(torch.where(active.values > self.config.dead_threshold, active.values, 0.0))

    def _auxk(self, rows: Normalised, x_hat: Float[Tensor, "B_L D"], active: SparseCodes) -> Float[Tensor, ""]:
        """mean (e - e_hat)^2 / mean (e - mean_D e)^2, the first over the tokens with the largest sum_l |e_l|^2, all their layers.

        The squares are of standardised vectors, as e is. 0 when nothing is dead, or nothing is left to explain.
        """
        ranks, n_tokens = self.mesh.rows, rows.rows.shape[0] // self.n_sites
        dead = still_dead(self.dead_mask(), self._loud(active), rows=ranks)
        if dead.numel() == 0:
            return x_hat.new_zeros(())
        residual = (rows.rows - x_hat).detach()
        size = mean_over(ranks, (residual - residual.mean(1, keepdim=True)).square().mean(), n_rows=n_tokens)
        if not bool(size > 0):
            return x_hat.new_zeros(())
        chosen = self._aux.worst(squared_norms(residual).reshape(-1, self.n_sites).sum(1), ranks=ranks)
        shape = (-1, self.n_sites, self.d_in)
        asked, missing = (t.reshape(shape)[chosen.rows].flatten(0, 1) for t in (rows.rows, residual))
        if len(asked) == 0:
            return x_hat.new_zeros(())
        e_hat = revived(asked, self.encoder, self.W_dec, dead=dead, k_aux=self._aux.k, kernels=self.kernels)
        return chosen.share * (missing - e_hat).square().mean() / size

    def _variances(self, seen: Float[Tensor, "B L D"]) -> Float[Tensor, " L"]:
        """Of all numbers of each layer over the whole batch, unbiased."""
        ranks = self.mesh.rows
        if ranks.size == 1:
            return seen.transpose(0, 1).flatten(1).var(1)
        centre = mean_over(ranks, seen.mean((0, 2)), n_rows=len(seen))
        squares = mean_over(ranks, (seen - centre.unsqueeze(1)).square().mean((0, 2)), n_rows=len(seen))
        n = int(ranks.sum(torch.tensor(len(seen), device=seen.device))) * self.d_in
        return squares * n / (n - 1)

    def _l1(self, active: SparseCodes) -> Float[Tensor, " L"]:
        """Mean over tokens of each layer's sum of codes."""
        per_vector = active.values.reshape(active.n_rows, -1).abs().sum(1) / self.input_factor
        return per_vector.reshape(-1, self.n_sites).mean(0)


def _site_logs(numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each number of [L] as `name/site_0`, ... and `name/mean`."""
    logs: dict[str, Tensor] = {}
    for name, values in numbers.items():
        values = values.detach()
        logs |= {f"{name}/site_{i}": value for i, value in enumerate(values.unbind())}
        logs[f"{name}/mean"] = values.mean()
    return logs
