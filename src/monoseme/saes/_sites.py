"""What SAEs of several sites share: a scale for each site, codes in one unit, the loss, and the way to raw activations.

    x_n = s_l x_l at each input site,   y_n = t_m y_m at each output site        s: input_factor, t: output_factor
    f = encoder(x_n - centre),   y_hat_n = f W_dec + b_dec,   y_hat_m = y_hat_n / t_m

`centre` (of the inputs) and `b_dec` (of the outputs) are different vectors: the first is measured once and stays, as b_enc can
take up whatever it lacks; the second learns. Sites lie side by side in the columns of all of these.

**Unit of the codes.** `encode` gives f / u with 1 / u^2 = mean_m 1 / t_m^2, so that a code times its row of the exported W_dec is
what it adds to raw activations. `export` puts s, t and u into the weights. What it takes out of the outputs stays behind as
`site_weights`, by which the loss and the norms of latents are multiplied; so neither the choice of latents, nor thresholds, nor
the scale of the loss changes.

**Loss.** reconstruction = mean_b sum_m w_m^2 ||y_n,m - y_hat_n,m||^2 / V, V the same about the mean, over the sample of `start`;
w is 1 in training. AuxK takes the tokens whose sum over m is largest. Penalties are on f_i n_i / sqrt(V), n_i the norm of what
latent i writes (see `_site_codes`). With threshold codes the loss is the reconstruction alone: what was learned elsewhere is
tuned, with its thresholds held fixed.
Letters: B rows, N rows of a sample, L sites, D model width, F latents.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from monoseme.core.errors import ConfigError
from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, add_up
from monoseme.saes._dead import Chosen, note_firing, still_dead
from monoseme.saes._dictionary import renormalise, start_bias, total_variance
from monoseme.saes._entries import at_entries
from monoseme.saes._export import folded_config, successor
from monoseme.saes._normalise import measure_scale
from monoseme.saes._settings import aim_k, check_coefficient, check_k, refuse_unused
from monoseme.saes._site_codes import (
    CodesKind,
    Dictionary,
    auxk_all,
    choose,
    choose_above,
    choose_over,
    decode_all,
    decode_dense,
    joined,
    parted,
    smallest_kept,
)
from monoseme.saes._threshold import add_threshold, check_decay, move_threshold
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "k": ("topk", "batchtopk"),
    "auxk_coefficient": ("topk", "batchtopk"),
    "k_aux": ("topk", "batchtopk"),
    "auxk_one_in": ("topk", "batchtopk"),
    "threshold_decay": ("batchtopk",),
    "sparsity_coefficient": ("relu",),
}
_SPARSITY: dict[CodesKind, Literal["k", "penalty", "none"]] = {
    "topk": "k",
    "batchtopk": "k",
    "relu": "penalty",
    "threshold": "none",
}
_TERMS: dict[CodesKind, str] = {"topk": "auxk", "batchtopk": "auxk", "relu": "sparsity"}


@dataclass(frozen=True, kw_only=True)
class SitesConfig(AuxKConfig):
    """What architectures of several sites have; AuxK with topk and batchtopk."""

    n_sites: int | None = None
    """Places it learns from, inputs and outputs (count); None until they are known."""
    codes: CodesKind = "batchtopk"
    """topk: the k largest of each token. batchtopk: k per token on average. relu: all positive, held down by a penalty.
    threshold: all above a fixed threshold of each latent (JumpReLU), as published SAEs have it."""
    k: int = 32
    """Latents kept per token, and per input site where each has codes of its own (count); with topk and batchtopk."""
    threshold_decay: float = 0.95
    """Weight of the past in the running inference threshold, per step (0 <= it < 1); only with batchtopk."""
    sparsity_coefficient: float = 0.1
    """Strength of the penalty: FVU per unit of penalty. Only with relu."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, kinds in _ONLY_FOR.items():
            if self.codes not in kinds:
                refuse_unused(self, name, because=f'codes is "{self.codes}", and it belongs to {", ".join(kinds)}')
        if not self.normalise.folds:
            raise ConfigError(
                f'normalise.kind is "{self.normalise.kind}"; over several sites the scale must be one per site, not per vector'
            )
        if self.codes in _ONLY_FOR["k"]:
            aim_k(self)
            check_k(self.k, n_latents=self.n_latents)
        check_coefficient("sparsity_coefficient", self.sparsity_coefficient)
        check_decay(self.threshold_decay)

    @property
    def rules(self) -> Mapping[str, str]:
        """As for AuxK; none for codes that do without it."""
        return super().rules if self.codes in _ONLY_FOR["auxk_coefficient"] else {}


