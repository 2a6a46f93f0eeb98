"""Cross-layer transcoder: each layer's latents read that layer's MLP input and write to its MLP output and to all later ones.

    f_l = select((s_l x_l - c_l) W_enc,l + b_enc,l),   t_m y_hat_m = sum_{l <= m} f_l W_dec,l->m + b_dec,m

A latent weighs n_i = ||(W_dec,i,l->l, ..., W_dec,i,l->L-1)||, the norm of all it writes. With relu the penalty is
tanh(c f_i n_i); topk keeps the k largest f_i n_i of each layer, batchtopk the k L B largest over all layers of a batch, and its
threshold is one on f_i n_i; fixed thresholds (codes threshold, JumpReLU) are on f_i. Decoder norms are free. Codes are [*, L, F]:
each layer has F latents of its own.

Source: Ameisen et al. 2025, "Circuit tracing: revealing computational graphs in language models", transformer-circuits.pub,
section on the cross-layer transcoder (architecture, loss, tanh penalty). AuxK as in Gao et al. 2024, appendix A.2.
Differs from the paper: relu, topk, batchtopk, or fixed thresholds in place of learned ones; activations in the penalty are in
units of the root of the targets' variance; each site has its own scale; the encoder reads s x - c, theirs with another b_enc.
Letters: B tokens, L layers, D model width, F latents of a layer. Memory: L (L + 1) / 2 decoders [F, D]; those of layer l lie in
one parameter `W_dec.l`, [F, (L - l) D], so that a step reads and writes each row once.
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
from monoseme.saes._site_codes import Dictionary
from monoseme.saes._sites import SitesConfig, SitesSAE
from monoseme.tensors.shapes import Float, Tensor


class CLT(SitesSAE):
    """f_l = relu(batchtopk((x_l - c_l) W_enc,l + b_enc,l)), y_hat_m = sum_{l <= m} f_l W_dec,l->m + b_dec,m."""

    reads = "layers"
    codes_per_site = True

    @dataclass(frozen=True, kw_only=True)
    class Config(SitesConfig):
        """Sites: all inputs, then all outputs, each in the order of the layers. n_latents is per layer."""

        tanh_scale: float = 4.0
        """c of the penalty tanh(c a), a in units of the root of the targets' variance; only with relu."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.tanh_scale > 0:
                raise ConfigError(f"tanh_scale is {self.tanh_scale}; it must be positive")

    config: Config
    W_enc: nn.ParameterList  # pyright: ignore[reportIncompatibleVariableOverride]  one [D, F] for each layer
    W_dec: nn.ParameterList  # pyright: ignore[reportIncompatibleVariableOverride]  one [F, (L - l) D] for each layer

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        n_layers, width = len(self.input_factor), self.d_in
        layers = range(n_layers)
        self.W_enc = nn.ParameterList(  # pyright: ignore[reportIncompatibleVariableOverride]
            encoder_parameter(self._rows("encoder", layer, width)) for layer in layers
        )
        self.b_enc = nn.Parameter(torch.zeros(n_layers, self.n_latents))
        writes = (self._rows("decoder", layer, (n_layers - layer) * width) for layer in layers)
        self.W_dec = nn.ParameterList(map(nn.Parameter, writes))  # pyright: ignore[reportIncompatibleVariableOverride]
        self.b_dec = nn.Parameter(torch.zeros(n_layers * width))
        self.register_buffer("tokens_since_fired", torch.zeros(n_layers, self.n_latents, dtype=torch.int64))
        whole = frozenset(name for name, _ in self.named_parameters())
        self.moves = self.moved(config.codes, whole=whole, latents=whole - {"b_dec"})

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        """The first half is read, the second given back."""
        if n_sites < 2 or n_sites % 2:
            raise ConfigError(f"{cls.plugin_name} learns from as many inputs as outputs, so from an even number, not {n_sites}")
        half = n_sites // 2
        return Roles(tuple(range(half)), tuple(range(half, n_sites)))

    @classmethod
    def default_sites(cls, n_layers: int) -> tuple[str, ...]:
        """The MLPs of all blocks."""
        return tuple(f"{kind}.{layer}" for kind in ("mlp_in", "mlp_out") for layer in range(n_layers))

    def dictionaries(self) -> Sequence[Dictionary]:
        """One for each layer, which writes from its own output site on."""
        return [self._dictionary(layer) for layer in range(len(self.W_enc))]

    def decoder(self, layer: int, target: int) -> Float[Tensor, "F D"]:
        """W_dec,layer->target, by layers. Raises ConfigError where layer is above target: latents write forward only."""
        if not 0 <= layer <= target < len(self.W_dec):
            raise ConfigError(f"layer {layer} writes to layers {layer} to {len(self.W_dec) - 1}, not to {target}")
        start = (target - layer) * self.d_in
        return self.W_dec[layer][:, start : start + self.d_in]

    def penalise(self, sizes: Float[Tensor, " nnz"]) -> Float[Tensor, " nnz"]:
        """tanh(c a)."""
        return torch.tanh(self.config.tanh_scale * sizes)

    def _rows(self, part: str, layer: int, n_columns: int) -> Float[Tensor, "F C"]:
        return unit_rows(self.n_latents, n_columns, seed=derive_seed(self.config.seed, part, layer))

    def _dictionary(self, layer: int) -> Dictionary:
        width, W_dec = self.d_in, self.W_dec[layer]
        per_site = torch.linalg.vector_norm(W_dec.reshape(self.n_latents, -1, width), dim=2) * self.site_weights[layer:]
        return Dictionary(
            Encoder(self.W_enc[layer], self.b_enc[layer], self.centre[layer * width : (layer + 1) * width]),
            W_dec,
            torch.linalg.vector_norm(per_site, dim=1),
            reads=slice(layer * width, (layer + 1) * width),
            writes=slice(layer * width, self.b_dec.shape[0]),
        )
