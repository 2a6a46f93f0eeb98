"""What SAELens does to activations before the encoder, as ours.

    none                        nothing
    expected_average_only_in    x s, s = sqrt(D) / mean ||x||: folded into finished SAEs, kept apart in checkpoints of a run
    constant_scalar_rescale     x s (temporal)
    layer_norm                  (x - mean) / (std + 1e-5), back by std and mean        kind "standardise"
    constant_norm_rescale       x sqrt(D) / ||x||                                      kind "vector_norm"
    covariance_whitening        (x - mean) M: folded here

Codes of x s are in units of activations times s: they stay so in SAELens, ours are theirs / s (`code_factor` s).
Letters: D model width, F latents.
"""

import math
from pathlib import Path
from typing import NamedTuple

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.core.foreign import as_number, read_json_object
from monoseme.interchange._assembled import taken
from monoseme.interchange._saelens_config import SCALER, WHITENING, Told
from monoseme.saes import NormaliseConfig
from monoseme.tensors.foreign_file import load_table
from monoseme.tensors.shapes import Float, Tensor

EPS = 1e-5
"""Of SAELens' layer_norm; it is not a setting there."""


def stretch(d_in: int, encoder_scale: float) -> float:
    """c by which a temporal SAE's dictionary is longer than ours, and its codes shorter, where ours has `encoder_scale`."""
    c = math.sqrt(4 * d_in * encoder_scale)
    return 1.0 if math.isclose(c, 1.0, rel_tol=1e-9) else c


class Whitening(NamedTuple):
    """z = (x - mean) matrix, x = z inverse + mean."""

    mean: Float[Tensor, " D"]
    matrix: Float[Tensor, "D D"]
    inverse: Float[Tensor, "D D"]


class Scaling(NamedTuple):
    """Between raw activations and what the parameters work on."""

    normalise: NormaliseConfig
    factor: float = 1.0
    """On x, where it is one number."""
    whitening: Whitening | None = None
    notes: tuple[str, ...] = ()


def scaling_of(told: Told, *, asked: float | None) -> Scaling:
    """Of an SAE beside whose cfg.json other files may lie; `asked` is the factor that a setting gives.

    Raises ConfigError where a factor is needed and nothing says it, or given and not needed; ForeignError.
    """
    if asked is not None and told.normalise != "expected_average_only_in":
        raise ConfigError(
            f"norm_scaling_factor is {asked:g}, but {told.where} says that activations are scaled by {told.normalise}.\n"
            "  Leave it out: it belongs to expected_average_only_in."
        )
    match told.normalise:
        case "none":
            return Scaling(NormaliseConfig(kind="none"))
        case "expected_average_only_in":
            return _scaled(_factor(told, asked))
        case "constant_scalar_rescale":
            return _scaled(_positive(told.number("activation_normalization_factor", default=1.0), told.where))
        case "layer_norm":
            note = f"SAELens brings reconstructions back by std, not std + {EPS:g}: they differ by {EPS:g} in its unit"
            return Scaling(NormaliseConfig(kind="standardise", eps=EPS), notes=(note,))
        case "constant_norm_rescale":
            return Scaling(NormaliseConfig(kind="vector_norm"))
        case "covariance_whitening":
            return _whitened(told)
        case other:
            raise ForeignError(f"{told.where}: normalize_activations is {other[:60]!r}, which is not known")


def _scaled(factor: float) -> Scaling:
    if factor == 1.0:
        return Scaling(NormaliseConfig(kind="none"))
    note = (
        f"it reads activations times {factor:.6g}, and its codes in SAELens are in that unit; here they are in activation units"
    )
    return Scaling(NormaliseConfig(kind="constant", constant=factor), factor, notes=(note,))


def _factor(told: Told, asked: float | None) -> float:
    """s as told, else of the checkpoint's scaler."""
    if asked is not None:
        return _positive(asked, "norm_scaling_factor")
    file = Path(told.where).with_name(SCALER)
    found = read_json_object(file).get("scaling_factor") if file.is_file() else None
    if found is None:
        raise ConfigError(
            f"{told.where} says that activations are to be scaled (expected_average_only_in), but not by what: the factor is in\n"
            f"  {SCALER} of a training run, or in SAELens' list of published SAEs (norm_scaling_factor).\n"
            "  Give it:  --norm_scaling_factor 0.27      (1, if it is known to be in the weights already)"
        )
    return _positive(as_number(found, where=f"{file}: scaling_factor"), str(file))


def _positive(factor: float, where: str) -> float:
    if not 1e-20 < factor < 1e20:
        raise ForeignError(f"{where}: activations cannot be scaled by {factor:g}")
    return factor


def _whitened(told: Told) -> Scaling:
    file, d_in = Path(told.where).with_name(WHITENING), told.d_in
    if not file.is_file():
        raise ForeignError(
            f"{told.where} says that activations are whitened, and there is no {WHITENING} beside it, which says how.\n"
            "  Import the SAE that the run saved at its end: the whitening is in its weights."
        )
    shapes = {"mean": (d_in,), "matrix": (d_in, d_in), "inverse_matrix": (d_in, d_in)}
    table = load_table(file)
    taken(table, shapes, where=str(file))
    whitening = Whitening(*(table[name].double() for name in shapes))  # as precise as they are kept
    return Scaling(
        NormaliseConfig(kind="none"), whitening=whitening, notes=("the whitening of activations was put into the weights",)
    )
