"""Matryoshka: latents in groups, of which each prefix must reconstruct the input by itself, so that early ones stay general.

    x_hat_i = b_dec + sum_{j <= i} f_j W_j        loss = mean_i (or sum_i) w_i mean_b ||x - x_hat_i||^2 / V  + AuxK (+ L1)

Source: Bussmann et al. 2025, arXiv:2503.17547, sections 3 and 4 (BatchTopK codes, fixed or random prefixes). The mean over groups
is what dictionary_learning and T-SAE compute (for them a weight w of G acts as w / G); the sum is the paper's formula. With equal
weights the two differ by the factor G, against AuxK only. Fractions become sizes by the rule of both: int(fraction * F), the last
group takes the rest.
Differs from the paper: losses are divided by the input's variance V; AuxK as in `_dead`; relu codes have an L1 penalty in units
of the input's standard deviation. Random prefixes: the Pareto distribution is cut off at F, and the whole is always the last.
Letters: B tokens, D model width, F latents, G groups.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from monoseme.core.errors import ConfigError
from monoseme.core.seeds import generator
from monoseme.saes._auxk import AuxK, AuxKConfig
from monoseme.saes._base import SAE
from monoseme.saes._budget import strongest, strongest_of_batch
from monoseme.saes._codes import DEFAULT_KNOBS, Codes, Knobs, Losses, with_parts
from monoseme.saes._export import folded_copy, with_thresholds
from monoseme.saes._groups import Average, Prefixes, group_names, prefix_losses, sizes_from, weights_from, with_groups
from monoseme.saes._mesh import DICTIONARY_AXES
from monoseme.saes._reconstruct import ALL_PARAMETERS, MOVES_WITH_AUXK, rows_of
from monoseme.saes._settings import aim_k, check_coefficient, check_k, refuse_unused
from monoseme.saes._threshold import add_threshold, check_decay, follow_cuts
from monoseme.tensors.joint import summed_over
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes

_FRACTIONS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 17 / 32)
_NOT_WITH = {
    "topk": ("sparsity_coefficient", "threshold_decay"),
    "batchtopk": ("sparsity_coefficient",),
    "relu": ("k", "threshold_decay"),
}


class Matryoshka(SAE):
    """x_hat_i = b_dec + sum_{j <= i} f_j W_j for each prefix of groups; f from TopK, BatchTopK or ReLU."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AuxKConfig):
        """Groups, and how codes are made."""

        codes: Literal["topk", "batchtopk", "relu"] = "batchtopk"
        """topk: k latents per token. batchtopk: k on average over a batch. relu: all positive ones, kept few by an L1 penalty."""
        k: int = 32
        """Latents kept per token, on average for batchtopk (count, 1 <= k <= n_latents); not with relu."""
        group_sizes: tuple[int, ...] | None = None
        """Latents in each group (counts), the coarsest first; None: by group_fractions."""
        group_fractions: tuple[float, ...] | None = None
        """Parts of n_latents in each group; None, without sizes: 1/32, 1/16, 1/8, 1/4 and the rest."""
        group_weights: tuple[float, ...] | None = None
        """Weight of each prefix's loss; None: all 1."""
        average: Average = "mean"
        """Of the weighted losses over prefixes: mean (dictionary_learning, T-SAE) or sum (the paper)."""
        n_random_prefixes: int | None = None
        """Draw so many prefixes at each step (count, the whole one included) in place of fixed groups; None: fixed groups."""
        prefix_distribution: Literal["pareto", "uniform"] = "pareto"
        """Of the lengths of random prefixes, from 1 to n_latents; only with n_random_prefixes."""
        pareto_exponent: float = 0.5
        """Of that Pareto distribution: P(length > l) falls as l^-exponent (above 0); larger means more short prefixes.
        Only with random prefixes of distribution pareto."""
        sparsity_coefficient: float = 0.1
        """Strength of the L1 penalty: FVU per unit of penalty; only with relu."""
        threshold_decay: float = 0.95
        """Weight of the past in the running inference threshold, per step (0 <= it < 1); only with batchtopk."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.codes != "relu":
                aim_k(self)
            k = 1 if self.codes == "relu" else self.k
            check_k(k, n_latents=self.n_latents)
            check_decay(self.threshold_decay)
            check_coefficient("sparsity_coefficient", self.sparsity_coefficient)
            if self.group_sizes is not None and self.group_fractions is not None:
                raise ConfigError("group_sizes and group_fractions are both given: choose one of the two")
            self._check_prefixes()
            self._refuse_what_is_not_used()

        @property
        def sizes(self) -> tuple[int, ...]:
            """Latents in each fixed group; one group of all where prefixes are random."""
            if self.n_random_prefixes is not None:
                return (self.n_latents,)
            return sizes_from(self.n_latents, sizes=self.group_sizes, fractions=self.group_fractions or _FRACTIONS)

        @property
        def weights(self) -> tuple[float, ...]:
            """Weight of each prefix."""
            return weights_from(self.n_random_prefixes or len(self.sizes), self.group_weights)

        def _check_prefixes(self) -> None:
            if self.n_random_prefixes is not None:
                if self.group_sizes is not None or self.group_fractions is not None:
                    raise ConfigError(
                        "random prefixes have no groups: leave out group_sizes and group_fractions, or n_random_prefixes"
                    )
                if self.n_random_prefixes < 1:
                    raise ConfigError(f"n_random_prefixes is {self.n_random_prefixes}; it must be at least 1")
            if not self.pareto_exponent > 0:
                raise ConfigError(f"pareto_exponent is {self.pareto_exponent}; it must be above 0")
            _ = self.weights  # raises where groups and weights do not fit

        def _refuse_what_is_not_used(self) -> None:
            refuse_unused(self, *_NOT_WITH[self.codes], because=f'codes is "{self.codes}"')
            if self.n_random_prefixes is None:
                names = ("prefix_distribution", "pareto_exponent")
                refuse_unused(self, *names, because="groups are fixed, n_random_prefixes is not set")
            elif self.prefix_distribution == "uniform":
                refuse_unused(self, "pareto_exponent", because='prefix_distribution is "uniform"')

    config: Config
    detached = frozenset({"auxk"})
    latent_axes = DICTIONARY_AXES
    threshold: Tensor
    """Running inference threshold of batchtopk in the normalised space; 0 for the others."""
    threshold_updates: Tensor
    """Steps the threshold has seen."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_dictionary()
        add_threshold(self)
        self.moves = dict(MOVES_WITH_AUXK)
        if config.codes == "relu":
            self.sparsity = "penalty"
            self.moves["sparsity"] = ALL_PARAMETERS - {"W_dec"}
        self._aux = AuxK.of(config, self.d_in)

    @property
    def groups(self) -> dict[str, int]:
        """Name -> size of each fixed group; none where prefixes are random."""
        sizes = () if self.config.n_random_prefixes is not None else self.config.sizes
        return dict(zip(group_names(len(sizes)), sizes, strict=True))

    @property
    def parts(self) -> tuple[str, ...]:
        """The whole, then each group."""
        return ("all", *self.groups)

    def use_k(self, k: int) -> None:
        """The k largest latents of each token from here on, also where training shared k over a batch."""
        if self.config.codes == "relu":
            raise ConfigError("matryoshka with relu codes has no k to override")
        decay = Matryoshka.Config.threshold_decay  # of topk, which has no threshold
        self.config = replace(self.config, codes="topk", k=k, threshold_decay=decay, target_l0=None)

    def encode(self, x: Float[Tensor, "*lead D"], state: Any = None) -> Codes:
        """topk: the k largest; batchtopk and relu: what is above the threshold. Rows do not depend on each other."""
        rows = self.normalise(x)
        if self.config.codes == "topk":
            codes = self._training_codes(rows.rows, self.config.k)
        else:
            codes = self.kernels.encode_threshold(rows.rows, self.encoder, self.threshold)
        return with_groups(self, self.public_codes(codes, rows), self.groups)

    def loss(
        self, x: Float[Tensor, "*lead D"], knobs: Knobs = DEFAULT_KNOBS, *, mask: Bool[Tensor, "*lead"] | None = None
    ) -> Losses:
        """Reconstruction from each prefix, AuxK, and the L1 penalty of relu codes."""
        self.require_start()
        raw = rows_of(x, mask)
        rows = self.normalise(raw)
        codes = self._training_codes(rows.rows, knobs.k or self.config.k)
        losses = prefix_losses(self, raw, rows, codes, prefixes=self._prefixes(knobs.step), aux=self._aux)
        if self.config.codes != "relu":
            return losses
        l1 = summed_over(self.shard, codes.values.sum()) / (losses.n_rows * self.input_variance.sqrt())
        return with_parts(losses, {"sparsity": self.config.sparsity_coefficient * knobs.sparsity * l1}, {"l1": l1})

    @torch.no_grad()
    def after_step(self, *losses: Losses) -> None:
        """Also moves the inference threshold of batchtopk towards the cut of each batch."""
        super().after_step(*losses)
        if self.config.codes == "batchtopk":
            follow_cuts(self, losses)

    def export(self) -> SAE:
        """The architecture "thresholded" with the same groups; for topk the same on raw activations."""
        if self.config.codes == "topk":
            return folded_copy(self)
        return with_thresholds(self, self.threshold.expand(self.n_latents), groups=self.groups)

    def _training_codes(self, rows: Float[Tensor, "B D"], k: int) -> SparseCodes:
        if self.config.codes == "relu":
            return self.kernels.encode_threshold(rows, self.encoder, self.threshold)
        if self.config.codes == "topk":
            return strongest(self.kernels, rows, self.encoder, k)
        return strongest_of_batch(self.kernels, rows, self.encoder, k * rows.shape[0])

    def _prefixes(self, step: int) -> Prefixes:
        config = self.config
        drawn = config.sizes if config.n_random_prefixes is None else self._random_sizes(config.n_random_prefixes, step)
        return Prefixes(drawn, config.weights, config.average)

    def _random_sizes(self, n: int, step: int) -> tuple[int, ...]:
        """Groups between n - 1 random prefixes and the whole; of equal prefixes all but the first add an empty group."""
        n_latents = self.config.n_latents
        u = torch.rand(n - 1, generator=generator(self.config.seed, "prefixes", step), dtype=torch.float64)
        if self.config.prefix_distribution == "uniform":
            lengths = u * n_latents
        else:
            exponent = self.config.pareto_exponent
            lengths = (1 - u * (1 - n_latents**-exponent)) ** (-1 / exponent)
        ends = lengths.ceil().clamp(1, n_latents).long().sort().values
        ends = torch.cat([torch.zeros(1, dtype=torch.int64), ends, torch.tensor([n_latents])])
        return tuple(ends.diff().tolist())
