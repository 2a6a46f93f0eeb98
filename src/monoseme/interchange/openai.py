"""OpenAI's sparse autoencoders of GPT-2: a `.pt` with tensors, an activation's name and its settings; TopK or ReLU.

    pre_bias [D]    latent_bias [F]    encoder.weight [F, D]    decoder.weight [D, F]    activation, activation_state_dict

    TopK   x~ = (x - mean) / (std + 1e-5), std unbiased;  f = relu(topk((x~ - pre_bias) encoder.weight^T + latent_bias))
           x_hat = (f decoder.weight^T + pre_bias) (std + 1e-5) + mean
    ReLU   f = relu((x - pre_bias) encoder.weight^T + latent_bias),  x_hat = f decoder.weight^T + pre_bias

Vectors are standardised where the activation is TopK, and only there. A tied SAE has `decoder.linear.weight` [F, D], its encoder,
in place of decoder.weight. What `FastAutoencoder` of the training script saves has no `activation`: it must be given. The place
is in the path (`gpt2-small/resid_post_mlp_v5_32k/autoencoders/6.pt`), not in the file.

Source: github.com/openai/sparse_autoencoder, `model.py`, `paths.py`, `train.py`.
Letters: D model width, F latents.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange._assembled import assembled, matrix, one_tensor, taken
from monoseme.interchange._base import ForeignSae, SaeFormat
from monoseme.interchange._places import only_file, require_file, with_site
from monoseme.interchange._plain_encoders import NO_SCALE
from monoseme.interchange._table_keys import keys_of
from monoseme.saes import SAE, NormaliseConfig
from monoseme.saes.relu import ReLU
from monoseme.saes.topk import TopK
from monoseme.tensors.foreign_file import load_plain
from monoseme.tensors.shapes import Tensor

_SUFFIXES = (".pt", ".pth")
_NAMES = frozenset({"pre_bias", "latent_bias", "encoder.weight"})
_TIED = "decoder.linear.weight"
_EPS = 1e-5
_PLACES = {"resid_delta_attn": "attn_out", "resid_delta_mlp": "mlp_out", "resid_post_mlp": "resid_post"}
_PATH = re.compile(rf"([a-z0-9-]+)/({'|'.join(_PLACES)})[^/]*/autoencoders/(\d{{1,3}})\.pt")


class _Architecture(NamedTuple):
    """What the SAE becomes."""

    config: SAE.Config
    notes: list[str]


class OpenAI(SaeFormat):
    """See the module's docstring."""

    looks_for = "a .pt with pre_bias, latent_bias, encoder.weight and decoder.weight"
    writes = False

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What files of the training script do not hold."""

        activation: Literal["topk", "relu"] | None = None
        """Of the latents. None: as the file says."""
        k: int | None = None
        """Latents kept per token (count), with topk. None: as the file says."""
        standardise: bool | None = None
        """Whether each vector is standardised. None: with topk, as published, not with relu."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By the names in the file."""
        names = keys_of(only_file(path, _SUFFIXES))
        return names >= _NAMES and not names.isdisjoint({"decoder.weight", _TIED})

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE."""
        path = require_file(path, _SUFFIXES)
        table, where = load_plain(path), str(path)
        n_latents, d_in = matrix(table, "encoder.weight", n_axes=2, where=where).shape
        shapes: dict[str, tuple[int, ...]] = {
            "pre_bias": (d_in,),
            "latent_bias": (n_latents,),
            "encoder.weight": (n_latents, d_in),
        }
        found = taken(table, shapes, where=where)
        state = {
            "W_enc": found["encoder.weight"].t(),
            "b_enc": found["latent_bias"],
            "W_dec": _decoder(table, found["encoder.weight"], where=where).contiguous(),
            "b_dec": found["pre_bias"],
        }
        config, notes = self._architecture(table, where=where, d_in=d_in, n_latents=n_latents)
        named = _PATH.search(path.absolute().as_posix())
        known = f"{_PLACES[named[2]]}.{named[3]}" if named else None
        if named:
            notes.append(f"the path says {named[2]} of block {named[3]}: read as {known}")
        sae = assembled(with_site(config, self.config.site, known), state, where=where)
        model = "gpt2" if named and named[1] == "gpt2-small" else None
        return [ForeignSae(name=path.stem, sae=sae, model=model, notes=tuple(notes))]

    def _architecture(self, table: dict[str, Any], *, where: str, d_in: int, n_latents: int) -> _Architecture:
        """Raises ConfigError for what must be given, ForeignError for what no architecture here does."""
        said = table.get("activation")
        activation = self.config.activation or {"TopK": "topk", "ReLU": "relu"}.get(str(said))
        if activation is None and said is None:
            raise ConfigError(f"{where} does not say its activation. Give it:  --activation topk --k 32   or  --activation relu")
        if activation is None:
            raise ForeignError(f"{where}: activation is {str(said)[:60]!r}; TopK and ReLU are read")
        standardise = activation == "topk" if self.config.standardise is None else self.config.standardise
        notes = [f"vectors are {'' if standardise else 'not '}standardised, as published with {activation}"]
        if self.config.standardise is not None:
            notes = []
        normalise = NormaliseConfig(kind="standardise", eps=_EPS) if standardise else NO_SCALE
        if activation == "relu":
            return _Architecture(ReLU.Config(d_in=d_in, n_latents=n_latents, normalise=normalise), notes)
        k = self._k(table, where=where, n_latents=n_latents)
        return _Architecture(TopK.Config(d_in=d_in, n_latents=n_latents, k=k, normalise=normalise), notes)

    def _k(self, table: dict[str, Any], *, where: str, n_latents: int) -> int:
        settings = table.get("activation_state_dict")
        settings = settings if isinstance(settings, dict) else {}
        post = settings.get("postact_fn", "ReLU")
        if post != "ReLU":
            raise ForeignError(f"{where}: what comes after its topk is {str(post)[:60]!r}; only ReLU is read")
        k = settings.get("k") if self.config.k is None else self.config.k
        if k is None:
            raise ConfigError(f"{where} does not say how many latents are kept per token. Give it:  --k 32")
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= n_latents:
            raise ForeignError(f"{where}: k is {str(k)[:60]}; it must be from 1 to the number of latents, {n_latents}")
        return k


def _decoder(table: dict[str, Any], encoder: Tensor, *, where: str) -> Tensor:
    """[F, D]. Raises ForeignError for a tied one that is not the encoder."""
    n_latents, d_in = encoder.shape
    if _TIED not in table:
        return one_tensor(table, "decoder.weight", (d_in, n_latents), where=where).t()
    tied = one_tensor(table, _TIED, (n_latents, d_in), where=where)
    if not bool((tied == encoder).all()):
        raise ForeignError(f"{where}: {_TIED} should be its encoder.weight, as the SAE is tied, but differs from it")
    return tied
