"""`HookedTransformer` of TransformerLens, in the wrapping of `models._hooked`: sites are its own hook points."""

from typing import Any

from torch import nn

from monoseme.models._family import Anatomy, Family
from monoseme.models._hooked import HookedNorm
from monoseme.models._taps import Tap
from monoseme.models.families._prenorm import residual_taps

_MISSING = {
    "attn_in": "TransformerLens norms once each for queries, keys and values",
    "head_mix": "TransformerLens adds the heads up in one product",
}
_FOLDED = "the weights of the norm before it are folded into the MLP"


class TransformerLens(Family):
    """`HookedTransformer`."""

    plugin_name = "transformer_lens"

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:  # noqa: ARG002
        """See `Family.anatomy`."""
        hooked: Any = model.hooked
        cfg = hooked.cfg
        is_folded = str(cfg.normalization_type).endswith("Pre")
        taps = tuple(_taps(block, attn_only=cfg.attn_only, is_folded=is_folded) for block in hooked.blocks)
        missing = {**_MISSING, **({"mlp_in": _FOLDED} if is_folded else {})}
        why = None if cfg.normalization_type is not None else "it has no final norm"
        return Anatomy(
            blocks=hooked.blocks,
            final_norm=None if why else HookedNorm(hooked.ln_final),
            taps=taps,
            missing={kind: reason for kind, reason in missing.items() if kind not in taps[0]},
            norm_kind="rms" if str(cfg.normalization_type).startswith("RMS") else "layer",
            norm_offset=0.0,
            logit_softcap=cfg.output_logits_soft_cap if cfg.output_logits_soft_cap > 0 else None,
            parallel=cfg.parallel_attn_mlp,
            clone=False,
            found=f"{len(hooked.blocks)} blocks of TransformerLens",
            why_no_unembed=why,
        )


def _taps(block: Any, *, attn_only: bool, is_folded: bool) -> dict[str, Tap]:
    taps = {
        # Around the block, not at its hook points: a block that is left out comes by none of these.
        **residual_taps(block),
        "head_out": Tap(block.attn.hook_z, "flat"),
        "attn_out": Tap(block.hook_attn_out, "output"),
    }
    if not attn_only:
        taps |= {"mlp_out": Tap(block.hook_mlp_out, "output")}
        if not is_folded:
            taps |= {"mlp_in": Tap(block.mlp, "input")}
    return taps
