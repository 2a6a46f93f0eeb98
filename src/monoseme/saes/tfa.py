"""TFA: what the context predicts of a token, found by attention between codes, and a sparse code of what is new.

    r = x - b;  for each attention layer:  z = relu(s r E),  a = relu(out(attention over earlier z)),  p = a W_dec,
        c = <p, r> / (|p| + 1e-6)^2,  predicted += c a,  r -= c p
    novel = relu(s r E), sparsified;  x_hat = (predicted + novel) W_dec + b

E is W_dec^T (tied) or W_enc; s is `encoder_scale`. Predicted codes are dense and may be negative (c may be). The query of the
attention and c use x_t itself: "predicted" is the direction that the context proposes, not a forecast made without the token.

Source: "Priors in Time: Missing Inductive Biases for Language Model Interpretability" (Temporal Feature Analysis),
arXiv:2511.01836, and its code.
Differs from the code:
- Rows of W_dec start at norm 1 with s = 1/4 in place of norm sqrt(D) with s = 1/(4 D). It is the same function with codes sqrt(D)
  times larger, and lets the dictionary move at the learning rates of other SAEs. `encoder_scale=1/(4 * d_in)` is theirs.
- The loss is divided by the variance of the input, and the penalty is on codes in units of its standard deviation.
- The running threshold of batchtopk follows the smallest *selected* activation (there: the smallest of all).
- Keys have no bias: it has no effect. Masked positions are left out (there are none there).
- AuxK for dead novel latents (Gao et al. 2024, arXiv:2406.04093) is an addition, off by default.

Attention maps codes to codes: a layer has 2 F^2 (1 + 1 / bottleneck) weights, 67 million for 4,096 latents, far more than the
dictionary.
Letters: n contexts, S positions, B valid positions, D model width, F latents, H heads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.kernels import Encoder
from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._code_attention import CodeAttention, LayerHistory
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, add_up
from monoseme.saes._dead import Chosen, auxk, still_dead
from monoseme.saes._dictionary import encoder_parameter
from monoseme.saes._export import folded_config, folded_state, successor
from monoseme.saes._normalise import Normalised, denormalised
from monoseme.saes._packing import Packed, pack
from monoseme.saes._part_logs import part_logs
from monoseme.saes._reconstruct import rows_of
from monoseme.saes._settings import aim_k, check_k, refuse_unused
from monoseme.saes._threshold import add_threshold, check_decay, follow_cuts
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_EPS = 1e-6
_WITH_K = ("topk", "batchtopk")
_ONLY_FOR = {
    _WITH_K: ("k",),
    ("batchtopk",): ("threshold_decay",),
    ("relu",): ("penalty", "sparsity_coefficient"),
}


class Reconstruction(NamedTuple):
    """x_hat = predicted + novel + bias, in raw activations."""

    predicted: Float[Tensor, "*lead S D"]
    novel: Float[Tensor, "*lead S D"]
    bias: Float[Tensor, "*lead S D"]
    x_hat: Float[Tensor, "*lead S D"]


class _Predicted(NamedTuple):
    """What the context says, in the normalised space."""

    code: Float[Tensor, "n S F"]
    recons: Float[Tensor, "n S D"]
    residual: Float[Tensor, "n S D"]
    maps: list[Tensor]


class TFA(SAE):
    """predicted = c relu(attention(z_<t)), novel = sparse(relu(s (x - b - predicted W_dec) E)), x_hat = both W_dec + b."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AuxKConfig):
        """Attention over contexts, and the sparse code of the rest."""

        novel: Literal["relu", "topk", "batchtopk", "nullify"] = "topk"
        """How the novel code is made sparse: a penalty, k per token, k per token on average, or no novel code at all."""
        k: int = 32
        """Novel latents per token (count, 1 <= k <= n_latents); only with topk and batchtopk."""
        n_heads: int = 4
        """Heads of each attention layer (count); n_latents is divisible by n_heads * bottleneck."""
        n_attention_layers: int = 1
        """Rounds of prediction, each of what the last left over (count)."""
        bottleneck: int = 1
        """Queries and keys are n_latents / bottleneck wide."""
        tied: bool = True
        """Whether the encoder is the transposed decoder."""
        encoder_scale: float = 0.25
        """Factor on x E before the ReLU. Rows of W_dec start at norm 1 / (2 sqrt(encoder_scale)). The paper's is 1 / (4 D)."""
        penalty: Literal["l2", "l1"] = "l2"
        """Norm of each token's novel code that is penalised; only with relu. l2 is the original's."""
        sparsity_coefficient: float = 0.1
        """Strength of the penalty: FVU per unit of penalty, of codes in standard deviations of the input; only with relu."""
        auxk_coefficient: float = 0.0
        """Weight of the auxiliary loss that revives dead novel latents; 0 turns it off, as in the paper."""
        threshold_decay: float = 0.95
        """Weight of the past in the running inference threshold, per step (0 <= it < 1); only with batchtopk."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.novel in _WITH_K:
                aim_k(self)
            k = self.k if self.novel in _WITH_K else 1
            check_k(k, n_latents=self.n_latents)
            check_decay(self.threshold_decay)
            self._check_novel()
            self._check_attention()
            if not self.encoder_scale > 0:
                raise ConfigError(f"encoder_scale is {self.encoder_scale}; it must be positive")

        def _check_novel(self) -> None:
            if self.novel not in ("relu", *_WITH_K, "nullify"):
                raise ConfigError(f"novel is {self.novel}; it must be relu, topk, batchtopk or nullify")
            if self.novel == "nullify" and (self.target_l0 is not None or self.auxk_coefficient):
                raise ConfigError('novel "nullify" has no novel code: leave out target_l0 and auxk_coefficient')
            if self.penalty not in ("l2", "l1") or not self.sparsity_coefficient >= 0:
                raise ConfigError(
                    f"the penalty is {self.sparsity_coefficient} times {self.penalty}; it must be at least 0 times l1 or l2"
                )
            for novel, names in _ONLY_FOR.items():
                if self.novel not in novel:
                    refuse_unused(self, *names, because=f'novel is "{self.novel}", and it belongs to {", ".join(novel)}')

        def _check_attention(self) -> None:
            for name in ("n_heads", "n_attention_layers", "bottleneck"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
            if self.n_latents % (self.n_heads * self.bottleneck):
                raise ConfigError(
                    f"n_latents is {self.n_latents}; it must be divisible by n_heads * bottleneck = "
                    f"{self.n_heads} * {self.bottleneck}"
                )

    config: Config
    learns_from = "contexts"
    reads = "contexts"
    detached = frozenset({"auxk"})
    unit_norm = ()
    threshold: Tensor
    """Running inference threshold of batchtopk in the normalised space; 0 (a plain ReLU) until the first step."""
    threshold_updates: Tensor
    """Steps the threshold has seen."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        stream = generator(config.seed, "tfa")
        norm = 1 / (2 * math.sqrt(config.encoder_scale))
        rows = torch.randn(config.n_latents, self.d_in, generator=stream) * (norm / math.sqrt(self.d_in))
        self.W_dec = nn.Parameter(rows)
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))
        if not config.tied:
            self.W_enc = encoder_parameter(rows)
        sizes = {"n_heads": config.n_heads, "bottleneck": config.bottleneck}
        self.attention = nn.ModuleList(
            CodeAttention(config.n_latents, **sizes, stream=stream) for _ in range(config.n_attention_layers)
        )
        if config.novel == "batchtopk":
            add_threshold(self)
        self._aux = AuxK.of(config, self.d_in)
        self.moves = self._moves()
        if config.novel not in _WITH_K:
            self.sparsity = "penalty" if config.novel == "relu" else "none"

    def _moves(self) -> dict[str, frozenset[str]]:
        every = frozenset(name for name, _ in self.named_parameters())
        moves = {"reconstruction": every}
        if self.config.novel == "relu":
            moves["sparsity"] = every
        if self.config.auxk_coefficient:
            moves["auxk"] = frozenset({"W_dec"} if self.config.tied else {"W_dec", "W_enc"})
        return moves

    # -- use -------------------------------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[str, ...]:
        """The sum, and what it is made of."""
        return ("all", "predicted", "novel")

    def new_history(self) -> list[LayerHistory]:
        """A state for `encode`, before the first token of a sequence."""
        return [LayerHistory() for _ in self.attention]

    def encode(self, x: Float[Tensor, "*lead S D"], state: Sequence[LayerHistory] | None = None) -> Codes:
        """Codes of whole contexts [*, S, D], each position seeing those before it.

        With a state from `new_history`, x goes on where the last call with it ended, and the state is moved to the end of x:
        tokens one by one give what the whole gives at once. The state belongs to one set of contexts.
        """
        return self._encode(x, None, state)

    def encode_biased(self, x: Float[Tensor, "*lead D"], latent_bias: Float[Tensor, " F"], codes: Codes) -> Codes:
        """The novel code with a bias on relu(s r E) before any latents are chosen; the predicted code stays."""
        rows, predicted = self.normalise(x), codes.dense("predicted")
        code = self.input_factor * predicted.reshape(-1, self.n_latents)
        residual = rows.rows - self.b_dec - code @ self.W_dec
        novel = self._novel(residual, k=self.config.k, training=False, bias=self.input_factor * latent_bias.to(residual))
        novel = novel.with_values(novel.values / self.input_factor).drop_zeros().reshape_leading(*x.shape[:-1])
        return replace(codes, parts={"all": predicted + novel.to_dense(), "predicted": predicted, "novel": novel})

    def encode_contexts(self, x: Float[Tensor, "n S D"], mask: Bool[Tensor, "n S"]) -> Codes:
        """As `encode`, with masked positions not there: what follows them sees the last valid position as its previous one.

        Codes of masked positions are zeros.
        """
        return self._encode(x, mask, None)

    @torch.no_grad()
    def reconstruct_parts(self, x: Float[Tensor, "*lead S D"], mask: Bool[Tensor, "*lead S"] | None = None) -> Reconstruction:
        """What each part gives back, in raw activations; at masked positions the bias alone."""
        codes = self._encode(x, mask, None)
        bias = self.decode(codes.with_all(torch.zeros_like(codes.dense())))
        predicted, novel = (self.decode(codes.with_all(codes.dense(part))) - bias for part in ("predicted", "novel"))
        return Reconstruction(predicted, novel, bias, self.decode(codes))

    @torch.no_grad()
    def attention_maps(
        self, x: Float[Tensor, "n S D"], mask: Bool[Tensor, "n S"] | None = None
    ) -> Float[Tensor, "n layers H S S"]:
        """How much position t (second last axis) takes from slot s (last axis), which holds the position before s.

        The first slot of a context holds nothing but biases. Rows sum to one; rows and columns of masked positions are zeros.
        """
        packed, _ = self._packed(x, mask)
        maps = torch.stack(self._predict(packed.x, with_maps=True).maps, 1)
        n, _, _, length, _ = maps.shape
        queries_first = packed.unpack(maps.movedim(3, 1).reshape(n, length, -1)).reshape(n, length, *maps.shape[1:3], length)
        slots_first = packed.unpack(queries_first.movedim(4, 1).reshape(n, length, -1))
        return slots_first.reshape(n, length, length, *maps.shape[1:3]).permute(0, 3, 4, 2, 1)

    def use_k(self, k: int) -> None:
        """Another number of novel latents per token. Raises ConfigError with relu and nullify, which have none."""
        if self.config.novel not in _WITH_K:
            raise ConfigError(f'tfa with novel "{self.config.novel}" has no k to override')
        super().use_k(k)

    @torch.no_grad()
    def export(self) -> SAE:
        """TFA on raw activations.

        With codes 1 / factor as large, weights of queries, keys and values grow by the factor; directions stay, so <p, r> and
        with it the predicted codes shrink by it. The threshold follows the novel codes.
        """
        state = folded_state(self)
        for name in state:
            if name.startswith("attention.") and name.endswith((".queries.weight", ".keys.weight", ".values.weight")):
                state[name] *= self.input_factor
        return successor(self, TFA(folded_config(self.config)), state)

    # -- training --------------------------------------------------------------------------------------------------

    def loss(self, x: Float[Tensor, "n S D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "n S"] | None = None) -> Losses:
        """Reconstruction of the valid positions, the penalty of relu, AuxK if asked for.

            reconstruction = mean_b |x_n - x_hat_n|^2 / V
            sparsity = coefficient * knobs.sparsity * mean_b |novel_b| / sqrt(V)

        V is the variance of the sample given to `start`. `active` is the novel code (with nullify the predicted one): what dead
        latents are counted by. Batchtopk shares its budget among all valid positions.
        """
        self.require_start()
        packed, rows = self._packed(x, mask)
        context = self._predict(packed.x)
        residual, recons = packed.rows(context.residual), packed.rows(context.recons)
        novel = self._novel(residual, k=knobs.k or self.config.k, training=True)
        added = self.kernels.decode(novel, self.W_dec)
        error = residual - added
        squares = error.square().sum(1)
        parts = {"reconstruction": squares.mean() / self.input_variance}
        if self.config.novel == "relu":
            parts["sparsity"] = self._penalty(novel) * knobs.sparsity
        if self.config.auxk_coefficient:
            chosen = self._aux.worst(squares, ranks=self.mesh.rows)
            parts["auxk"] = self._aux.coefficient * self._auxk(residual, error, novel, chosen=chosen)
        predicted = packed.rows(context.code).detach()
        active = SparseCodes.from_dense(predicted) if self.config.novel == "nullify" else novel.detach()
        logs = part_logs(packed.rows(packed.x), recons, added, bias=self.b_dec, predicted_code=predicted, novel_code=novel)
        x_hat = denormalised(recons + added + self.b_dec, rows, self.input_factor, mask=mask)
        return Losses(add_up(parts), parts, active, x_hat, rows_of(x, mask), logs)

    @torch.no_grad()
    def after_step(self, *losses: Losses) -> None:
        """Also moves batchtopk's threshold towards the smallest positive kept activation of each batch."""
        super().after_step(*losses)
        if self.config.novel == "batchtopk":
            follow_cuts(self, losses)

    # -- the pieces ------------------------------------------------------------------------------------------------

    @property
    def _encoder(self) -> Encoder:
        """The linear map of residuals, without the scale."""
        weight = self.W_dec.t() if self.config.tied else self.W_enc
        return Encoder(weight, weight.new_zeros(self.n_latents))

    def _packed(self, x: Tensor, mask: Tensor | None) -> tuple[Packed, Normalised]:
        rows = self.normalise(x)
        return pack(rows.rows.reshape(x.shape), mask), rows

    def _predict(
        self, x: Float[Tensor, "n S D"], history: Sequence[LayerHistory] | None = None, *, with_maps: bool = False
    ) -> _Predicted:
        residual, recons, code = x - self.b_dec, torch.zeros_like(x), x.new_zeros(*x.shape[:-1], self.n_latents)
        encoder, maps = self._encoder.weight, list[Tensor]()
        for index, layer in enumerate(self.attention):
            z = (self.config.encoder_scale * (residual @ encoder)).relu()
            attended = layer(z, history[index] if history is not None else None, with_maps=with_maps)
            point = attended.direction @ self.W_dec
            share = (point * residual).sum(-1, keepdim=True) / (point.norm(dim=-1, keepdim=True) + _EPS).square()
            code = code + share * attended.direction
            recons, residual = recons + share * point, residual - share * point
            if attended.maps is not None:
                maps.append(attended.maps)
        return _Predicted(code, recons, residual, maps)

    def _encode(self, x: Tensor, mask: Tensor | None, history: Sequence[LayerHistory] | None) -> Codes:
        lead = x.shape[:-1]
        contexts = x.reshape(-1, *x.shape[-2:])
        packed, rows = self._packed(contexts, None if mask is None else mask.reshape(contexts.shape[:2]))
        context = self._predict(packed.x, history)
        residual = packed.unpack(context.residual).flatten(0, 1)  # zeros where masked, and so are their novel codes
        novel = self._novel(residual, k=self.config.k, training=False)
        novel = novel.with_values(novel.values / self.input_factor).drop_zeros().reshape_leading(*lead)
        predicted = packed.unpack(context.code).reshape(*lead, self.n_latents) / self.input_factor
        offset, scale = (None if t is None else t.reshape(*lead, 1) for t in (rows.offset, rows.scale))
        return Codes({"all": predicted + novel.to_dense(), "predicted": predicted, "novel": novel}, offset, scale)

    def _novel(
        self, residual: Float[Tensor, "B D"], *, k: int, training: bool, bias: Float[Tensor, " F"] | None = None
    ) -> SparseCodes:
        """The sparse code of what the context left over, in the normalised space; `bias` is added to s r E."""
        encoder, scale = self._encoder, self.config.encoder_scale
        encoder = encoder if bias is None else encoder._replace(bias=bias / scale)
        match self.config.novel:
            case "nullify":
                none = residual.new_zeros(0, dtype=torch.int64)
                return SparseCodes.from_rows(
                    none, none, residual.new_zeros(0), n_rows=residual.shape[0], n_latents=self.n_latents
                )
            case "topk":
                codes = self.kernels.encode_topk(residual, encoder, k)
            case "batchtopk" if training:
                codes = self.kernels.encode_batch_topk(residual, encoder, k * residual.shape[0])
            case "batchtopk":
                codes = self.kernels.encode_threshold(residual, encoder, self.threshold / scale)
            case _:
                codes = self.kernels.encode_threshold(residual, encoder, residual.new_zeros(()))
        return codes.with_values(scale * codes.values.relu())

    def _penalty(self, novel: SparseCodes) -> Float[Tensor, ""]:
        """Mean norm of a token's novel code in units of the input's standard deviation, times its coefficient."""
        sizes = novel.values.square() if self.config.penalty == "l2" else novel.values
        ones = sizes.new_ones(self.n_latents, 1)
        norms = self.kernels.decode(novel.with_values(sizes), ones)
        if self.config.penalty == "l2":
            norms = torch.where(norms > 0, norms, 1.0).sqrt() * (norms > 0)  # the root's slope at 0 is infinite
        return self.config.sparsity_coefficient * norms.mean() / self.input_variance.sqrt()

    def _auxk(
        self, given: Float[Tensor, "B D"], error: Float[Tensor, "B D"], novel: SparseCodes, *, chosen: Chosen
    ) -> Float[Tensor, ""]:
        """AuxK of `_dead`, on what the novel code is given, and on what both parts leave over."""
        scaled = Encoder(self.config.encoder_scale * self._encoder.weight, self._encoder.bias)
        dead = still_dead(self.dead_mask(), novel, rows=self.mesh.rows)
        return auxk(given, error, scaled, self.W_dec, dead=dead, k_aux=self._aux.k, kernels=self.kernels, chosen=chosen)
