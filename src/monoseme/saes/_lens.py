"""Tuned lenses: an affine map per site, y = x + x W^T + b, that brings the residual stream of each layer to the last one's basis.

Read from what the package tuned-lens writes: a folder with `config.json` (`d_model`, `num_hidden_layers`) and `params.pt`
(tensors `{i}.weight` [D, D] and `{i}.bias` [D]), or the same files under `lens/NAME/` of the hub space
AlignmentResearch/tuned-lens.
Translator i was trained on the residual stream that enters block i.

Source: Belrose et al. 2023 (arXiv:2303.08112), section 3; layout of github.com/AlignmentResearch/tuned-lens.
Letters: L sites, D model width, n translators.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError  # what torch.load raises; nothing is unpickled here
from typing import Any, NamedTuple

import torch
from torch import nn

from monoseme.core.errors import ConfigError
from monoseme.tensors.shapes import Float, Tensor

_SPACE = "AlignmentResearch/tuned-lens"
_CONFIG, _PARAMS = "config.json", "params.pt"
_WORST_CONDITION = 1 / torch.finfo(torch.float32).eps
"""Beyond this the inverse of a float32 map has no digit left."""


class Translators(NamedTuple):
    """The maps of a tuned lens, in the order of the model's blocks, float32."""

    weight: Float[Tensor, "n D D"]
    bias: Float[Tensor, "n D"]


class SiteLens(nn.Module):
    """The lens of an SAE's sites, and its inverse; saved with the SAE. Starts as the identity."""

    weight: Tensor
    bias: Tensor

    def __init__(self, n_sites: int, d_in: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(n_sites, d_in, d_in))
        self.register_buffer("bias", torch.zeros(n_sites, d_in))
        self._inverse: tuple[tuple[Any, ...], Tensor] | None = None

    def forward(self, x: Float[Tensor, "*lead L D"]) -> Float[Tensor, "*lead L D"]:
        """x + x W^T + b of each site, in the dtype of the lens."""
        x = x.to(self.weight.dtype)
        return x + torch.einsum("...ld,led->...le", x, self.weight) + self.bias

    def inverse(self, y: Float[Tensor, "*lead L D"]) -> Float[Tensor, "*lead L D"]:
        """The x with forward(x) = y: (y - b) (W + I)^-T."""
        return torch.einsum("...ld,led->...le", y - self.bias, self._inverted())

    @torch.no_grad()
    def set_maps(self, maps: Translators) -> None:
        """Takes up maps [L, D, D]. Raises ConfigError when one of them cannot be inverted in float32."""
        if maps.weight.shape != self.weight.shape:
            raise ConfigError(f"the lens maps {tuple(maps.weight.shape)}, the SAE needs {tuple(self.weight.shape)} (L, D, D)")
        _check_invertible(maps.weight)
        self.weight.copy_(maps.weight)
        self.bias.copy_(maps.bias)

    @torch.no_grad()
    def _inverted(self) -> Float[Tensor, "L D D"]:
        """(W + I)^-1, computed in float64 once and again when the weights have changed, moved or been cast."""
        key = (self.weight.data_ptr(), self.weight._version, self.weight.dtype, self.weight.device)
        if self._inverse is None or self._inverse[0] != key:
            # MPS has no float64; the inverse is small work, so it is always made on the host
            inverse = torch.linalg.inv(_whole(self.weight.cpu())).to(self.weight)
            self._inverse = (key, inverse)
        return self._inverse[1]


def read_lens(where: str, *, d_in: int) -> Translators:
    """The translators of a local folder or of a hub name (`EleutherAI/pythia-70m-deduped`).

    Nothing of the files is executed. Raises ConfigError when there is no such lens, or it is not one of width `d_in`.
    """
    config_file, params_file = _lens_files(where)
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        tensors = torch.load(params_file, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, UnpicklingError) as error:
        raise ConfigError(f"the tuned lens {where} cannot be read: {error}") from error
    n, width = (config.get(name) if isinstance(config, dict) else None for name in ("num_hidden_layers", "d_model"))
    if width != d_in:
        raise ConfigError(f"the tuned lens {where} is for activations of width {width}, the SAE's are {d_in} wide")
    if not isinstance(n, int):
        raise ConfigError(f"the tuned lens {where} does not say how many maps it has: num_hidden_layers is {n!r}")
    weights, biases = ([_tensor(tensors, f"{i}.{kind}", where) for i in range(n)] for kind in ("weight", "bias"))
    if not weights or any(w.shape != (d_in, d_in) for w in weights) or any(b.shape != (d_in,) for b in biases):
        raise ConfigError(f"the tuned lens {where} does not hold {n} maps from width {d_in} to itself")
    return Translators(torch.stack(weights).float(), torch.stack(biases).float())


