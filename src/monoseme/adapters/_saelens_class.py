"""An SAE of ours as a subclass of SAELens' base class. Importing this imports SAELens: `saelens.as_saelens` does.

Letters: D model width, F latents.
"""

from dataclasses import dataclass
from typing import Any

import torch
from sae_lens import SAE as TheirSAE  # pyright: ignore[reportMissingImports]
from sae_lens import SAEConfig as TheirConfig  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn

from monoseme.adapters._linear import decoded, dense_codes, dictionary_of
from monoseme.saes import SAE


@dataclass
class MonosemeConfig(TheirConfig):  # pyright: ignore[reportUntypedBaseClass]
    """SAELens' settings of an SAE, and which architecture computes."""

    computed_by: str = ""
    """Our architecture."""

    @classmethod
    def architecture(cls) -> str:
        """Not one that SAELens can load: it lives in memory alone."""
        return "monoseme"


class MonosemeSAE(TheirSAE):  # pyright: ignore[reportUntypedBaseClass]
    """Calls ours for codes and reconstructions, with SAELens' hook points around them (but `hook_sae_acts_pre`)."""

    def __init__(self, cfg: MonosemeConfig, sae: SAE) -> None:
        """`sae` is one for use; prefer `as_saelens`."""
        # Before the base class, which asks for the weights. Not a module of this one: a change of type leaves it as trained.
        self.__dict__["_sae"] = sae.eval().requires_grad_(False)
        super().__init__(cfg)

    def initialize_weights(self) -> None:
        """Copies of our arrays, for analyses that look at them; what computes is our SAE."""
        found = dictionary_of(self._sae)
        b_enc = torch.zeros(self.cfg.d_sae) if found.b_enc is None else found.b_enc
        self.W_enc, self.b_enc = nn.Parameter(found.W_enc), nn.Parameter(b_enc)
        self.W_dec, self.b_dec = nn.Parameter(found.W_dec), nn.Parameter(found.b_dec)

    def encode(self, x: Tensor) -> Tensor:
        """Dense codes [*, F] of raw activations, differentiable. Raises SiteError for loose rows where contexts are read."""
        given = self.hook_sae_input(self.reshape_fn_in(x.to(self.dtype)))
        return self.hook_sae_acts_post(dense_codes(self._sae, given.to(self._sae.W_dec.dtype)).to(self.dtype))

    def decode(self, feature_acts: Tensor) -> Tensor:
        """Raw activations from dense codes, differentiable."""
        x_hat = decoded(self._sae, feature_acts.to(self._sae.W_dec.dtype)).to(self.dtype)
        return self.reshape_fn_out(self.hook_sae_recons(x_hat), self.d_head)

    def fold_W_dec_norm(self) -> None:
        """Raises NotImplementedError: the copies of the arrays do not compute."""
        raise NotImplementedError("this SAE computes by monoseme: its rows cannot be rescaled here")

    def fold_and_get_W_dec_norm(self) -> Tensor:
        """Raises NotImplementedError: the copies of the arrays do not compute."""
        raise NotImplementedError("this SAE computes by monoseme: its rows cannot be rescaled here")

    def fold_activation_norm_scaling_factor(self, scaling_factor: float) -> None:
        """Raises NotImplementedError: it takes raw activations already."""
        raise NotImplementedError("this SAE takes raw activations: there is no factor to fold")

    def save_model(self, path: Any) -> Any:
        """Raises NotImplementedError: SAELens has no architecture that could load it."""
        raise NotImplementedError("SAELens has no such architecture to load again; save it with monoseme")

    def _apply(self, fn: Any, recurse: bool = True) -> "MonosemeSAE":
        super()._apply(fn, recurse)
        self._sae.to(self.W_dec.device)
        return self
