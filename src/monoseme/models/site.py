"""Sites: named places in a language model where a tensor can be read or changed.

A site is written `kind.layer`, and `kind.layer@model` when two models are compared; `Site.parse` and `str` are inverses.

| kind | tensor [n, S, width] | width |
|---|---|---|
| `resid_pre` | the residual stream as the block reads it; layer 0 is the embeddings | D |
| `attn_in` | what attention reads: after the norm | D |
| `head_out` | the heads' outputs side by side, before W_O | n_heads * d_head |
| `head_mix` | each head's output after W_O (no bias, before any post-norm), side by side | n_heads * D |
| `attn_out` | what attention adds to the residual: after Gemma's post-norm | D |
| `mlp_in` | what the MLP reads: after the norm | D |
| `mlp_out` | what the MLP adds to the residual: after Gemma's post-norm | D |
| `resid_post` | the residual stream as the block leaves it | D |
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from monoseme.core.config import suggest
from monoseme.core.errors import SiteError

KINDS = ("resid_pre", "attn_in", "head_out", "head_mix", "attn_out", "mlp_in", "mlp_out", "resid_post")
"""All kinds, in the order in which a forward comes by them."""

WRITES_RESIDUAL = frozenset({"resid_pre", "attn_out", "mlp_out", "resid_post"})
"""Kinds whose vectors live in the residual stream, so that direct logit attribution has a meaning."""


@functools.total_ordering
@dataclass(frozen=True)
class Site:
    """One place in a model. Sites are ordered as a forward comes by them (within one model)."""

    kind: str
    layer: int
    """0-based block."""
    model: str | None = None
    """Which model, when several are compared; None for the only one."""

    def __post_init__(self) -> None:
        """Raises SiteError for an unknown kind, a negative layer or an empty model name."""
        if self.kind not in KINDS:
            raise SiteError(f'no kind of site is named "{self.kind}".{suggest(self.kind, KINDS)}\n  Allowed: {", ".join(KINDS)}')
        if self.layer < 0:
            raise SiteError(f"a layer is counted from 0, not {self.layer}")
        if self.model == "":
            raise SiteError(f"{self.kind}.{self.layer}@ names no model: write {self.kind}.{self.layer}, or a name after the @")

    @classmethod
    def parse(cls, text: str) -> "Site":
        """The site written as `resid_post.3` or `resid_post.3@gpt2`; raises SiteError for anything else."""
        place, at, model = text.partition("@")
        kind, dot, layer = place.rpartition(".")
        if not dot or not (layer.isascii() and layer.isdigit()) or str(int(layer)) != layer:
            raise SiteError(f'"{text}" is not a site. Write kind.layer, for example resid_post.3\n  Kinds: {", ".join(KINDS)}')
        return cls(kind, int(layer), model if at else None)

    @property
    def depth(self) -> tuple[int, int]:
        """(layer, place in the block): larger is later in the forward."""
        return self.layer, KINDS.index(self.kind)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Site):
            return NotImplemented
        return (self.model or "", self.depth) < (other.model or "", other.depth)

    def __str__(self) -> str:
        place = f"{self.kind}.{self.layer}"
        return place if self.model is None else f"{place}@{self.model}"

    def __repr__(self) -> str:
        return f"Site.parse({str(self)!r})"


def expand_sites(patterns: str | Iterable[str | Site], *, n_layers: int) -> tuple[Site, ...]:
    """The sites that `patterns` name in a model of `n_layers` blocks, in the order given, each once.

    A pattern is a site, or `kind.*` for all layers; one text may hold several, parted by commas.
    Raises SiteError for what is not a site and for layers that the model does not have.
    """
    items = [patterns] if isinstance(patterns, str) else list(patterns)
    found: dict[Site, None] = {}
    for item in items:
        sites = [item] if isinstance(item, Site) else [s for part in item.split(",") for s in _expand(part.strip(), n_layers)]
        found.update(dict.fromkeys(sites))
    for site in found:
        check_layer(site, n_layers=n_layers)
    return tuple(found)


def check_layer(site: Site, *, n_layers: int) -> None:
    """Raises SiteError when a model of `n_layers` blocks has no such layer."""
    if site.layer >= n_layers:
        raise SiteError(
            f"this model has no {site}: it has {n_layers} blocks, counted from 0.\n"
            f"  The last is {site.kind}.{n_layers - 1}; all of them are {site.kind}.*"
        )


def _expand(pattern: str, n_layers: int) -> list[Site]:
    place, at, model = pattern.partition("@")
    if not place.endswith(".*"):
        return [Site.parse(pattern)]
    return [Site(place.removesuffix(".*"), layer, model if at else None) for layer in range(n_layers)]
