"""SAEs of ours in the hands of other tools, and their models in ours. Importing this imports no other tool."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.adapters.nnsight import from_nnsight
    from monoseme.adapters.saebench import SaeBenchConfig, SaeBenchSAE, as_saebench
    from monoseme.adapters.saelens import as_saelens
    from monoseme.adapters.transformer_lens import Hook, from_transformer_lens, fwd_hooks

__all__ = [
    "Hook",
    "SaeBenchConfig",
    "SaeBenchSAE",
    "as_saebench",
    "as_saelens",
    "from_nnsight",
    "from_transformer_lens",
    "fwd_hooks",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "nnsight": ["from_nnsight"],
        "saebench": ["SaeBenchConfig", "SaeBenchSAE", "as_saebench"],
        "saelens": ["as_saelens"],
        "transformer_lens": ["Hook", "from_transformer_lens", "fwd_hooks"],
    },
)
