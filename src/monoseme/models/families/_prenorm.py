"""What the families have in common: blocks of a norm, attention, a norm and an MLP around a residual stream."""

from typing import Any, NamedTuple

from torch import nn

from monoseme.core.errors import SiteError
from monoseme.models._family import Anatomy
from monoseme.models._taps import Tap


class Names(NamedTuple):
    """Where a family keeps its parts. The defaults are Llama's."""

    decoders: tuple[str, ...] = ("model",)
    """Paths from the model to the stack, the first that exists counts."""
    blocks: str = "layers"
    final_norm: str = "norm"
    attention: str = "self_attn"
    w_o: str = "o_proj"
    """Inside attention: the projection that mixes the heads."""
    mlp: str = "mlp"
    attn_added: str | None = None
    """Module whose output is added to the residual after attention; None for attention itself."""
    mlp_added: str | None = None
    """The same for the MLP."""


def anatomy_by_names(
    model: nn.Module,
    config: Any,
    names: Names,
    *,
    layer_norm: bool = False,
    norm_offset: float = 0.0,
    parallel: bool = False,
) -> Anatomy:
    """The anatomy of a model whose parts have these names. Raises SiteError when one is not there."""
    decoder, path = _decoder(model, names)
    blocks = part(decoder, names.blocks)
    if not isinstance(blocks, nn.ModuleList):
        raise SiteError(f"{type(model).__name__}.{path}.{names.blocks} is no list of blocks")
    return Anatomy(
        blocks=blocks,
        final_norm=part(decoder, names.final_norm),
        taps=tuple(_block_taps(block, names, config.num_attention_heads) for block in blocks),
        missing={},
        norm_kind="layer" if layer_norm else "rms",
        norm_offset=norm_offset,
        logit_softcap=getattr(config, "final_logit_softcapping", None),
        parallel=parallel,
        clone=False,
        found=f"{len(blocks)} blocks at {path}.{names.blocks}",
    )


def residual_taps(block: nn.Module) -> dict[str, Tap]:
    """The residual stream around a block."""
    return {"resid_pre": Tap(block, "input"), "resid_post": Tap(block, "output")}


def head_taps(w_o: nn.Module, n_heads: int) -> dict[str, Tap]:
    """The heads' outputs on both sides of W_O."""
    return {"head_out": Tap(w_o, "input"), "head_mix": Tap(w_o, "heads", n_heads)}


def part(module: nn.Module, path: str) -> nn.Module:
    """The submodule at a dotted path; raises SiteError when it is not there."""
    try:
        return module.get_submodule(path)
    except AttributeError as error:
        raise SiteError(
            f"{type(module).__name__} has no part {path}, which its model_type promises: {error}.\n"
            "  If this is a new version of transformers, please report it."
        ) from error


def _decoder(model: nn.Module, names: Names) -> tuple[nn.Module, str]:
    modules = dict(model.named_modules())
    for path in names.decoders:
        if f"{path}.{names.blocks}" in modules:
            return modules[path], path
    return part(model, names.decoders[0]), names.decoders[0]


def _block_taps(block: nn.Module, names: Names, n_heads: int) -> dict[str, Tap]:
    attention, mlp = part(block, names.attention), part(block, names.mlp)
    return {
        **residual_taps(block),
        # What a module reads is what its norm gave, and all families call attention and MLP with just that first.
        "attn_in": Tap(attention, "input"),
        **head_taps(part(attention, names.w_o), n_heads),
        "attn_out": Tap(part(block, names.attn_added) if names.attn_added else attention, "output"),
        "mlp_in": Tap(mlp, "input"),
        "mlp_out": Tap(part(block, names.mlp_added) if names.mlp_added else mlp, "output"),
    }
