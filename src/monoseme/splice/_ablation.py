"""Ablations: the baselines that a splice is measured against.

Letters: n sequences, S positions, D width of the site.
"""

from dataclasses import dataclass

from monoseme.core.errors import SiteError
from monoseme.models.edit import EditContext
from monoseme.models.site import Site
from monoseme.tensors.shapes import Bool, Float, Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class Ablation:
    """Puts one vector at every position that the mask marks."""

    site: Site
    value: Float[Tensor, " D"] | None
    """None for zeros."""
    mask: Bool[Tensor, "n S"] | None = None
    """Where it acts; None for the forward's mask."""

    def __call__(self, x: Float[Tensor, "n S D"], context: EditContext) -> Float[Tensor, "n S D"]:
        """The ablated activations. Raises SiteError when the vector does not fit the site."""
        mask = (context.mask if self.mask is None else self.mask).to(x.device)
        if self.value is None:
            return x.masked_fill(mask.unsqueeze(-1), 0.0)
        if self.value.shape != x.shape[-1:]:
            raise SiteError(f"a mean of the shape {tuple(self.value.shape)} does not fit {self.site} with D={x.shape[-1]}")
        return self.value.to(device=x.device, dtype=x.dtype).where(mask.unsqueeze(-1), x)


def zero_ablation(site: Site, *, mask: Bool[Tensor, "n S"] | None = None) -> Ablation:
    """An edit that sets the activations at `site` to zero, where the mask is True."""
    return Ablation(site=site, value=None, mask=mask)


def mean_ablation(site: Site, mean: Float[Tensor, " D"], *, mask: Bool[Tensor, "n S"] | None = None) -> Ablation:
    """An edit that sets the activations at `site` to `mean`, where the mask is True."""
    return Ablation(site=site, value=mean, mask=mask)
