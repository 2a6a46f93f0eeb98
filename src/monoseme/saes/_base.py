"""The contract of every SAE: one class for training and use.

Letters: B rows (tokens), N rows of a sample, D model width, F latents.

**Spaces.** Parameters live in the *normalised* space (see `_normalise`): `x_n = factor * x`, `f = encoder(x_n)`,
`x_hat_n = f W_dec + b_dec`. Everything public is raw: `encode` takes raw activations and returns codes in activation units
(`f / factor`), `decode` returns raw activations. So `x_hat = codes W_dec + b_dec / factor`, and `export` gives an SAE with
factor 1 and the same codes. What scales each vector by itself cannot be folded: codes are then in each vector's own unit
(`unit == "standardised"`: its standard deviation, or its root mean square with vector_norm) and carry offset and scale.

**A training step**: `losses = sae.loss(x, knobs)`, `losses.total.backward()`, `sae.project_gradients()`, clipping, optimiser,
`sae.after_step(losses)`.

**Sites.** Most architectures learn from one site. Those of several learn from the view `layers`, x [B, L, D] with the L sites in
the order of the config's `sites`; `roles` says which of them `encode` takes and `decode` gives back. An SAE that `reads` layers
has a site axis in both ([*, L_in, D] and [*, L_out, D]), any other has one input and one output site and no such axis. Codes are
[*, F], or [*, L, F] where `codes_per_site`.

**A new architecture** is one file that defines one concrete subclass with a nested `Config`, its parameters (four from
`add_dictionary`, or its own), `encode`, `loss`, `export` and `moves`. It may override anything else: `decode` where the decoder
is not linear, `start` and `reads` for several sites, `parts` for groups. It uses only the products and selectors of
`self.kernels`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import nn

from monoseme.core.errors import ConfigError, TrainingError
from monoseme.kernels import Encoder, Kernels, MeshKernels, default_choice, kernels_named, resolve
from monoseme.saes._biased import encode_biased
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses
from monoseme.saes._dead import count_tokens
from monoseme.saes._dictionary import (
    BiasStart,
    encoder_parameter,
    remove_parallel_gradient,
    renormalise,
    start_bias,
    total_variance,
    unit_rows,
)
from monoseme.saes._mesh import check_mesh, n_here, shard_in_force
from monoseme.saes._normalise import NormaliseConfig, Normalised, measure_scale, normalise
from monoseme.tensors.joint import summed_over
from monoseme.tensors.processes import Group, Mesh, batch_part
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

View = Literal["tokens", "pairs", "contexts", "layers"]


class Roles(NamedTuple):
    """Which of an SAE's sites do what, by number."""

    inputs: tuple[int, ...]
    """Taken by `encode`."""
    outputs: tuple[int, ...]
    """Given back by `decode`."""


class InOut(NamedTuple):
    """A batch of the sites an SAE learns from, as what it reads and what it is to give back."""

    x: Tensor
    y: Tensor


