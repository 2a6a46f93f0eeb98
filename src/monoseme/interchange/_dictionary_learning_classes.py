"""The classes of dictionary_learning as architectures of ours, by an identity each.

| dict_class | what it computes | ours |
|---|---|---|
| `AutoEncoder` | relu((x - bias) E + b) | relu |
| `AutoEncoderNew` | relu(x E + b) | relu, with b + b_dec E |
| `GatedAutoEncoder` | 1[u + gate_bias > 0] relu(e^r_mag u + mag_bias), u = (x - decoder_bias) E | gated |
| `JumpReluAutoEncoder` | z 1[z > threshold], z = x W_enc + b_enc, not negative | thresholded, with b_enc + b_dec W_enc |
| `AutoEncoderTopK` | the k largest of relu((x - b_dec) E + b); by its threshold where that is asked for | topk, thresholded |
| `BatchTopKSAE` | what of relu((x - b_dec) E + b) is above its threshold | thresholded |
| `MatryoshkaBatchTopKSAE` | the same | thresholded with groups |
| `IdentityDict` | x | identity |

A threshold of -1 was never set, and lets every positive activation through. Source: github.com/saprmarks/dictionary_learning
(PyPI 0.1.0), `dictionary.py` and `trainers/`. Letters: D model width, F latents.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import torch

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_latent
from monoseme.interchange._assembled import assembled, centred_bias, matrix, one_tensor, taken
from monoseme.saes import SAE, NormaliseConfig, build
from monoseme.saes.gated import Gated
from monoseme.saes.identity import Identity
from monoseme.saes.relu import ReLU
from monoseme.saes.thresholded import Thresholded
from monoseme.saes.topk import TopK
from monoseme.tensors.shapes import Float, Tensor

DictClass = Literal[
    "AutoEncoder",
    "AutoEncoderNew",
    "GatedAutoEncoder",
    "JumpReluAutoEncoder",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "IdentityDict",
]
CLASSES: tuple[str, ...] = get_args(DictClass)
UNSET = "its threshold was never set (-1): as in the tool, every positive activation is kept"
_NOT_UNIT = "decoder rows do not have unit norm and are kept as they are"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A state dict, and what is needed beside it."""

    where: str
    tensors: Mapping[str, Any]
    trainer: Mapping[str, Any]
    norm_factor: float | None = None
    """As in `_dictionary_learning_files.Loaded`."""
    k: int | None = None
    """Asked for; it wins over the files."""
    use_threshold: bool = False
    apply_b_dec_to_input: bool = False

    @property
    def normalise(self) -> NormaliseConfig:
        """What its weights work on."""
        if self.norm_factor is None:
            return NormaliseConfig(kind="none")
        return NormaliseConfig(kind="constant", constant=1 / self.norm_factor)

    def made(self, config: SAE.Config, state: Mapping[str, Tensor]) -> SAE:
        """The SAE of that config and state, with the scale of its input."""
        scale = {} if self.norm_factor is None else {"input_factor": torch.tensor(1 / self.norm_factor)}
        return assembled(config, {**state, **scale}, where=self.where)


class Made(NamedTuple):
    """An SAE of ours, and what there is to say about it."""

    sae: SAE
    notes: tuple[str, ...] = ()


class Weights(NamedTuple):
    """An encoder and a decoder in our layout; the encoder is one of x - b_dec."""

    W_enc: Float[Tensor, "D F"]
    b_enc: Float[Tensor, " F"]
    W_dec: Float[Tensor, "F D"]
    b_dec: Float[Tensor, " D"]


def made_of(dict_class: str, source: Source) -> Made:
    """An SAE of ours from a state dict of that class. Raises ForeignError, ConfigError for a class that there is not."""
    make = _MAKERS.get(dict_class)
    if make is None:
        raise ConfigError(
            f"{source.where} holds a {dict_class}, which is no class that is read.\n  Known: {', '.join(CLASSES)}\n"
            f"  If it is one of these under another name, say which:  --dict_class {CLASSES[0]}"
        )
    return make(source)


