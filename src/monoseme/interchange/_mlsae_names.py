"""Names of MLSAE's files, and of repositories: `mlsae-{model}-x{R}-k{k}[-lens][-tfm]`, `sae-{model}-x64-k32-tfm-layers-{i}`."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

CONFIG, TENSORS = "config.json", "model.safetensors"
PREFIX = "autoencoder."
"""Of the SAE's tensors in a file that holds its language model too."""
EPS = 1e-5
"""What the original adds to a deviation before it divides by it."""
_NAME = re.compile(
    r"(?:models--[\w.-]+--)?(?:mlsae|sae)-(?P<model>[\w.-]+?)-x(?P<factor>\d{1,4})-k(?P<k>\d{1,5})"
    r"(?P<lens>-lens)?(?:-tfm)?(?:-layers-(?P<layer>\d{1,3}))?",
    re.ASCII,
)


class _Model(NamedTuple):
    full: str
    n_layers: int


_MODELS: Mapping[str, _Model] = MappingProxyType(
    {
        **{f"pythia-{size}-deduped": _Model(f"EleutherAI/pythia-{size}-deduped", n)
           for size, n in {"70m": 6, "160m": 12, "410m": 24, "1b": 16, "1.4b": 24, "2.8b": 32}.items()},
        "gpt2": _Model("openai-community/gpt2", 12),
        "gemma-2-2b": _Model("google/gemma-2-2b", 26),
        "llama-3.2-3b": _Model("meta-llama/Llama-3.2-3B", 28),
    }
)  # fmt: skip
"""The models of published repositories, with their blocks (count)."""


class Named(NamedTuple):
    """What a name says."""

    model: str
    """As it is written there: pythia-70m-deduped."""
    layer: int | None
    """The only layer; None: all."""


def named_by(name: str) -> Named | None:
    """What the name of a repository or folder says; None where it is no such name."""
    match = _NAME.fullmatch(name)
    return None if match is None else Named(match["model"], None if match["layer"] is None else int(match["layer"]))


def full_model_name(named: Named) -> str | None:
    """The model as the hub names it; None for one that is not known."""
    known = _MODELS.get(named.model.lower())
    return None if known is None else known.full


def layers_told(named: Named) -> tuple[int, ...] | None:
    """The blocks whose outputs are read; None where the name does not tell."""
    if named.layer is not None:
        return (named.layer,)
    known = _MODELS.get(named.model.lower())
    return None if known is None else tuple(range(known.n_layers))
