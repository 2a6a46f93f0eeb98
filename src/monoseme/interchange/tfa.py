"""TemporalFeatureAnalysis ("Priors in Time"): TFA with attention between codes, and the standard SAEs trained beside it.

    conf.yaml                                 groups data, llm {model_hf_name, dimin}, sae {sae_type, sae_diff_type, kval_topk,
                                              tied_weights, n_heads, n_attn_layers, bottleneck_factor, scaling_factor, ...}
    latest_ckpt.safetensors | latest_ckpt.pt  a state dict, or {sae: state dict, iter, ...}; float32 or bfloat16
        TFA          D [F, d]   b [1, d] or [d]   [E [d, F]]   [expected_min_act]
                     attn_layers.{i}.{k_ctx, q_target, v_ctx, c_proj}.{weight, bias}
        SAEStandard  Ae, be, Ad, bd, lambda_pre (`_tfa_standard`)

    r = s x - b,  z = relu(r E / (4 d)), ...: the formulas of `monoseme.saes.tfa`, s the `scaling_factor`

Both work on activations times s, so that their codes are ours times s (`code_factor`). The bias of keys adds one number to all
scores of a query, which the softmax takes out again: ours has none, and it is left behind. An export writes zeros for it.

Ours may have another factor than 1 / (4 d) before the ReLU. With c = sqrt(4 d s_ours) the same SAE has D = c W_dec, E = c W_enc,
codes 1 / c as large, queries, keys and values c times and c_proj 1 / c times the weights: an export writes that, and
`encoder_scale` takes it back. The place in the model is not in the files: a folder `layer_12` means the output of block 12.

Source: github.com/eslubana/TemporalFeatureAnalysis (`sae/saeTemporal.py`, `sae/saeStandard.py`), arXiv:2511.01836.
Letters: d model width, F latents.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from monoseme.core.errors import ConfigError, ForeignError
from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
from monoseme.interchange._places import with_site
from monoseme.interchange._table_keys import keys_of
from monoseme.interchange._tfa_files import WEIGHTS, Checkpoint, checkpoint_file, is_named_so, layer_named, read_checkpoint
from monoseme.interchange._tfa_reading import Asked, read_tfa, stretch
from monoseme.interchange._tfa_standard import STANDARD_TYPES, is_standard, read_standard
from monoseme.interchange._tfa_writing import write_tfa
from monoseme.saes.tfa import TFA

_PUBLISHED_SCALES = MappingProxyType({"gemma-2-2b": 0.0066666666667, "llama-3.1-8b": 0.085})


class Tfa(SaeFormat):
    """See the module's docstring."""

    looks_for = "conf.yaml with latest_ckpt.pt or latest_ckpt.safetensors"

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeFormat.Config):
        """What conf.yaml says, where it is not there."""

        type: str | None = None
        """How codes are made sparse: relu, topk, batchtopk, nullify of TFA; relu, topk, jumprelu, MP, SpaDE of the others."""
        scaling_factor: float | None = None
        """Factor on activations before the SAE. None: that of conf.yaml, else the published one of the model."""
        k: int | None = None
        """Latents kept per token (count); only for topk, batchtopk, MP."""
        n_heads: int | None = None
        """Heads of attention (count); only for TFA."""
        encoder_scale: float | None = None
        """Factor before the ReLU of TFA; None: theirs, 1 / (4 d). Another gives the same SAE with codes of another size."""

    @dataclass(frozen=True, kw_only=True)
    class WriteConfig(SaeFormat.WriteConfig):
        """In which file."""

        pt: bool = False
        """Write latest_ckpt.pt, which their own loader reads, in place of latest_ckpt.safetensors."""

    config: Config

    def recognises(self, path: Path) -> bool:
        """By the names of its files, or by names of tensors."""
        try:
            file = checkpoint_file(path)
        except OSError:
            return False
        if file is None:
            return False
        keys = keys_of(file)
        return is_named_so(file) or {"D", "b"} <= keys or {"Ae", "Ad", "lambda_pre"} <= keys

    def read(self, path: Path) -> Sequence[ForeignSae]:
        """One SAE."""
        at = read_checkpoint(path)
        notes: list[str] = []
        model = at.text("model_hf_name", "llm")
        if is_standard(at):
            kind = self.config.type or at.text("sae_type", "sae")
            if kind is None:
                raise ConfigError(f"{at.where} does not say of which type it is. Give it:  --type {'|'.join(STANDARD_TYPES)}")
            scale = 1.0 if kind == "SpaDE" else self._scale(at, model, notes)
            sae = read_standard(at, kind=kind, scale=scale, k=self.config.k)
            factor = float(sae.input_factor)
        else:
            scale = self._scale(at, model, notes)
            config = self.config
            asked = Asked(config.type, config.k, config.n_heads, config.encoder_scale)
            sae = read_tfa(at, asked, scale=scale, notes=notes)
            factor = scale / stretch(sae.d_in, sae.config.encoder_scale)
        layer = layer_named(at.file)
        known = None if layer is None else f"resid_post.{layer}"
        if known is not None and self.config.site is None:
            notes.append(f"the site is not in the files: {known}, by the name of the folder layer_{layer}")
        sae.config = with_site(sae.config, self.config.site, known)
        name = at.file.parent.name if at.file.stem == WEIGHTS else at.file.stem
        return [ForeignSae(name=_plain_name(name), sae=sae, model=model, notes=tuple(notes), code_factor=factor)]

    def reading(self, whole: WholeSae) -> Config:
        """With our factor before the ReLU."""
        return self.Config(site=",".join(map(str, whole.sites)), encoder_scale=whole.sae.config.encoder_scale)

    def write(self, whole: WholeSae, folder: Path, config: SaeFormat.WriteConfig) -> tuple[str, ...]:
        """`conf.yaml` and the weights."""
        sae = whole.sae
        if not isinstance(sae, TFA) or not isinstance(config, Tfa.WriteConfig):
            raise ConfigError(f"tfa holds TFA alone, not {sae.config.plugin_name}.\n  Try plain, or saelens")
        return write_tfa(sae, whole, folder, dtype=config.dtype, pt=config.pt)

    def _scale(self, at: Checkpoint, model: str | None, notes: list[str]) -> float:
        """The factor on activations. Raises ConfigError where nothing says it, ForeignError for one that is not positive."""
        found = self.config.scaling_factor or at.number("scaling_factor", "sae", "data")
        if found is None:
            base = "" if model is None else model.rpartition("/")[2].lower()
            found = _PUBLISHED_SCALES.get(base)
            if found is None:
                raise ConfigError(
                    f"{at.where} does not say what activations are multiplied by. Give it:  --scaling_factor 0.0067"
                )
            notes.append(f"scaling_factor is not in the files: {found:g}, that of the published SAEs of {model}, is assumed")
        if not 0 < found < math.inf:
            raise ForeignError(f"{at.where}: scaling_factor is {found:g}; it must be positive")
        return found


def _plain_name(text: str) -> str:
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.-") else "-" for letter in text)
    return kept.strip(".")[:200] or "tfa"