class SAE(nn.Module, ABC):
    """A sparse autoencoder: see the module's docstring."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """What every architecture has."""

        plugin_name: ClassVar[str]
        before: ClassVar[Mapping[str, Any]] = {}
        """Settings and rules that came later -> what was done before there were any, for checkpoints of that time."""

        d_in: int | None = None
        """Width of the activations (count); None until the site is known."""
        n_latents: int = 4096
        """Latents (count)."""
        normalise: NormaliseConfig = field(default_factory=NormaliseConfig)
        """Input normalisation."""
        b_dec_start: BiasStart = "geometric_median"
        """Where b_dec begins: geometric_median or mean of a sample, or zeros."""
        dead_after_tokens: int = 10_000_000
        """A latent is dead when it has not fired for so many tokens (count)."""
        seed: int = 0
        """Of the start of the weights, and of random choices in training."""
        sites: tuple[str, ...] | None = None
        """Places in the model to learn from, in order (resid_post.3). None: the run's, or the architecture's own choice."""
        target_l0: float | None = None
        """Latents active per token to aim at: sets k where there is one, else a controller moves the penalty. None: no target."""

        def __post_init__(self) -> None:
            for name in ("d_in", "n_latents", "dead_after_tokens"):
                value = getattr(self, name)
                if value is not None and value < 1:
                    raise ConfigError(f"{name} is {value}; it must be at least 1")
            if self.target_l0 is not None and not 0 < self.target_l0 <= self.n_latents:
                raise ConfigError(f"target_l0 is {self.target_l0}; it must be above 0 and at most n_latents = {self.n_latents}")
            if self.sites is not None and not self.sites:
                raise ConfigError("sites is empty: name at least one place, or leave it out")

        @property
        def rules(self) -> Mapping[str, str]:
            """What these settings mean where they once meant something else: a checkpoint goes on under its own alone."""
            return {}

    plugin_name: ClassVar[str]
    learns_from: ClassVar[View] = "tokens"
    """The view whose batches `loss` takes."""
    reads: ClassVar[View] = "tokens"
    """The view that `encode` takes."""
    codes_per_site: ClassVar[bool] = False
    """Whether each site has codes of its own; else one code serves all."""
    sparsity: Literal["k", "penalty", "none"] = "k"
    """What decides its L0: a k, a penalty that `Knobs.sparsity` multiplies, or nothing that could be turned (of the class, or set
    by `__init__`)."""
    moves: Mapping[str, frozenset[str]]
    """Part of the loss -> names of exactly the parameters it has a gradient for (of the class, or set by `__init__`)."""
    detached: frozenset[str] = frozenset()
    """Parts of the loss whose gradient leaves something out on purpose, so that finite differences do not match it."""
    unit_norm: tuple[str, ...] = ("W_dec",)
    """Parameters whose rows have unit norm after each step."""

    latent_axes: ClassVar[Mapping[str, int]] = {}
    """Parameter or buffer -> the axis along which its latents lie, where processes can divide them; empty: they cannot."""

    config: Any  # a subclass narrows it to its own Config
    kernel_choice: str
    """Which kernels to use: a set's name, or "auto"."""
    shard: Group
    """The processes that divide its latents: its parameters hold those of this one, its config is that of the whole."""
    W_enc: nn.Parameter
    b_enc: nn.Parameter
    W_dec: nn.Parameter
    b_dec: nn.Parameter
    input_factor: Tensor
    input_variance: Tensor
    started: Tensor
    tokens_since_fired: Tensor

    def __init_subclass__(cls) -> None:
        """Our own files name their class; a third party's is named by its entry point (core.registry)."""
        super().__init_subclass__()
        package, _, name = cls.__module__.rpartition(".")
        if package == "monoseme.saes":
            cls.plugin_name = name
            if "Config" in cls.__dict__:
                cls.Config.plugin_name = name

    def __init__(self, config: Config) -> None:
        """Raises ConfigError while `config.d_in` is None."""
        super().__init__()
        if config.d_in is None:
            raise ConfigError("the width of the activations is not known: set d_in, or let the site fill it in by training")
        self.config = config
        self.kernel_choice = default_choice()
        self.shard = shard_in_force()
        self.require_mesh(Mesh(latents=self.shard))
        self.provenance: dict[str, Any] = {}
        self.register_buffer("input_factor", torch.ones(()))
        self.register_buffer("input_variance", torch.ones(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        self.register_buffer("tokens_since_fired", torch.zeros(self.n_latents, dtype=torch.int64))

    def extra_repr(self) -> str:
        """The config, as nn.Module prints it."""
        return repr(self.config)

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def d_in(self) -> int:
        """D."""
        return self.config.d_in

    @property
    def d_out(self) -> int:
        """Width of what `decode` returns; a transcoder's may differ from `d_in`."""
        return self.d_in

    @property
    def n_latents(self) -> int:
        """F: the latents that are here; those of all processes together are `config.n_latents`."""
        return n_here(self.config.n_latents, self.shard)

    @property
    def pair_offset(self) -> Literal["previous", "random"]:
        """For an SAE that learns from pairs: which earlier token."""
        return "previous"

    @classmethod
    def roles(cls, n_sites: int) -> Roles:
        """What each of its n sites is for. Raises ConfigError for a number of sites it cannot have."""
        if n_sites != 1:
            raise ConfigError(f"{cls.plugin_name} learns from one site, not {n_sites}")
        return Roles((0,), (0,))

    @classmethod
    def default_sites(cls, n_layers: int) -> tuple[str, ...]:
        """Where it learns when nothing is said: the residual stream after the middle block."""
        return (f"resid_post.{(n_layers - 1) // 2}",)

    @classmethod
    def in_out(cls, x: Float[Tensor, "*lead L D"]) -> InOut:
        """A batch of all its sites, [*, L, D], as what `encode` takes and what `decode` is to give back."""
        roles = cls.roles(x.shape[-2])
        if cls.reads == "layers":
            return InOut(x[..., list(roles.inputs), :], x[..., list(roles.outputs), :])
        return InOut(x[..., roles.inputs[0], :], x[..., roles.outputs[0], :])

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts of a code, the whole first."""
        return ("all",)

    @property
    def unit(self) -> Literal["activation", "standardised"]:
        """Unit of the latents that `encode` returns."""
        return "activation" if self.config.normalise.folds else "standardised"

    @property
    def kernel_name(self) -> str:
        """The kernel set that `kernel_choice` means where the weights are now."""
        return resolve(self.kernel_choice, self.input_factor.device)

    @property
    def mesh(self) -> Mesh:
        """The processes that share its latents, and those that share the batch of the step being taken."""
        return Mesh(batch_part().rows, self.shard)

    @property
    def kernels(self) -> Kernels:
        """The products and selectors to use; over all processes of the mesh."""
        chosen, mesh = kernels_named(self.kernel_name), self.mesh
        return chosen if mesh.alone else MeshKernels(chosen, mesh)

    def use_kernels(self, choice: str) -> None:
        """Keeps a choice of kernels: "auto" follows the weights to another device, a name stays. Raises ConfigError."""
        resolve(choice, self.input_factor.device)
        self.kernel_choice = choice

    def refuses(self, mesh: Mesh) -> str | None:
        """Why it cannot be divided so, and what can be done; None: it can. Of its class and config: asked while it is made.

        Rows can be divided where the loss is a mean over rows, or made of means over the whole batch (`tensors.joint`). Latents
        are divided when it is made (see `_sharding.sharded`), rows in each step (`tensors.processes.sharing_batch`).
        """
        if mesh.latents.size > 1 and not self.latent_axes:
            return "its latents depend on each other.\n  Divide the rows of its batches instead, or take topk or batchtopk."
        return None

    def require_mesh(self, mesh: Mesh) -> None:
        """Raises ConfigError where it cannot be divided so, with what can be done."""
        check_mesh(self.plugin_name, mesh, n_latents=self.config.n_latents, refusal=self.refuses(mesh))

    @property
    def sharded_parameters(self) -> frozenset[str]:
        """Names of those of which this process has its latents alone; none where latents are not divided."""
        axes = self.latent_axes if self.shard.size > 1 else {}
        return frozenset(name for name, _ in self.named_parameters() if name in axes)

    # -- use -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Codes of raw activations, differentiable. `state` carries a temporal SAE along a sequence; others ignore it."""

    def encode_contexts(self, x: Float[Tensor, "n S *site D"], mask: Bool[Tensor, "n S"]) -> Codes:
        """Codes of whole contexts; positions where `mask` is False do not count, and what stands there is arbitrary.

        An SAE that reads contexts keeps masked positions out of what the others see.
        """
        return self.encode(x)

    def encode_biased(self, x: Float[Tensor, "*lead D"], latent_bias: Float[Tensor, " F"], codes: Codes) -> Codes:
        """What `codes` of these rows were, had `latent_bias`, in their unit, been added to pre-activations before the choice.

        Raises ConfigError for an architecture that does not choose among pre-activations.
        """
        return encode_biased(self, x, latent_bias)

    def use_k(self, k: int) -> None:
        """Another number of latents per row from here on, for use. Raises ConfigError where the architecture has no k."""
        if "k" not in {setting.name for setting in fields(self.config)}:
            raise ConfigError(f"{self.plugin_name} has no k to override")
        self.config = replace(self.config, k=k, target_l0=None)

    def decode(self, codes: Codes) -> Float[Tensor, "*lead D_out"]:
        """Raw activations from codes (sparse or dense), differentiable."""
        code, bias = codes.all, self.b_dec / self.input_factor
        if isinstance(code, SparseCodes):
            x_hat = self.kernels.decode(code, self.W_dec, bias).reshape(*code.leading, self.d_out)
        else:
            x_hat = summed_over(self.shard, code @ self.W_dec) + bias
        if codes.scale is not None and codes.offset is not None:
            x_hat = x_hat * codes.scale + codes.offset
        return x_hat

    def forward(self, x: Float[Tensor, "*lead D"]) -> Float[Tensor, "*lead D_out"]:
        """decode(encode(x))."""
        return self.decode(self.encode(x))

    @abstractmethod
    def export(self) -> "SAE":
        """The simplest equivalent for use: takes raw activations, with foldable normalisation put into the weights."""

    # -- training --------------------------------------------------------------------------------------------------

    @abstractmethod
    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Training forward on raw activations of the view `learns_from`; rows where `mask` is False do not count.

        Raises TrainingError before `start`. An architecture with another target than x takes it as a further keyword.
        """

    @torch.no_grad()
    def start(self, sample: Float[Tensor, "*lead D"]) -> None:
        """Measures, from raw activations: the scale of the input, b_dec in the normalised space, the variance of the input.

        Reductions are in float64. Raises TrainingError when the sample holds NaN, infinities or only one point.
        """
        sample = sample.reshape(-1, sample.shape[-1])
        self.input_factor.fill_(measure_scale(self.config.normalise, sample))
        rows = self.normalise(sample).rows
        self.input_variance.fill_(total_variance(rows))
        self.b_dec.copy_(start_bias(self.config.b_dec_start, rows))
        self.started.fill_(True)

    def project_gradients(self) -> None:
        """After backward, before clipping: drops the gradient that unit rows cannot follow.

        Factored gradients are left alone: the optimiser that takes them projects those of `unit_norm` itself.
        """
        remove_parallel_gradient(self.unit_norm_parameters())

    def after_step(self, *losses: Losses) -> None:
        """After the optimiser: unit rows again, dead latents counted. One `Losses` for each accumulated batch."""
        renormalise(self.unit_norm_parameters())
        for batch in losses:
            if batch.active is not None:
                count_tokens(self.tokens_since_fired, batch.active, rows=self.mesh.rows)

    def unit_norm_parameters(self) -> list[nn.Parameter]:
        """The parameters whose rows are kept at unit norm."""
        return [self.get_parameter(name) for name in self.unit_norm]

    def dead_mask(self) -> Bool[Tensor, "*sites F"]:
        """Latents that have not fired for `dead_after_tokens` tokens of training; [L, F] where each site has its own."""
        return self.tokens_since_fired >= self.config.dead_after_tokens

    # -- for the files of architectures ----------------------------------------------------------------------------

    def add_dictionary(self) -> None:
        """Gives the SAE W_dec [F, D] with seeded unit rows, W_enc [D, F] = W_dec^T, and zero biases, all float32."""
        rows = unit_rows(self.config.n_latents, self.d_in, seed=self.config.seed, part=self.shard)
        self.W_enc = encoder_parameter(rows)
        self.b_enc = nn.Parameter(torch.zeros(self.n_latents))
        self.W_dec = nn.Parameter(rows)
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))

    @property
    def encoder(self) -> Encoder:
        """The linear encoder, centred on b_dec."""
        return Encoder(self.W_enc, self.b_enc, self.b_dec)

    def normalise(self, x: Float[Tensor, "*lead D"]) -> Normalised:
        """Raw activations to flattened rows of the normalised space."""
        return normalise(self.config.normalise, x, self.input_factor)

    def public_codes(self, codes: SparseCodes, rows: Normalised) -> Codes:
        """Codes of the normalised space in the public unit and shape, without explicit zeros."""
        codes = codes.with_values(codes.values / self.input_factor).drop_zeros()
        return Codes({"all": codes.reshape_leading(*rows.leading)}, rows.offset, rows.scale)

    def require_start(self) -> None:
        """Raises TrainingError before `start`: the loss has no scale yet."""
        if not bool(self.started):
            raise TrainingError("this SAE has not seen a sample: call start(sample) with some thousand raw activations first")
