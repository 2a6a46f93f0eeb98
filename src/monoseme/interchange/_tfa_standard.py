"""`SAEStandard` of TemporalFeatureAnalysis: six SAEs with one set of names, in our architectures where that is exact.

    Ae [F, D]   be [1, F]   Ad [D, F]   bd [1, D]   lambda_pre [1]   [logthreshold [1, F]]   [expected_min_act [1]]

With l = softplus(lambda_pre) > 0 and x scaled:

    relu        relu(l ((x - bd) Ae^T + be)) Ad^T + bd                      relu, with l in the encoder
    topk        l topk_k(relu((x - bd) Ae^T)) Ad^T + bd; be is not used     topk, likewise: l changes no choice
    jumprelu    u = relu(l ((x - bd) Ae^T + be)), kept above exp(logthreshold)      thresholded
    MP          k times: the atom of Ae with the largest product, l times it        matching_pursuit, step l; Ad, be are not used
    SpaDE       sparsemax(-l |x - a_j|^2) Ad^T; be, bd are not used                 spade

batchtopk has no codes outside of training (its inference branch assigns none) and a threshold below what it selected, so there is
nothing to be equal to. SpaDE scales its input by a constant of its own, 1 / 236.184564, whatever the configuration says.

Letters: D model width, F latents.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange._assembled import assembled, matrix, one_tensor
from monoseme.interchange._tfa_files import Checkpoint, single, squeezed
from monoseme.saes import SAE, NormaliseConfig
from monoseme.saes.matching_pursuit import MatchingPursuit
from monoseme.saes.relu import ReLU
from monoseme.saes.spade import SpaDE
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK
from monoseme.tensors.shapes import Tensor

SPADE_SCALE = 1 / 236.184564


class Pieces(NamedTuple):
    """What the files hold, as float32."""

    Ae: Tensor
    be: Tensor
    Ad: Tensor
    bd: Tensor
    l: float  # noqa: E741 - the letter of the formulas
    """softplus(lambda_pre)."""
    at: Checkpoint
    k: int | None
    """As a setting says."""
    scale: float

    @property
    def sizes(self) -> dict[str, Any]:
        """D and F."""
        return {"n_latents": self.Ae.shape[0], "d_in": self.Ae.shape[1]}

    @property
    def normalise(self) -> NormaliseConfig:
        """The factor on x."""
        return NormaliseConfig(kind="constant", constant=self.scale)

    def require_k(self, name: str) -> int:
        """As a setting or conf.yaml says. Raises ConfigError where neither does."""
        k = self.k or self.at.whole_number(name, "sae")
        if k is None:
            raise ConfigError(f"{self.at.where} does not say how many latents are kept per token. Give it:  --k 192")
        return k


def is_standard(at: Checkpoint) -> bool:
    """Whether the tensors are those of `SAEStandard`."""
    return "Ae" in at.tensors


def read_standard(at: Checkpoint, *, kind: str, scale: float, k: int | None) -> SAE:
    """The SAE. Raises ForeignError, ConfigError for a type that cannot be carried over, with the reason."""
    if kind == "batchtopk":
        raise ConfigError(f"{at.where} is of type batchtopk, for which the original gives no codes outside of training.")
    if kind not in _READERS:
        raise ConfigError(f"{at.where} is of type {kind!r:.40}. Give it:  --type {'|'.join(_READERS)}")
    n_latents, d_in = matrix(at.tensors, "Ae", n_axes=2, where=at.where).shape
    pieces = Pieces(
        Ae=one_tensor(at.tensors, "Ae", (n_latents, d_in), where=at.where),
        be=squeezed(at.tensors, "be", n_latents, where=at.where),
        Ad=one_tensor(at.tensors, "Ad", (d_in, n_latents), where=at.where),
        bd=squeezed(at.tensors, "bd", d_in, where=at.where),
        l=float(functional.softplus(single(at.tensors, "lambda_pre", where=at.where))),
        at=at,
        k=k,
        scale=SPADE_SCALE if kind == "SpaDE" else scale,
    )
    if not pieces.l > 0:
        raise ForeignError(f"{at.where}: lambda_pre is so small that lambda is 0: every code would be")
    return _READERS[kind](pieces)


def _linear(p: Pieces, *, bias: bool) -> dict[str, Tensor]:
    """Encoder with lambda in it, decoder, and the scale."""
    b_enc = (p.l * p.be.double()).float() if bias else torch.zeros_like(p.be)
    encoder = {"W_enc": (p.l * p.Ae.double()).float().t(), "b_enc": b_enc}
    return {**encoder, "W_dec": p.Ad.t().contiguous(), "b_dec": p.bd, "input_factor": torch.tensor(p.scale)}


def _relu(p: Pieces) -> SAE:
    return assembled(ReLU.Config(normalise=p.normalise, **p.sizes), _linear(p, bias=True), where=p.at.where)


def _topk(p: Pieces) -> SAE:
    config = TopK.Config(normalise=p.normalise, k=p.require_k("kval_topk"), **p.sizes)
    return assembled(config, _linear(p, bias=False), where=p.at.where)


def _jumprelu(p: Pieces) -> SAE:
    thresholds = squeezed(p.at.tensors, "logthreshold", p.Ae.shape[0], where=p.at.where).double().exp().float()
    if not bool(torch.isfinite(thresholds).all()):
        raise ForeignError(f"{p.at.where}: exp(logthreshold) is infinite for some latents")
    config = Thresholded.Config(normalise=p.normalise, **p.sizes)
    return assembled(config, {**_linear(p, bias=True), "threshold": thresholds}, where=p.at.where)


def _matching_pursuit(p: Pieces) -> SAE:
    config = MatchingPursuit.Config(normalise=p.normalise, k=p.require_k("mp_kval"), step=p.l, **p.sizes)
    return assembled(config, {"W_dec": p.Ae, "b_dec": p.bd, "input_factor": torch.tensor(p.scale)}, where=p.at.where)


def _spade(p: Pieces) -> SAE:
    state = {
        "W_enc": p.Ae.t(),
        "W_dec": p.Ad.t().contiguous(),
        "scale_pre": single(p.at.tensors, "lambda_pre", where=p.at.where).float(),
        "input_factor": torch.tensor(p.scale),
    }
    return assembled(SpaDE.Config(normalise=p.normalise, **p.sizes), state, where=p.at.where)


_READERS: Mapping[str, Callable[[Pieces], SAE]] = MappingProxyType(
    {"relu": _relu, "topk": _topk, "jumprelu": _jumprelu, "MP": _matching_pursuit, "SpaDE": _spade}
)
STANDARD_TYPES = tuple(_READERS)
