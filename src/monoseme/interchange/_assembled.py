"""From the tensors of a foreign file to one of our SAEs, and the algebra on the way.

What other tools have and ours do not, each as an identity:

- An encoder that does not take b_dec off its input: `x W + b = (x - b_dec) W + (b + b_dec W)` (`centred_bias`, `plain_bias`).
- Choice and penalty by norms of decoder rows: `f n` decoded by `W_dec / n`, n = ||row|| (`with_norms_folded`).

Products are in float64 and rounded once to float32. Letters: D model width, F latents.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ForeignError
from monoseme.saes import SAE, build
from monoseme.tensors.shapes import Float, Tensor


def taken(tensors: Mapping[str, Any], names: Mapping[str, tuple[int, ...]], *, where: str) -> dict[str, Tensor]:
    """The tensors of those names as float32, each of the shape that is given. Entries beyond them are left alone.

    Raises ForeignError for one that is missing, of another shape, not of a floating type, or not finite.
    """
    return {name: one_tensor(tensors, name, shape, where=where) for name, shape in names.items()}


def one_tensor(tensors: Mapping[str, Any], name: str, shape: tuple[int, ...], *, where: str) -> Tensor:
    """As `taken`, for one."""
    value = matrix(tensors, name, where=where)
    if tuple(value.shape) != shape:
        raise ForeignError(f"{where}: {name} has the shape {list(value.shape)}, which should be {list(shape)}")
    found = value.float()
    if not bool(torch.isfinite(found).all()):
        raise ForeignError(f"{where}: {name} holds NaN or infinity; the file is broken, or the SAE diverged in training")
    return found


def matrix(tensors: Mapping[str, Any], name: str, *, n_axes: int | None = None, where: str) -> Tensor:
    """A tensor of a floating type as it is, to read sizes from. Raises ForeignError."""
    value = tensors.get(name)
    if not isinstance(value, torch.Tensor):
        there = ", ".join(sorted(map(str, tensors))[:12]) or "nothing"
        raise ForeignError(f"{where} has no tensor {name}.\n  There is: {there}")
    if not value.is_floating_point():
        raise ForeignError(f"{where}: {name} holds {value.dtype}, not floating numbers")
    if n_axes is not None and (value.ndim != n_axes or 0 in value.shape):
        raise ForeignError(f"{where}: {name} has the shape {list(value.shape)}; it should have {n_axes} axes, none empty")
    return value


def assembled(config: SAE.Config, tensors: Mapping[str, Tensor], *, where: str) -> SAE:
    """An SAE of that config with those parameters and buffers, float32; buffers that are not named stay as they begin.

    Raises ForeignError where a parameter is missing, or shapes are not those of the config.
    """
    sae = build(config)
    state = sae.state_dict()
    needed = {name for name, _ in sae.named_parameters()}
    if lacking := sorted(needed - set(tensors)):
        raise ForeignError(f"{where} lacks what {config.plugin_name} needs: {', '.join(lacking)}")
    for name, value in tensors.items():
        if tuple(value.shape) != tuple(state[name].shape):
            raise ForeignError(f"{where}: {name} has the shape {list(value.shape)}, which should be {list(state[name].shape)}")
    sae.load_state_dict({**state, **tensors})  # copies into the layout that the kernels read
    return sae


def centred_bias(b_enc: Float[Tensor, " F"], W_enc: Float[Tensor, "D F"], b_dec: Float[Tensor, " D"]) -> Float[Tensor, " F"]:
    """The b_enc of an encoder of x - b_dec that equals one of x: b_enc + b_dec W_enc."""
    return (b_enc.double() + b_dec.double() @ W_enc.double()).float()


def plain_bias(b_enc: Float[Tensor, " F"], W_enc: Float[Tensor, "D F"], b_dec: Float[Tensor, " D"]) -> Float[Tensor, " F"]:
    """The inverse of `centred_bias`."""
    return (b_enc.double() - b_dec.double() @ W_enc.double()).float()


class Folded(NamedTuple):
    """An encoder and a decoder with the norms of decoder rows in the encoder."""

    W_enc: Float[Tensor, "D F"]
    b_enc: Float[Tensor, " F"]
    W_dec: Float[Tensor, "F D"]
    norms: Float[Tensor, " F"]


def with_norms_folded(W_enc: Float[Tensor, "D F"], b_enc: Float[Tensor, " F"], W_dec: Float[Tensor, "F D"]) -> Folded:
    """Unit rows of W_dec, and an encoder whose activations are f n: what a rule that compares f n then sees by itself.

    Raises ForeignError for a row of zeros, which has no direction.
    """
    norms = W_dec.double().norm(dim=1)
    if bool((norms == 0).any()):
        raise ForeignError(f"{int((norms == 0).sum())} rows of W_dec are zero: norms that weigh latents cannot be folded")
    encoder = (W_enc.double() * norms).float(), (b_enc.double() * norms).float()
    return Folded(*encoder, (W_dec.double() / norms.unsqueeze(1)).float(), norms.float())
