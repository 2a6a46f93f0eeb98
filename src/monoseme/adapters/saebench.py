"""An SAE of ours as SAEBench's evaluations take one.

SAEBench (0.6, `custom_saes/base_sae.py`, and what its evaluations touch) asks of an SAE: `encode`, `decode`, `forward` on dense
codes; `W_enc` [D, F], `W_dec` [F, D], `b_enc`, `b_dec`; `device`, `dtype`, `to`; and a `cfg` that it writes into. Nothing of
SAEBench is imported.

Letters: B rows, D model width, F latents.
"""

from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import nn

from monoseme.adapters._linear import decoded, dense_codes, dictionary_of, for_use, hook_of, place
from monoseme.models.site import Site
from monoseme.saes import SAE
from monoseme.tensors.shapes import Float, Tensor

_TOOL = "SAEBench"
_UNIT = {torch.float32: 1e-5, torch.float64: 1e-5}
_UNIT_SMALL = 1e-2
"""bfloat16 and float16 cannot say a norm better; SAEBench allows as much."""


@dataclass(kw_only=True)
class SaeBenchConfig:
    """SAEBench's `CustomSAEConfig`; not frozen, because SAEBench sets fields of its own on it."""

    model_name: str
    """As TransformerLens calls the model."""
    d_in: int
    d_sae: int
    hook_layer: int
    hook_name: str
    architecture: str
    """Name of the architecture for use; not SAEBench's "gated", which has biases of its own."""
    trained_as: str
    """The architecture that was trained, where another is used."""
    context_size: int
    """Tokens per context."""
    prepend_bos: bool = True
    dtype: str = "float32"
    device: str = "cpu"
    hook_head_index: int | None = None
    apply_b_dec_to_input: bool = True
    finetuning_scaling_factor: bool = False
    activation_fn_str: str = ""
    activation_fn_kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    normalize_activations: str = "none"
    model_from_pretrained_kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    dataset_path: str = ""
    dataset_trust_remote_code: bool = False
    seqpos_slice: tuple[int | None, ...] = (None,)
    training_tokens: int = -100_000
    """SAEBench's own sign for a number of tokens that is not told."""
    sae_lens_training_version: str | None = None
    neuronpedia_id: str | None = None
    notes: tuple[str, ...] = ()
    """Where the arrays are not what their names say."""

    def to_dict(self) -> dict[str, Any]:
        """The fields above, for SAEBench's result files; not what SAEBench sets beside them."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


class SaeBenchSAE(nn.Module):
    """What `as_saebench` gives."""

    hook_z_reshaping_mode = False
    """Of SAELens' SAEs; at `hook_z` SAEBench itself lays the heads side by side."""

    def __init__(self, sae: SAE, cfg: SaeBenchConfig, *, unit_rows: bool) -> None:
        """`sae` is one for use; prefer `as_saebench`."""
        super().__init__()
        found = dictionary_of(sae)
        norms = found.W_dec.norm(dim=1) if unit_rows else torch.ones_like(found.W_dec[:, 0])
        norms[norms == 0] = 1
        b_enc = torch.zeros_like(norms) if found.b_enc is None else found.b_enc
        self.W_enc = nn.Parameter(found.W_enc * norms, requires_grad=False)
        self.W_dec = nn.Parameter(found.W_dec / norms[:, None], requires_grad=False)
        self.b_enc = nn.Parameter(b_enc * norms, requires_grad=False)
        self.b_dec = nn.Parameter(found.b_dec, requires_grad=False)
        self.cfg = cfg
        self.device = self.W_dec.device
        self.dtype = self.W_dec.dtype
        self._norms = norms
        self._sae: SAE
        # Not a module of this one: a change of type is for the arrays that SAEBench sees, and what computes stays as trained.
        self.__dict__["_sae"] = sae.eval().requires_grad_(False)
        cfg.notes = found.notes
        self._tell()

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "*lead D"]) -> Float[Tensor, "*lead F"]:
        """Dense codes of raw activations, times the norms of the rows where those were made one.

        Raises SiteError for loose rows where the SAE reads whole contexts.
        """
        return (dense_codes(self._sae, x.to(self._norms)) * self._norms).to(self.dtype)

    @torch.no_grad()
    def decode(self, feature_acts: Float[Tensor, "*lead F"]) -> Float[Tensor, "*lead D"]:
        """Raw activations from dense codes."""
        return decoded(self._sae, feature_acts.to(self._norms) / self._norms).to(self.dtype)

    def forward(self, x: Float[Tensor, "*lead D"]) -> Float[Tensor, "*lead D"]:
        """decode(encode(x))."""
        return self.decode(self.encode(x))

    @torch.no_grad()
    def check_decoder_norms(self) -> bool:
        """Whether the rows of W_dec have unit norm, within what SAEBench allows."""
        norms = self.W_dec.float().norm(dim=1)
        return bool((norms - 1).abs().max() <= _UNIT.get(self.dtype, _UNIT_SMALL))

    def turn_on_forward_pass_hook_z_reshaping(self) -> None:
        """Nothing: the heads come side by side."""

    def turn_off_forward_pass_hook_z_reshaping(self) -> None:
        """Nothing: the heads come side by side."""

    def _apply(self, fn: Any, recurse: bool = True) -> "SaeBenchSAE":
        """What `to`, `float` and `cuda` call: the SAE that computes goes along to the device, not to the type."""
        super()._apply(fn, recurse)
        self.device, self.dtype = self.W_dec.device, self.W_dec.dtype
        self._norms = self._norms.to(self.device)
        self._sae.to(self.device)
        self._tell()
        return self

    def _tell(self) -> None:
        self.cfg.device, self.cfg.dtype = str(self.device), str(self.dtype).removeprefix("torch.")


def as_saebench(
    sae: SAE,
    *,
    site: Site | str,
    model_name: str,
    context_size: int = 128,
    prepend_bos: bool = True,
    unit_rows: bool = False,
) -> SaeBenchSAE:
    """The SAE as SAEBench's evaluations take one: pass it where they take an SAE object.

    With `unit_rows` the rows of W_dec have unit norm, as SAEBench wants them, in a copy: codes are multiplied by the norms, so
    that reconstructions stay what they were. Codes and reconstructions are computed by the SAE itself, in its own type.
    Raises SiteError for an SAE of several sites or a site that TransformerLens has no name for, ConfigError for an SAE whose
    reconstruction is not codes times one matrix plus a bias.
    """
    site = place(site)
    made = for_use(sae, tool=_TOOL)
    cfg = SaeBenchConfig(
        model_name=model_name,
        d_in=made.d_in,
        d_sae=made.n_latents,
        hook_layer=site.layer,
        hook_name=hook_of(site, tool=_TOOL),
        architecture=made.plugin_name,
        trained_as=sae.plugin_name,
        context_size=context_size,
        prepend_bos=prepend_bos,
    )
    return SaeBenchSAE(made, cfg, unit_rows=unit_rows)