class SitesSAE(SAE):
    """An SAE whose encoder is linear in its input sites and whose decoder is linear in its codes."""

    learns_from = "layers"
    detached = frozenset({"auxk"})
    unit_norm = ()
    output_factor: Tensor
    """[L_out]."""
    site_weights: Tensor
    """[L_out]: 1, or what export folded out of the outputs."""
    site_variance: Tensor
    """[L_out] share of each output site in V."""
    centre: Tensor
    """[L_in D], in the normalised space of the inputs."""
    threshold: Tensor
    """Running inference threshold on f_i n_i, with batchtopk; 0 (a plain ReLU) until the first step. With codes threshold: on
    f_i, [F] ([L, F] where each site has codes of its own), in the normalised space, not negative; 0 from scratch."""
    threshold_updates: Tensor
    """Steps the running threshold has seen."""

    def __init__(self, config: SitesConfig) -> None:
        """Raises ConfigError while the number of sites is not known, or is one it cannot have."""
        super().__init__(config)
        if config.n_sites is None:
            raise ConfigError("the number of sites is not known: set n_sites, or let training fill it in from the sites")
        roles = self.roles(config.n_sites)
        n_in, n_out = len(roles.inputs), len(roles.outputs)
        self.register_buffer("input_factor", torch.ones(n_in))
        for name in ("output_factor", "site_weights", "site_variance"):
            self.register_buffer(name, torch.ones(n_out))
        self.register_buffer("centre", torch.zeros(n_in * self.d_in))
        add_threshold(self)
        if config.codes == "threshold":
            shape = (n_in, self.n_latents) if self.codes_per_site else (self.n_latents,)
            self.register_buffer("threshold", torch.zeros(shape))
        self.sparsity = _SPARSITY[config.codes]
        self._aux = AuxK.of(config, self.d_in)

    @classmethod
    def moved(
        cls, codes: CodesKind, *, whole: frozenset[str], latents: frozenset[str], penalised: frozenset[str] | None = None
    ) -> dict[str, frozenset[str]]:
        """`moves`: the reconstruction moves all; AuxK latents; a penalty latents, or those parts of them that are named."""
        term = _TERMS.get(codes)
        moved = latents if penalised is None or term != "sparsity" else penalised
        return {"reconstruction": whole, **({} if term is None else {term: moved})}

    # -- what an architecture says of itself -----------------------------------------------------------------------

    @abstractmethod
    def dictionaries(self) -> Sequence[Dictionary]:
        """Its dictionaries, in the order of their codes."""

    def skip(self, rows: Float[Tensor, "B C"]) -> Float[Tensor, "B M"] | None:
        """What goes past the latents from inputs to outputs, in their normalised spaces; None for nothing."""
        return None

    # -- use -------------------------------------------------------------------------------------------------------

    @property
    def code_unit(self) -> Float[Tensor, ""]:
        """u of the module's docstring."""
        return self.output_factor.square().reciprocal().mean().rsqrt()

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """Codes of raw activations of its input sites: [*, L_in, D], or [*, D] where it reads one."""
        lead = tuple(x.shape[:-2] if self.reads == "layers" else x.shape[:-1])
        rows = self._scaled(x, self.input_factor)
        parts = self._codes_in_use(rows)
        codes = joined(parts) if self.codes_per_site else parts[0]
        codes = codes.with_values(codes.values / self.code_unit).drop_zeros()
        leading = (*lead, len(parts)) if self.codes_per_site else lead
        skipped = self.skip(rows)
        base = None if skipped is None else self._raw(skipped).reshape(*lead, *self._output_shape)
        return Codes({"all": codes.reshape_leading(*leading)}, base=base)

    def decode(self, codes: Codes) -> Float[Tensor, "*lead D_out"]:
        """Raw activations of its output sites, [*, L_out, D] (or [*, D]), from codes sparse or dense."""
        code, dictionaries, n_columns = codes.all, self.dictionaries(), self.b_dec.shape[0]
        if isinstance(code, SparseCodes):
            code = code.with_values(code.values * self.code_unit)
            parts = parted(code, len(dictionaries)) if self.codes_per_site else [code]
            rows = decode_all(parts, dictionaries, n_columns=n_columns, kernels=self.kernels)
            leading = code.leading
        else:
            dense = (code * self.code_unit).reshape(-1, len(dictionaries), self.n_latents)
            rows = decode_dense(dense, dictionaries, n_columns=n_columns)
            leading = tuple(code.shape[:-1])
        lead = leading[:-1] if self.codes_per_site else leading
        y_hat = self._raw(rows + self.b_dec).reshape(*lead, *self._output_shape)
        return y_hat if codes.base is None else y_hat + codes.base

    def use_k(self, k: int) -> None:
        """The k largest of each token from here on, with batchtopk too. Raises ConfigError for codes without a k."""
        if self.config.codes not in _ONLY_FOR["k"]:
            raise ConfigError(f"{self.plugin_name} with codes {self.config.codes} has no k to override")
        decay = SitesConfig.threshold_decay  # of topk, which has no threshold
        self.config = replace(self.config, codes="topk", k=k, threshold_decay=decay, target_l0=None)

    @torch.no_grad()
    def export(self) -> SAE:
        """The same architecture for raw activations, with the scales of its sites in its weights."""
        made = successor(self, type(self)(folded_config(self.config)), self.state_dict())
        made.fold(self.input_factor, self.output_factor, self.code_unit)
        return made

    def fold(self, s: Float[Tensor, " L_in"], t: Float[Tensor, " L_out"], u: Float[Tensor, ""]) -> None:
        """Puts the scales into weights that were learned under them, in place; called by `export`, without a graph."""
        s_columns, t_columns = (factor.repeat_interleave(self.d_in) for factor in (s, t))
        for dictionary in self.dictionaries():
            dictionary.encoder.weight.mul_(s_columns[dictionary.reads].unsqueeze(1) / u)
            dictionary.encoder.bias.div_(u)
            dictionary.W_dec.mul_(u / t_columns[dictionary.writes])
        self.centre.div_(s_columns)
        self.b_dec.div_(t_columns)
        if self.config.codes == "threshold":
            self.threshold.div_(u)  # on f_i; a running one is on f_i n_i, which stays
        self.site_weights.mul_(t)
        self.input_factor.fill_(1.0)
        self.output_factor.fill_(1.0)

    # -- training --------------------------------------------------------------------------------------------------

    def loss(
        self, x: Float[Tensor, "*lead L D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction of the output sites, and AuxK or the sparsity penalty; alone with fixed thresholds."""
        self.require_start()
        raw = x.reshape(-1, *x.shape[-2:]) if mask is None else x[mask]
        inputs, targets = self.in_out(raw)
        rows, wanted = self._scaled(inputs, self.input_factor), self._scaled(targets, self.output_factor)
        dictionaries = self.dictionaries()
        codes = self._codes_of_step(rows, dictionaries, knobs)
        y_hat = decode_all(codes, dictionaries, n_columns=wanted.shape[1], kernels=self.kernels) + self.b_dec
        skipped = self.skip(rows)
        y_hat = y_hat if skipped is None else y_hat + skipped
        residual = wanted - y_hat
        of_sites = residual.square().reshape(len(raw), *self._sites_out).sum(2)
        squares = of_sites.mean(0) * self.site_weights.square()
        parts = {"reconstruction": squares.sum() / self.input_variance}
        logs = {f"fvu/site_{m}": fvu for m, fvu in enumerate((squares / self.site_variance).detach())}
        if self.config.codes == "relu":
            parts["sparsity"], logs["l1"] = self._penalty(codes, dictionaries, knobs)
        elif self.config.codes != "threshold":
            chosen = self._aux.worst(of_sites.detach() @ self.site_weights.square(), ranks=self.mesh.rows)
            parts["auxk"] = self._auxk(rows, residual, codes, dictionaries, chosen=chosen)
        if self.config.codes == "batchtopk":
            logs["cut"] = smallest_kept(codes, dictionaries)
        active = (joined(codes) if self.codes_per_site else codes[0]).detach()
        return Losses(add_up(parts), parts, active, self._raw(y_hat), targets.reshape(len(raw), -1), logs)

    @torch.no_grad()
    def start(self, sample: Float[Tensor, "N L D"]) -> None:
        """Measures each site by itself: scales, centre and b_dec in the normalised spaces, variances of the outputs.

        Reductions are in float64. Raises TrainingError when a site holds NaN, infinities or only one point.
        """
        sides = self.in_out(sample.to(self.b_dec.dtype))
        inputs, targets = (side.reshape(len(sample), -1, self.d_in).unbind(1) for side in sides)
        for factor, sites in ((self.input_factor, inputs), (self.output_factor, targets)):
            factor.copy_(torch.tensor([measure_scale(self.config.normalise, site) for site in sites], dtype=torch.float64))
        read = [site * s for site, s in zip(inputs, self.input_factor, strict=True)]
        wanted = [site * t for site, t in zip(targets, self.output_factor, strict=True)]
        for site in read:
            total_variance(site)  # refuses what cannot be learned from
        variances = [total_variance(site * w) for site, w in zip(wanted, self.site_weights, strict=True)]
        self.site_variance.copy_(torch.tensor(variances, dtype=torch.float64))
        self.input_variance.fill_(sum(variances))
        self.centre.copy_(torch.cat([start_bias(self.config.b_dec_start, site) for site in read]))
        self.b_dec.copy_(torch.cat([start_bias(self.config.b_dec_start, site) for site in wanted]))
        self.started.fill_(True)

    @torch.no_grad()
    def after_step(self, *losses: Losses) -> None:
        """After the optimiser: unit rows where there are any, dead latents counted, the inference threshold moved."""
        renormalise(self.unit_norm_parameters())
        for batch in losses:
            if batch.active is not None:
                self._count(batch.active)
            if "cut" in batch.logs:
                decay = self.config.threshold_decay
                cut = batch.logs["cut"].reshape(1)
                move_threshold(self.threshold, self.threshold_updates, cut, decay=decay, mesh=self.mesh)

    # -- inside ----------------------------------------------------------------------------------------------------

    @property
    def _sites_out(self) -> tuple[int, int]:
        return len(self.output_factor), self.d_in

    @property
    def _output_shape(self) -> tuple[int, ...]:
        return self._sites_out if self.reads == "layers" else (self.d_in,)

    def _scaled(self, x: Tensor, factor: Float[Tensor, " L"]) -> Float[Tensor, "B C"]:
        """Raw activations of some sites, side by side in the normalised space, in the dtype of the parameters."""
        scaled = x.reshape(-1, len(factor), self.d_in).to(factor.dtype) * factor.unsqueeze(1)
        return scaled.flatten(1)

    def _raw(self, rows: Float[Tensor, "B M"]) -> Float[Tensor, "B M"]:
        return rows / self.output_factor.repeat_interleave(self.d_in)

    def _codes_in_use(self, rows: Float[Tensor, "B C"]) -> list[SparseCodes]:
        if self.config.codes == "topk":
            return choose("topk", rows, self.dictionaries(), k=self.config.k, kernels=self.kernels)
        if self.config.codes == "threshold":
            return self._over_thresholds(rows, self.dictionaries())
        return choose_above(rows, self.dictionaries(), self.threshold, kernels=self.kernels)

    def _codes_of_step(self, rows: Float[Tensor, "B C"], dictionaries: Sequence[Dictionary], knobs: Knobs) -> list[SparseCodes]:
        kind: CodesKind = self.config.codes
        if kind == "threshold":
            return self._over_thresholds(rows, dictionaries)
        return choose(kind, rows, dictionaries, k=knobs.k or self.config.k, kernels=self.kernels)

    def _over_thresholds(self, rows: Float[Tensor, "B C"], dictionaries: Sequence[Dictionary]) -> list[SparseCodes]:
        thresholds = self.threshold.reshape(len(dictionaries), -1).unbind(0)
        return choose_over(rows, dictionaries, thresholds, kernels=self.kernels)

    def _penalty(self, codes: list[SparseCodes], dictionaries: Sequence[Dictionary], knobs: Knobs) -> tuple[Tensor, Tensor]:
        """The penalty with its coefficient, and the L1 norm behind it."""
        pairs = zip(codes, dictionaries, strict=True)
        sizes = torch.cat([c.values * at_entries(d.norms, c) for c, d in pairs]) / self.input_variance.sqrt()
        n_rows = max(1, codes[0].n_rows)
        factor = self.config.sparsity_coefficient * knobs.sparsity
        return factor * self.penalise(sizes).sum() / n_rows, sizes.detach().sum() / n_rows

    def penalise(self, sizes: Float[Tensor, " nnz"]) -> Float[Tensor, " nnz"]:
        """What each f_i n_i / sqrt(V) costs: itself."""
        return sizes

    def _auxk(
        self, rows: Tensor, residual: Tensor, codes: list[SparseCodes], dictionaries: Sequence[Dictionary], *, chosen: Chosen
    ) -> Tensor:
        dead = self.dead_mask().reshape(len(dictionaries), self.n_latents)
        ranks = self.mesh.rows
        silent = [still_dead(mask, c.detach(), rows=ranks) for mask, c in zip(dead, codes, strict=True)]
        term = auxk_all(rows, residual, dictionaries, dead=silent, k_aux=self._aux.k, kernels=self.kernels, chosen=chosen)
        return self._aux.coefficient * term

    def _count(self, active: SparseCodes) -> None:
        """As `_dead.count_tokens`, for each dictionary's latents by themselves."""
        flat = self.tokens_since_fired.view(-1)
        n_dictionaries = flat.shape[0] // self.n_latents
        latents = (active.rows() % n_dictionaries) * self.n_latents + active.indices
        fired = torch.zeros_like(flat, dtype=torch.bool).index_fill_(0, latents[active.values != 0], value=True)
        note_firing(flat, fired, n_rows=active.n_rows // n_dictionaries, rows=self.mesh.rows)
