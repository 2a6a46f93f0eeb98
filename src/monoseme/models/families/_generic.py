"""Any other causal language model: finds the blocks, proves by a probe what the parts add to the residual, says what it found.

The residual stream around the blocks can always be placed. `attn_out` and `mlp_out` are placed only where
`resid_post = resid_pre + attn_out + mlp_out` holds on a probe of two tokens; otherwise they are missing, with the reason.
"""

import re
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from monoseme.core.errors import SiteError
from monoseme.models._family import Anatomy, Family
from monoseme.models._taps import Tap, first_tensor
from monoseme.models.families._prenorm import head_taps, residual_taps

_ATTENTION = re.compile(r"attn|attention|mixer", re.IGNORECASE)
_MLP = re.compile(r"mlp|ffn|feed_?forward|moe|^fc1$", re.IGNORECASE)
_NORM = re.compile(r"norm|^ln|_ln", re.IGNORECASE)
_W_O = ("o_proj", "out_proj", "dense", "c_proj", "wo")
_TOLERANCE = 1e-3
"""Of the largest entry; far below what a wrong pair of parts gives, far above float32 rounding."""


class Generic(Family):
    """A model whose `model_type` has no file of its own."""

    plugin_name = "generic"

    def anatomy(self, model: nn.Module, config: Any) -> Anatomy:
        """See `Family.anatomy`; runs the model once on two tokens."""
        path, blocks = _find_blocks(model, getattr(config, "num_hidden_layers", None))
        norm_path, final_norm = _find_final_norm(model, path)
        seen = _probe(model, blocks[0], final_norm)
        names, missing = _place(seen, blocks[0], getattr(config, "num_attention_heads", None))
        return Anatomy(
            blocks=blocks,
            final_norm=final_norm,
            taps=tuple(_taps(block, names, getattr(config, "num_attention_heads", 1)) for block in blocks),
            missing=missing,
            norm_kind="layer" if isinstance(final_norm, nn.LayerNorm) else "rms",
            norm_offset=_offset(final_norm),
            logit_softcap=getattr(config, "final_logit_softcapping", None),
            parallel=None,
            clone=True,
            found=_words(path, blocks, norm_path, names, missing),
            why_no_unembed=_why_no_unembed(model, seen, final_norm, config),
        )


class _Seen(NamedTuple):
    """What a probe saw in the first block and at the end."""

    before: Tensor
    after: Tensor
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    normed: Tensor | None
    logits: Tensor


def _find_blocks(model: nn.Module, n_layers: int | None) -> tuple[str, nn.ModuleList]:
    lists = {name: m for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m)}
    fitting = {name: m for name, m in lists.items() if len(m) == n_layers} or lists
    if not fitting:
        raise SiteError(f"{type(model).__name__} holds no list of blocks (nn.ModuleList), so it has no sites")
    name = max(fitting, key=lambda n: sum(p.numel() for p in fitting[n].parameters()))
    return name, fitting[name]


def _find_final_norm(model: nn.Module, blocks_path: str) -> tuple[str, nn.Module | None]:
    parent_path, _, _ = blocks_path.rpartition(".")
    parent = model.get_submodule(parent_path)
    norms = [(n, m) for n, m in parent.named_children() if _NORM.search(n) and not re.search("emb", n)]
    if not norms:
        return "", None
    return f"{parent_path}.{norms[-1][0]}", norms[-1][1]


def _probe(model: nn.Module, block: nn.Module, final_norm: nn.Module | None) -> _Seen:
    inputs: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}

    def watch(name: str, module: nn.Module) -> list[Any]:
        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            x = args[0] if args else kwargs.get("hidden_states")
            if isinstance(x, Tensor):
                inputs[name] = x.clone()

        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            if isinstance(x := first_tensor(output), Tensor):
                outputs[name] = x.clone()

        return [module.register_forward_pre_hook(before, with_kwargs=True), module.register_forward_hook(after)]

    watched = {"": block, **dict(block.named_children())}
    if final_norm is not None:
        watched["(final norm)"] = final_norm
    handles = [handle for name, module in watched.items() for handle in watch(name, module)]
    try:
        with torch.no_grad():
            tokens = torch.tensor([[0, 1]], device=next(model.parameters()).device)
            logits = model(input_ids=tokens, use_cache=False).logits
    finally:
        for handle in handles:
            handle.remove()
    return _Seen(inputs.pop(""), outputs.pop(""), inputs, outputs, outputs.pop("(final norm)", None), logits)


