"""Files of OpenMOSS' tools: where the weights lie, what they are called, old names and new, and how settings are read.

    new  W_E [D, F]   b_E [F]   W_D [F, D]   b_D [D]   activation_function.log_jumprelu_threshold [F]
    old  encoder.weight [F, D]   encoder.bias [F]   decoder.weight [D, F]   decoder.bias [D]   log_jumprelu_threshold [F]

and `dataset_average_activation_norm.HOOK`, one number for each hook point. Letters: D model width, F latents.
"""

from collections.abc import Set
from pathlib import Path
from typing import Any, NamedTuple

import torch

from monoseme.core.errors import ForeignError, MonosemeError
from monoseme.core.foreign import as_number, read_json_object
from monoseme.interchange._assembled import matrix, one_tensor
from monoseme.interchange._plain_encoders import PlainEncoder
from monoseme.tensors.foreign_file import load_plain
from monoseme.tensors.shapes import Tensor

WEIGHTS = tuple(
    f"{stem}.{suffix}" for stem in ("sae_weights", "checkpoints/pruned", "checkpoints/final") for suffix in ("safetensors", "pt")
)
"""In the order in which the tool looks for them."""
_SUFFIXES = (".safetensors", ".pt")
_NORMS = "dataset_average_activation_norm."
_LOG_THRESHOLDS = ("activation_function.log_jumprelu_threshold", "log_jumprelu_threshold")


class Opened(NamedTuple):
    """The files of one SAE."""

    folder: Path
    told: dict[str, Any]
    """Its settings."""
    table: dict[str, Any]
    """Its tensors."""
    where: str
    """The file of weights, for messages."""


def opened(path: Path, settings: str) -> Opened:
    """The SAE that a path means, a folder or a file in it; weights that are named themselves are read, whatever else is there.

    `settings` is the name of the file that describes it. Raises ForeignError.
    """
    folder = folder_of(path)
    told = read_json_object(folder / settings)
    weights = path if path.is_file() and path.suffix in _SUFFIXES else weights_of(folder)
    if weights is None:
        raise ForeignError(f"{folder} holds none of {', '.join(WEIGHTS)}")
    return Opened(folder, told, tensors_in(weights), str(weights))


def folder_of(path: Path) -> Path:
    """The folder of an SAE, of which `path` may be a file, in `checkpoints` too."""
    if not path.is_file():
        return path
    return path.parent.parent if path.parent.name == "checkpoints" else path.parent


def name_of(folder: Path) -> str:
    """What an SAE is called by its folder: ASCII letters, digits and _ - . alone."""
    text = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_-.") else "_" for letter in folder.resolve().name
    )
    return text[:200] or "sae"


def has_settings(folder: Path, name: str, keys: Set[str]) -> bool:
    """Whether weights lie there, and a file of settings that says all of `keys`. Never raises."""
    try:
        if not (folder / name).is_file() or weights_of(folder) is None:
            return False
        return keys <= set(read_json_object(folder / name))
    except (MonosemeError, OSError, ValueError):
        return False


def weights_of(folder: Path) -> Path | None:
    """The file of weights in a folder."""
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


def tensors_in(path: Path) -> dict[str, Any]:
    """The table of a file, out of the one under `sae` where there is such. Raises ForeignError."""
    table = load_plain(path)
    inner = table.get("sae")
    return inner if isinstance(inner, dict) else table


def encoder_of(told: dict[str, Any], table: dict[str, Any], *, where: str) -> PlainEncoder:
    """Encoder and decoder, the latter with zeros for a bias that there is not; thresholds left out.

    Raises ForeignError, also for an encoder that a second one gates, and where the settings speak of another width.
    """
    _refuse_glu(told, where=where)
    plain = _plain_encoder(table, bias=flag(told, "use_decoder_bias", default=True, where=where), where=where)
    _check_width(told, plain, where=where)
    return plain


def _plain_encoder(table: dict[str, Any], *, bias: bool, where: str) -> PlainEncoder:
    if "W_E" in table or "encoder.weight" not in table:
        d_in, n_latents = matrix(table, "W_E", n_axes=2, where=where).shape
        W_enc = one_tensor(table, "W_E", (d_in, n_latents), where=where)
        W_dec = one_tensor(table, "W_D", (n_latents, d_in), where=where)
        b_enc = one_tensor(table, "b_E", (n_latents,), where=where)
        name = "b_D"
    else:
        n_latents, d_in = matrix(table, "encoder.weight", n_axes=2, where=where).shape
        W_enc = one_tensor(table, "encoder.weight", (n_latents, d_in), where=where).t()
        W_dec = one_tensor(table, "decoder.weight", (d_in, n_latents), where=where).t()
        b_enc = one_tensor(table, "encoder.bias", (n_latents,), where=where)
        name = "decoder.bias"
    b_dec = one_tensor(table, name, (d_in,), where=where) if bias else torch.zeros(d_in)
    return PlainEncoder(W_enc, b_enc, W_dec, b_dec)


def thresholds_in(table: dict[str, Any], n_latents: int, *, where: str) -> Tensor | None:
    """exp of the logarithms that are kept; None where there are none. Raises ForeignError."""
    name = next((name for name in _LOG_THRESHOLDS if name in table), None)
    if name is None:
        return None
    found = one_tensor(table, name, (n_latents,), where=where).exp()
    if not bool(torch.isfinite(found).all()):
        raise ForeignError(f"{where}: {name} has thresholds beyond any number")
    return found


def mean_norm(table: dict[str, Any], hook: str, *, where: str) -> float | None:
    """Average norm of the activations of a hook point, as the weights' file says. Raises ForeignError."""
    value = table.get(_NORMS + hook)
    if value is None:
        return None
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.is_floating_point():
        raise ForeignError(f"{where}: {_NORMS}{hook} should be one number")
    return as_number(float(value), where=f"{where}: {_NORMS}{hook}")


def flag(given: dict[str, Any], name: str, *, default: bool, where: str) -> bool:
    """A setting that is true or false. Raises ForeignError."""
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise ForeignError(f"{where}: {name} should be true or false, but is {str(value)[:60]}")
    return value


def _refuse_glu(given: dict[str, Any], *, where: str) -> None:
    """Raises ForeignError for an encoder that a second one gates."""
    if flag(given, "use_glu_encoder", default=False, where=where):
        raise ForeignError(f"{where}: its encoder is gated by a second one (use_glu_encoder); no architecture here has that")


def count(given: dict[str, Any], name: str, *, where: str) -> int:
    """A count of at least 1. Raises ForeignError."""
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1 << 31:
        raise ForeignError(f"{where}: {name} should be a count of at least 1, but is {str(value)[:60]}")
    return value


def _check_width(given: dict[str, Any], plain: PlainEncoder, *, where: str) -> None:
    """Raises ForeignError where the settings speak of another width than the weights have."""
    d_in = plain.W_enc.shape[0]
    if count(given, "d_model", where=where) != d_in:
        raise ForeignError(f"{where}: d_model is {given['d_model']}, but the weights read vectors of {d_in} numbers")
