"""What weights of half the bits do to the activations that SAEs learn from: measured on a run's first block, and told."""

from collections.abc import Mapping
from typing import Any

import torch

from monoseme.activations import LiveSource
from monoseme.core.display import get_display
from monoseme.core.errors import ModelError
from monoseme.kernels import fastest
from monoseme.models import LanguageModel
from monoseme.pipeline._materials import Materials


def tell_precision(materials: Materials) -> dict[str, Any]:
    """By model that is not in float32: its type, and by site the relative norm of the difference from float32; said, too.

    JSON-able; a difference that could not be measured is None, with `why_missing`. Empty where all is float32.
    """
    told: dict[str, Any] = {}
    for name, source in materials.live_sources.items():
        model = materials.models[name]
        if model.dtype is torch.float32:
            continue
        dtype = str(model.dtype).removeprefix("torch.")
        try:
            told[name] = {"dtype": dtype, "relative_error": rounding_errors(model, source)}
        except torch.OutOfMemoryError:
            told[name] = {"dtype": dtype, "relative_error": None, "why_missing": "no memory for the model in float32 beside it"}
        except ModelError as error:
            told[name] = {"dtype": dtype, "relative_error": None, "why_missing": str(error)}
        get_display().say(precision_line(told[name]))
        if model.device.type == "cpu" and model.dtype is torch.bfloat16 and fastest().screen != "bf16":
            get_display().warn("this machine multiplies bfloat16 no faster than float32: --model.dtype float32 costs no time")
    return told


def rounding_errors(model: LanguageModel, source: LiveSource) -> dict[str, float]:
    """|x - x32| / |x32| at each site over the tokens of block 0 that an SAE may see; norms in float64 (float32 on MPS).

    x32 is what the model gives in float32, so that the rounding of weights counts wherever the files hold more bits. It is
    loaded for this, beside the other one, and let go. Raises torch.OutOfMemoryError, ModelError.
    """
    block = source.block(0)
    real = None if bool(block.real.all()) else block.real.to(model.device)
    exact = model.in_float32().capture(block.tokens.to(model.device), source.sites, real=real)
    wide = torch.float32 if model.device.type == "mps" else torch.float64
    errors: dict[str, float] = {}
    for site, x32 in exact.items():
        seen = block.mask.to(x32.device)
        wanted, given = x32[seen].to(wide), block.activations[site].to(x32.device)[seen].to(wide)
        errors[str(site)] = float((given - wanted).norm() / wanted.norm())
    return errors


def precision_line(facts: Mapping[str, Any]) -> str:
    """`bfloat16 weights: activations differ by 0.8 % from float32 (relative norm)`, of what `tell_precision` gave for a model."""
    if facts["relative_error"] is None:
        return f"{facts['dtype']} weights: how far activations are from float32 is not known ({facts['why_missing']})"
    worst = max(facts["relative_error"].values())
    at = f", at most over {len(facts['relative_error'])} sites" if len(facts["relative_error"]) > 1 else ""
    return f"{facts['dtype']} weights: activations differ by {100 * worst:.2g} % from float32 (relative norm{at})"