def _place(seen: _Seen, block: nn.Module, n_heads: int | None) -> tuple[dict[str, str], dict[str, str]]:
    """(kind -> path in the block, kind -> why it is missing)."""
    children = [name for name, _ in block.named_children()]
    attention = next((n for n in children if _ATTENTION.search(n) and not _NORM.search(n)), None)
    mlp = next((n for n in children if _MLP.search(n) and not _NORM.search(n)), None)
    places: dict[str, str | None] = {
        "attn_in": attention if _is_read(seen, attention) else None,
        "mlp_in": mlp if _is_read(seen, mlp) else None,
    }
    places["attn_out"], places["mlp_out"] = _addends(seen)
    w_o = _find_w_o(block.get_submodule(attention), n_heads) if attention else None
    places["head_out"] = places["head_mix"] = f"{attention}.{w_o}" if w_o else None
    here = f"in {type(block).__name__} with the parts {', '.join(children) or 'none'}"
    reasons = {
        "attn_in": f"no attention was found {here}",
        "mlp_in": f"no MLP that is given [n, S, D] was found {here}",
        "attn_out": f"no two parts add up to what the block adds to the residual, {here}",
        "mlp_out": f"no two parts add up to what the block adds to the residual, {here}",
        "head_out": f"no output projection of attention (one of {', '.join(_W_O)}) was found {here}",
        "head_mix": f"no output projection of attention (one of {', '.join(_W_O)}) was found {here}",
    }
    found = {kind: path for kind, path in places.items() if path is not None}
    return found, {kind: reason for kind, reason in reasons.items() if kind not in found}


def _is_read(seen: _Seen, name: str | None) -> bool:
    """Whether that part is given a tensor of the residual's shape; OPT flattens before its MLP."""
    return name in seen.inputs and seen.inputs[name].shape == seen.before.shape


def _addends(seen: _Seen) -> tuple[str | None, str | None]:
    """The two children, attention's first, whose outputs sum to what the block adds."""
    same = [name for name, x in seen.outputs.items() if x.shape == seen.before.shape]
    added = seen.after.double() - seen.before.double()
    for position, first in enumerate(same):
        for second in same[position + 1 :]:
            if _close(seen.outputs[first].double() + seen.outputs[second].double(), added, seen.before.dtype):
                is_swapped = bool(_MLP.search(first)) and bool(_ATTENTION.search(second))
                return (second, first) if is_swapped else (first, second)
    return None, None


def _close(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    """Equal up to a few roundings of `dtype`, relative to the largest entry."""
    tolerance = max(_TOLERANCE, 8 * torch.finfo(dtype).eps)
    return float((a - b).abs().max()) <= tolerance * float(b.abs().max())


def _find_w_o(attention: nn.Module, n_heads: int | None) -> str | None:
    if n_heads is None:
        return None
    return next((name for name, _ in attention.named_modules() if name.rpartition(".")[2] in _W_O), None)


def _taps(block: nn.Module, names: dict[str, str], n_heads: int) -> dict[str, Tap]:
    taps = residual_taps(block)
    for kind in ("attn_in", "mlp_in", "attn_out", "mlp_out"):
        if kind in names:
            taps[kind] = Tap(block.get_submodule(names[kind]), "input" if kind.endswith("_in") else "output")
    if "head_out" in names:
        taps.update(head_taps(block.get_submodule(names["head_out"]), n_heads))
    return taps


def _offset(final_norm: nn.Module | None) -> float:
    """1.0 where the norm multiplies by 1 + weight, found by trying it on ones."""
    weight = getattr(final_norm, "weight", None)
    if final_norm is None or isinstance(final_norm, nn.LayerNorm) or weight is None:
        return 0.0
    with torch.no_grad():
        scale = final_norm(torch.ones_like(weight)[None, None])[0, 0].double()
    plain, shifted = (float((scale - offset - weight.double()).abs().max()) for offset in (0.0, 1.0))
    return 1.0 if shifted < plain else 0.0


def _why_no_unembed(model: nn.Module, seen: _Seen, final_norm: nn.Module | None, config: Any) -> str | None:
    head = model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
    if final_norm is None or seen.normed is None or head is None:
        return "no final norm and unembedding were found"
    with torch.no_grad():
        logits = head(seen.normed)  # pyright: ignore[reportCallIssue]
    cap = getattr(config, "final_logit_softcapping", None)
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    if not _close(logits.double(), seen.logits.double(), seen.before.dtype):
        return "its logits are not unembedding(final norm(residual)); it scales or shifts them"
    return None


def _words(path: str, blocks: nn.ModuleList, norm: str, names: dict[str, str], missing: dict[str, str]) -> str:
    places = ", ".join(f"{kind} at {place}" for kind, place in names.items())
    absent = "; ".join(f"no {kind}: {reason}" for kind, reason in missing.items())
    return (
        f"{len(blocks)} blocks of {type(blocks[0]).__name__} at {path}, final norm at {norm or '(none)'}; in a block: "
        f"{places or 'nothing more'}" + (f"; {absent}" if absent else "")
    )
