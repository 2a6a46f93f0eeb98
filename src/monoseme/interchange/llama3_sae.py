"""llama3_interpretability_sae: a state dict in one `.pth`, TopK on standardised vectors.

    b_pre [D]    encoder.weight [F, D]    encoder.bias [F]    decoder.weight [D, F]    float32

    x~ = (x - mean) / (std + eps)
    f = relu(topk((x~ - b_pre) encoder.weight^T + encoder.bias)),  x~_hat = f decoder.weight^T + b_pre

k, eps and the site are not in the file: the published SAE has k 64, eps 1e-6 and reads what attention of block 22 reads. They
are assumed, and said, for files of its shape (F = 65,536, D = 3,072); for any other, k must be given. Columns of decoder.weight
do not have unit norm in files of that project, whose normalisation runs over the other axis; nothing is normalised here.

Source: github.com/PaulPauls/llama3_interpretability_sae, `sae.py`. Its parameters carry no prefix; a file saved from a model
under `DistributedDataParallel` has one (`module.`), which is taken off.
Letters: D model width, F latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from monoseme.core.errors import ConfigError
from monoseme.interchange._assembled import assembled, matrix, taken
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._places import only_file, require_file, with_site
from monoseme.interchange._table_keys import keys_of
from monoseme.saes import NormaliseConfig
from monoseme.saes.normalized_topk import NormalizedTopK
from monoseme.tensors.foreign_file import load_plain
from monoseme.tensors.shapes import Tensor

_PREFIX = "module."
_SUFFIXES = (".pth",)
_PUBLISHED_SHAPE = (65_536, 3_072)
_PUBLISHED_K, _PUBLISHED_EPS = 64, 1e-6
_PUBLISHED_SITE, _PUBLISHED_MODEL = "attn_in.22", "meta-llama/Llama-3.2-3B-Instruct"


class _Settings(NamedTuple):
    """What the file does not hold."""

    k: int
    eps: float
    notes: list[str]
    """What was assumed."""


class Llama3Sae(SaeFormat):
    """See the module's docstring."""

    looks_for = "a .pth with b_pre, encoder.weight, encoder.bias and decoder.weight"

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What the file does not hold."""

        k: int | None = None
        """Latents kept per token (count). None: 64, for an SAE of the published shape."""
        eps: float | None = None
        """Added to each vector's standard deviation. None: 1e-6."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By the names in the file."""
        names = {name.removeprefix(_PREFIX) for name in keys_of(only_file(path, _SUFFIXES))}
        return names >= {"b_pre", "encoder.weight", "encoder.bias", "decoder.weight"}

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE."""
        path = require_file(path, _SUFFIXES)
        tensors = {name.removeprefix(_PREFIX): value for name, value in load_plain(path).items()}
        n_latents, d_in = matrix(tensors, "encoder.weight", n_axes=2, where=str(path)).shape
        shapes = {
            "b_pre": (d_in,),
            "encoder.weight": (n_latents, d_in),
            "encoder.bias": (n_latents,),
            "decoder.weight": (d_in, n_latents),
        }
        found = taken(tensors, shapes, where=str(path))
        k, eps, notes = self._settings(path, (n_latents, d_in))
        config = NormalizedTopK.Config(
            d_in=d_in, n_latents=n_latents, k=k, normalise=NormaliseConfig(kind="standardise", eps=eps)
        )
        is_published = (n_latents, d_in) == _PUBLISHED_SHAPE
        if is_published and self.config.site is None:
            notes.append(f"the site is not in the file: {_PUBLISHED_SITE}, that of the published SAE, is assumed")
        config = with_site(config, self.config.site, _PUBLISHED_SITE if is_published else None)
        state = {
            "W_enc": found["encoder.weight"].t(),
            "b_enc": found["encoder.bias"],
            "W_dec": found["decoder.weight"].t().contiguous(),
            "b_dec": found["b_pre"],
        }
        sae = assembled(config, state, where=str(path))
        return [ForeignSae(name=path.stem, sae=sae, model=_PUBLISHED_MODEL if is_published else None, notes=tuple(notes))]

    def reading(self, whole: WholeSae) -> Config:
        """With k and eps, which the file does not hold."""
        config = whole.sae.config
        return self.Config(site=",".join(map(str, whole.sites)), k=config.k, eps=config.normalise.eps)

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`sae.pth`."""
        sae = whole.sae
        if sae.config.plugin_name != "normalized_topk":
            raise ConfigError(
                f"llama3_sae holds TopK on standardised vectors (normalized_topk), not {sae.config.plugin_name}.\n"
                "  Formats that hold it: saelens, plain"
            )
        dtype = getattr(torch, config.dtype)
        tensors: dict[str, Tensor] = {
            "b_pre": sae.b_dec,
            "encoder.weight": sae.W_enc.t(),
            "encoder.bias": sae.b_enc,
            "decoder.weight": sae.W_dec.t(),
        }
        torch.save({name: value.detach().to(dtype).contiguous() for name, value in tensors.items()}, folder / "sae.pth")
        eps = sae.config.normalise.eps
        lost = [f"the format holds neither k ({sae.config.k}), eps ({eps:g}) nor the site: give them to whoever reads it"]
        return (*lost, *([f"numbers are rounded to {config.dtype}"] if config.dtype != "float32" else []))

    def _settings(self, path: Path, shape: tuple[int, int]) -> _Settings:
        """As told or as published."""
        notes: list[str] = []
        k, eps = self.config.k, self.config.eps
        if k is None:
            if shape != _PUBLISHED_SHAPE:
                raise ConfigError(f"{path} does not say how many latents are kept per token. Give it:  --k 64")
            k = _PUBLISHED_K
            notes.append(f"k is not in the file: {k}, that of the published SAE, is assumed")
        if eps is None:
            eps = _PUBLISHED_EPS
            notes.append(f"eps is not in the file: {eps:g}, that of the published SAE, is assumed")
        return _Settings(k, eps, notes)