def class_by_keys(tensors: Mapping[str, Any], *, where: str) -> str:
    """The class of a state dict that no config.json describes. Raises ConfigError where several have such keys, ForeignError."""
    names = set(tensors)
    if "r_mag" in names:
        return "GatedAutoEncoder"
    if "W_enc" in names:
        return "MatryoshkaBatchTopKSAE" if "group_sizes" in names else "JumpReluAutoEncoder"
    if "encoder.weight" in names and "bias" in names:
        return "AutoEncoder"
    if "encoder.weight" in names and "decoder.bias" in names:
        return "AutoEncoderNew"
    if "encoder.weight" in names and "b_dec" in names:
        raise ConfigError(
            f"{where} could be an AutoEncoderTopK or a BatchTopKSAE, whose tensors have the same names, and no config.json says "
            "which.\n"
            "  Say it:  --dict_class BatchTopKSAE"
        )
    there = ", ".join(sorted(map(str, names))[:12]) or "nothing"
    raise ForeignError(f"{where} holds none of the dictionaries of dictionary_learning.\n  There is: {there}")


def linear_weights(source: Source, *, b_dec: str = "b_dec") -> Weights:
    """Those of the classes that are made of `nn.Linear`: encoder.weight [F, D], decoder.weight [D, F]."""
    n_latents, d_in = matrix(source.tensors, "encoder.weight", n_axes=2, where=source.where).shape
    shapes = {
        "encoder.weight": (n_latents, d_in),
        "encoder.bias": (n_latents,),
        "decoder.weight": (d_in, n_latents),
        b_dec: (d_in,),
    }
    found = taken(source.tensors, shapes, where=source.where)
    return Weights(found["encoder.weight"].t(), found["encoder.bias"], found["decoder.weight"].t().contiguous(), found[b_dec])


def plain_weights(source: Source) -> Weights:
    """Those of the classes that hold W_enc [D, F] and W_dec [F, D]."""
    d_in, n_latents = matrix(source.tensors, "W_enc", n_axes=2, where=source.where).shape
    shapes = {"W_enc": (d_in, n_latents), "b_enc": (n_latents,), "W_dec": (n_latents, d_in), "b_dec": (d_in,)}
    return Weights(**taken(source.tensors, shapes, where=source.where))


def above_one(source: Source, weights: Weights, *, groups: Mapping[str, int] | None = None) -> Made:
    """What is above the one threshold of the state dict; `groups` are parts of the codes, name -> size."""
    d_in, n_latents = weights.W_enc.shape
    threshold, notes = _threshold(source)
    config = Thresholded.Config(
        d_in=d_in,
        n_latents=n_latents,
        normalise=source.normalise,
        group_sizes=tuple(groups.values()) if groups else None,
        group_names=tuple(groups) if groups else None,
    )
    return Made(source.made(config, {**weights._asdict(), "threshold": threshold.expand(n_latents).clone()}), notes)


def sizes_of(source: Source, n_latents: int) -> tuple[int, ...]:
    """The sizes of the groups. Raises ForeignError where they do not add up to F."""
    value = source.tensors.get("group_sizes")
    if not isinstance(value, torch.Tensor) or value.ndim != 1 or value.is_floating_point() or value.is_complex():
        raise ForeignError(f"{source.where} holds no list of whole numbers group_sizes")
    sizes = tuple(int(size) for size in value.tolist())
    if not sizes or min(sizes) < 1 or sum(sizes) != n_latents:
        raise ForeignError(f"{source.where}: groups of {list(sizes)[:20]} latents do not make up {n_latents:,}")
    return sizes


def k_of(source: Source, n_latents: int) -> int:
    """Latents kept per token: as asked for, as the tensors say, as the trainer was told. Raises ConfigError, ForeignError."""
    if source.k is not None:
        return source.k
    value = source.tensors.get("k", source.trainer.get("k"))
    if value is None:
        raise ConfigError(f"{source.where} does not say how many latents are kept per token. Give it:  --k 64")
    if isinstance(value, torch.Tensor):
        value = value.item() if value.numel() == 1 and not value.is_complex() else "a tensor of other numbers"
    k = as_latent(value, where=f"{source.where}: k")
    if not 1 <= k <= n_latents:
        raise ForeignError(f"{source.where}: k is {k}, of {n_latents:,} latents")
    return k


class _Threshold(NamedTuple):
    """The one threshold of all latents."""

    value: Float[Tensor, ""]
    notes: tuple[str, ...]


def _threshold(source: Source) -> _Threshold:
    if "threshold" not in source.tensors:
        note = "it has no threshold: as in the tool before it is set, every positive activation is kept"
        return _Threshold(torch.zeros(()), (note,))
    found = one_tensor(source.tensors, "threshold", (), where=source.where)
    return _Threshold(found.clamp_min(0), (UNSET,) if bool(found < 0) else ())


