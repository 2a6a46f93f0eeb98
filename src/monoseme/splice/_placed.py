"""An SAE in its places: from the activations at its sites to its codes and to what it puts back at each output site.

One road for SAEs that read tokens, contexts or several sites, so that whatever measures SAEs need not tell these apart.

Letters: n contexts, S positions, T positions where the mask is True (row by row), L sites, D width, F latents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from monoseme.core.errors import SiteError
from monoseme.models.site import Site
from monoseme.saes import Codes
from monoseme.splice._contract import SAELike, as_computed
from monoseme.tensors.shapes import Bool, Float, Tensor
from monoseme.tensors.sparse import SparseCodes


class Read(NamedTuple):
    """What an SAE makes of one of its output sites."""

    site: Site
    codes: SparseCodes
    """[T, F], without explicit zeros: the site's own codes, or the one code that serves all sites."""
    x: Float[Tensor, "T D"]
    """What was to be given back, as the model had it."""
    x_hat: Float[Tensor, "T D"]
    """In the type in which the SAE computes."""


@dataclass(frozen=True, eq=False)
class Placed:
    """An SAE, and the sites it learned from, in that order. Raises ConfigError for a number of sites that it cannot have."""

    sae: SAELike
    sites: tuple[Site, ...]

    def __post_init__(self) -> None:
        self.sae.roles(len(self.sites))

    @property
    def inputs(self) -> tuple[Site, ...]:
        """What `encode` takes."""
        return tuple(self.sites[i] for i in self.sae.roles(len(self.sites)).inputs)

    @property
    def outputs(self) -> tuple[Site, ...]:
        """What `decode` gives back."""
        return tuple(self.sites[i] for i in self.sae.roles(len(self.sites)).outputs)

    @property
    def code_sites(self) -> tuple[Site, ...]:
        """The sites that have codes of their own, or the first input where one code serves all."""
        return self.inputs if self.sae.codes_per_site else self.inputs[:1]

    def encode(self, activations: Mapping[Site, Float[Tensor, "n S D"]], mask: Bool[Tensor, "n S"]) -> Codes:
        """Codes [T, F] of the masked rows, or [T, L, F] where each site has its own.

        Raises SiteError where a site is missing, or where widths differ within an SAE that reads several.
        """
        xs = [_held(activations, site) for site in self.inputs]
        mask = mask.to(xs[0].device)
        if self.sae.reads == "contexts":
            x = as_computed(self.sae, xs[0])
            mask = mask.to(x.device)
            return self.sae.encode_contexts(x, mask).select_rows(mask)
        if len({x.shape[-1] for x in xs}) > 1:
            widths = ", ".join(f"{site} has D={x.shape[-1]}" for site, x in zip(self.inputs, xs, strict=True))
            raise SiteError(f"an SAE reads several sites of one width side by side, but {widths}")
        rows = [as_computed(self.sae, x[mask]) for x in xs]
        return self.sae.encode(torch.stack(rows, dim=-2) if self.sae.reads == "layers" else rows[0])

    def per_site(self, code: SparseCodes) -> list[SparseCodes]:
        """A code as `encode` gives it, as one [T, F] for each of `code_sites`."""
        if not self.sae.codes_per_site:
            return [code]
        n_tokens, n_sites = code.leading
        first = torch.arange(n_tokens, device=code.device) * n_sites
        return [code.select_rows(first + i) for i in range(n_sites)]

    def read(
        self, activations: Mapping[Site, Float[Tensor, "n S D"]], mask: Bool[Tensor, "n S"], *, part: str | None = None
    ) -> list[Read]:
        """What it makes of each output site, from one encode and one decode; `part` keeps that part of the codes only.

        Raises as `encode`, and ConfigError for an unknown part.
        """
        codes = self.encode(activations, mask)
        if part is not None:
            codes = codes.with_all(codes.part(part))
        decoded = self.sae.decode(codes)
        x_hats = decoded.unbind(-2) if self.sae.reads == "layers" else (decoded,)
        each = self.per_site(codes.sparse())
        each = each if self.sae.codes_per_site else each * len(x_hats)
        targets = [_held(activations, site) for site in self.outputs]
        found = zip(self.outputs, each, targets, x_hats, strict=True)
        return [Read(site, code, x[mask.to(x.device)].to(x_hat.device), x_hat) for site, code, x, x_hat in found]


def without_code(codes: Codes) -> Codes:
    """The same vectors with a code of zeros: they decode to what the SAE gives back whatever it sees."""
    code = codes.all
    zeros = torch.zeros_like(code) if isinstance(code, Tensor) else code.with_values(torch.zeros_like(code.values))
    return replace(codes, parts={"all": zeros})


def _held(activations: Mapping[Site, Tensor], site: Site) -> Tensor:
    if site not in activations:
        held = ", ".join(str(site) for site in activations)
        raise SiteError(f"this SAE needs {site}, but the activations hold {held}")
    return activations[site]
