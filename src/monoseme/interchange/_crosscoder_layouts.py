"""The two layouts in which crosscoders are kept: how they are known, what their tensors are, which sites they name.

The replication of Kissane et al. ("kissane" here), two models:

    0_cfg.json + 0.pt, or cfg.json + cc_weights.pt     d_in, dict_size, model_name, hook_point, ...
    W_enc [2, D, F]    b_enc [F]    W_dec [F, 2, D]    b_dec [2, D]

crosscoder_learning ("learning"), any number of layers or models:

    config.json + model.safetensors                    activation_dim, dict_size, num_layers, code_normalization, k, ...
    encoder.weight [L, D, F]    encoder.bias [F]    decoder.weight [L, F, D]    decoder.bias [L, D]
    k ()    threshold ()                                BatchTopK alone
    code_normalization_id ()                            1 crosscoder, 2 sae, 3 mixed, 4 none, 5 decoupled
    activation_mean, activation_std [L, D]    activation_global_scale [L]    target_rms ()      NaN where nothing is scaled

Source: github.com/ckkissane/crosscoder-model-diff-replication, `crosscoder.py`; github.com/science-of-finetuning/
crosscoder_learning, `dictionary.py`. Letters: L sites, D model width, F latents.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from monoseme.core.errors import ForeignError
from monoseme.core.foreign import as_text, read_json_object
from monoseme.models.hook_names import hook_site
from monoseme.tensors.foreign_file import load_table

LEARNING_CONFIG, LEARNING_WEIGHTS = "config.json", "model.safetensors"
NORMALIZATIONS = ("CROSSCODER", "SAE", "MIXED", "NONE", "DECOUPLED")
_VERSION = re.compile(r"(\d{1,9})_cfg\.json", re.ASCII)
_PUBLISHED_CONFIG, _PUBLISHED_WEIGHTS = "cfg.json", "cc_weights.pt"
_LEARNING_KEYS = frozenset({"activation_dim", "dict_size", "num_layers"})
_KISSANE_KEYS = frozenset({"d_in", "dict_size", "enc_dtype"})
_PREFIX = "_orig_mod."


class Layout(NamedTuple):
    """One crosscoder on disk."""

    kind: str
    """kissane or learning."""
    config: Path
    weights: Path
    name: str


class Loaded(NamedTuple):
    """What a crosscoder's files hold."""

    config: dict[str, Any]
    tensors: dict[str, Any]


def layouts(path: Path) -> list[Layout]:
    """The crosscoders of a folder, or of a file of weights in it; none where there are none. Never raises.

    Of several versions of one run, each is one.
    """
    folder = path.parent if path.is_file() else path
    found: list[Layout] = []
    try:
        named = folder.resolve().name
        versions = sorted((int(match[1]), p) for p in folder.iterdir() if (match := _VERSION.fullmatch(p.name)))
        found += [Layout("kissane", config, folder / f"{number}.pt", f"version_{number}") for number, config in versions]
        found.append(Layout("kissane", folder / _PUBLISHED_CONFIG, folder / _PUBLISHED_WEIGHTS, named))
        found.append(Layout("learning", folder / LEARNING_CONFIG, folder / LEARNING_WEIGHTS, named))
        found = [one for one in found if one.config.is_file() and (path in (folder, one.weights)) and _is_one(one)]
    except OSError:
        return []
    return [one._replace(name=re.sub(r"[^\w.-]+", "_", one.name, flags=re.ASCII) or "crosscoder") for one in found]


def load(layout: Layout) -> Loaded:
    """Its settings and its tensors. Raises ForeignError."""
    config = read_json_object(layout.config)
    missing = sorted((_KISSANE_KEYS if layout.kind == "kissane" else _LEARNING_KEYS) - config.keys())
    if missing:
        raise ForeignError(f"{layout.config} does not describe a crosscoder: it has no {', '.join(missing)}")
    return Loaded(config, {name.removeprefix(_PREFIX): value for name, value in load_table(layout.weights).items()})


def kissane_sites(config: Mapping[str, Any], *, where: str) -> str | None:
    """The site of both models, `base` and `chat`; None where the hook point is none of ours."""
    site = hook_site(as_text(config.get("hook_point", ""), where=f"{where}: hook_point"))
    return None if site is None else f"{site}@base,{site}@chat"


def _is_one(layout: Layout) -> bool:
    """By the keys of its config, where it can be read; by the names of its files where it cannot."""
    if not layout.weights.is_file():
        return False
    try:
        config = read_json_object(layout.config)
    except ForeignError:
        return layout.kind == "kissane"  # config.json and model.safetensors are what others call theirs too
    return (_KISSANE_KEYS if layout.kind == "kissane" else _LEARNING_KEYS) <= config.keys()