def translators_of(sites: Sequence[str]) -> tuple[int | None, ...]:
    """The translator trained on each site: i for resid_pre.i, i + 1 for resid_post.i, whose stream enters the next block.

    The last block's output has none (None, the identity) where the lens ends: `select_maps` sees to it. Raises ConfigError for
    a site that is not the residual stream.
    """
    return tuple(_translator_of(site) for site in sites)


def select_maps(maps: Translators, numbers: Sequence[int | None]) -> Translators:
    """The maps of those numbers; None, and the number after the last, is the identity: what leaves the last block needs no map.

    Raises ConfigError for other numbers that the lens does not have.
    """
    n = maps.weight.shape[0]
    if wrong := [i for i in numbers if i is not None and not 0 <= i <= n]:
        raise ConfigError(f"the tuned lens has {n} translators, 0 to {n - 1}; it has none for {', '.join(map(str, wrong))}")
    weight, bias = torch.cat([maps.weight, torch.zeros_like(maps.weight[:1])]), torch.cat([maps.bias, maps.bias[:1] * 0])
    chosen = [n if i is None else i for i in numbers]
    return Translators(weight[chosen], bias[chosen])


def _translator_of(site: str) -> int | None:
    place, _, layer = site.partition(".")
    if place not in ("resid_pre", "resid_post") or not layer.isdecimal():
        raise ConfigError(
            f"a tuned lens maps the residual stream; it has no translator for {site}.\n"
            "  Learn from resid_pre or resid_post, or say which translator each site takes with lens_layers."
        )
    return int(layer) + (place == "resid_post")


def _lens_files(where: str) -> tuple[Path, Path]:
    folder = Path(where).expanduser()
    if folder.is_dir():
        return folder / _CONFIG, folder / _PARAMS
    if folder.is_absolute() or where.startswith((".", "~")):
        raise ConfigError(f"there is no folder {where}: give the folder that tuned-lens wrote, or the name of a lens on the hub")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        names = (f"lens/{where}/{name}" for name in (_CONFIG, _PARAMS))
        config_file, params_file = (hf_hub_download(_SPACE, name, repo_type="space") for name in names)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ConfigError(
            f"the tuned lens {where} is neither a folder here nor to be had from the hub space {_SPACE}: {error}"
        ) from error
    return Path(config_file), Path(params_file)


def _tensor(tensors: Any, name: str, where: str) -> Tensor:
    tensor = tensors.get(name) if isinstance(tensors, dict) else None
    if not isinstance(tensor, Tensor):
        raise ConfigError(f'the tuned lens {where} has no tensor "{name}" in {_PARAMS}')
    return tensor


def _whole(weight: Float[Tensor, "L D D"]) -> Float[Tensor, "L D D"]:
    """W + I in float64."""
    return weight.double() + torch.eye(weight.shape[-1], dtype=torch.float64, device=weight.device)


def _check_invertible(weight: Float[Tensor, "L D D"]) -> None:
    """Raises ConfigError for a map whose condition number (1-norm) leaves float32 no digit."""
    whole = _whole(weight)
    inverse, info = torch.linalg.inv_ex(whole)
    condition = torch.linalg.matrix_norm(whole, ord=1) * torch.linalg.matrix_norm(inverse, ord=1)
    bad = (info != 0) | ~(condition < _WORST_CONDITION)
    if bool(bad.any()):
        i = int(bad.nonzero()[0])
        raise ConfigError(f"the lens of site {i} cannot be inverted: its condition number is {float(condition[i]):.1e}")