def _relu(source: Source, weights: Weights, notes: Sequence[str] = ()) -> Made:
    norms = weights.W_dec.norm(dim=1)
    free = bool(((norms - 1).abs() > 1e-3).any())
    d_in, n_latents = weights.W_enc.shape
    config = ReLU.Config(d_in=d_in, n_latents=n_latents, normalise=source.normalise, weight_by_decoder_norm=free)
    return Made(source.made(config, weights._asdict()), tuple(notes) if free else ())


def _auto_encoder(source: Source) -> Made:
    note = f"{_NOT_UNIT}; the tool's own loader brings them to it by default, and then gives codes times those norms"
    return _relu(source, linear_weights(source, b_dec="bias"), [note])


def _auto_encoder_new(source: Source) -> Made:
    weights = linear_weights(source, b_dec="decoder.bias")
    folded = weights._replace(b_enc=centred_bias(weights.b_enc, weights.W_enc, weights.b_dec))
    note = f"{_NOT_UNIT}; where the tool gives codes and reconstructions together, it gives codes times those norms"
    return _relu(source, folded, [note])


def _gated(source: Source) -> Made:
    n_latents, d_in = matrix(source.tensors, "encoder.weight", n_axes=2, where=source.where).shape
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("r_mag", "gate_bias", "mag_bias"), (n_latents,))
    shapes |= {"encoder.weight": (n_latents, d_in), "decoder.weight": (d_in, n_latents), "decoder_bias": (d_in,)}
    found = taken(source.tensors, shapes, where=source.where)
    W_dec = found["decoder.weight"].t().contiguous()
    free = bool(((W_dec.norm(dim=1) - 1).abs() > 1e-3).any())
    config = Gated.Config(d_in=d_in, n_latents=n_latents, normalise=source.normalise, weight_by_decoder_norm=free)
    state = {
        "W_enc": found["encoder.weight"].t(),
        "r_mag": found["r_mag"],
        "b_gate": found["gate_bias"],
        "b_mag": found["mag_bias"],
        "W_dec": W_dec,
        "b_dec": found["decoder_bias"],
    }
    return Made(source.made(config, state), (_NOT_UNIT,) if free else ())


def _jump_relu(source: Source) -> Made:
    weights = plain_weights(source)
    d_in, n_latents = weights.W_enc.shape
    threshold = one_tensor(source.tensors, "threshold", (n_latents,), where=source.where).clamp_min(0)
    note = "whether b_dec is taken off the input is not in the file: as in the tool it is not; --apply_b_dec_to_input if it was"
    if not source.apply_b_dec_to_input:
        weights = weights._replace(b_enc=centred_bias(weights.b_enc, weights.W_enc, weights.b_dec))
    config = Thresholded.Config(d_in=d_in, n_latents=n_latents, normalise=source.normalise)
    notes = () if source.apply_b_dec_to_input else (note,)
    return Made(source.made(config, {**weights._asdict(), "threshold": threshold}), notes)


def _topk(source: Source) -> Made:
    weights = linear_weights(source)
    if source.use_threshold:
        return above_one(source, weights)
    d_in, n_latents = weights.W_enc.shape
    config = TopK.Config(d_in=d_in, n_latents=n_latents, k=k_of(source, n_latents), normalise=source.normalise)
    return Made(source.made(config, weights._asdict()))


def _batch_topk(source: Source) -> Made:
    return above_one(source, linear_weights(source))


def _matryoshka(source: Source) -> Made:
    weights = plain_weights(source)
    sizes = sizes_of(source, weights.W_enc.shape[1])
    return above_one(source, weights, groups={f"group_{i}": size for i, size in enumerate(sizes)})


def _identity(source: Source) -> Made:
    d_in = as_latent(source.trainer.get("activation_dim"), where=f"{source.where}: activation_dim of its config.json")
    if not 1 <= d_in <= 1 << 20:
        raise ForeignError(f"{source.where}: activation_dim is {d_in}")
    return Made(build(Identity.Config(d_in=d_in, n_latents=d_in, normalise=NormaliseConfig(kind="none"))))


_MAKERS: dict[str, Callable[[Source], Made]] = {
    "AutoEncoder": _auto_encoder,
    "AutoEncoderNew": _auto_encoder_new,
    "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _jump_relu,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batch_topk,
    "MatryoshkaBatchTopKSAE": _matryoshka,
    "IdentityDict": _identity,
}
