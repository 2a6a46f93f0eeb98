"""What a loaded language model is: its sizes and the sites it has."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from monoseme.core.config import suggest
from monoseme.core.errors import SiteError
from monoseme.models._family import Anatomy
from monoseme.models.site import KINDS, Site, check_layer, expand_sites


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Sizes and sites of a language model."""

    family: str
    """Name of the family's file, or "generic"."""
    model_type: str
    """What transformers calls it."""
    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    """Width of one head's output before W_O."""
    vocab_size: int
    """Rows of the unembedding; may exceed the tokenizer's tokens."""
    n_positions: int | None
    """Longest context (tokens) the model was made for; None where it does not say."""
    norm: Literal["rms", "layer"]
    """Kind of the final norm; a layer norm also takes the mean away."""
    logit_softcap: float | None
    """c of c * tanh(logits / c); None for no capping."""
    parallel: bool | None
    """Whether attention and MLP read the same residual stream; None where that is not known."""
    kinds: tuple[str, ...]
    """Kinds of sites this model has."""
    missing: dict[str, str] = field(default_factory=dict)
    """Kinds it has not, each with the reason."""
    found: str = ""
    """In words: what was found where."""

    def sites(self, patterns: str | Iterable[str | Site]) -> tuple[Site, ...]:
        """The sites that patterns such as `resid_post.*` name here; raises SiteError for those it does not have."""
        sites = expand_sites(patterns, n_layers=self.n_layers)
        for site in sites:
            if site.model is not None:
                raise SiteError(f"{site} is of a second model, {site.model}, and there is only one: name it with --beside.model")
            self.check(site)
        return sites

    def check(self, site: Site) -> None:
        """Raises SiteError when this model does not have `site`."""
        check_layer(site, n_layers=self.n_layers)
        if site.kind not in self.kinds:
            reason = self.missing.get(site.kind, "not known for this family")
            raise SiteError(
                f"this model ({self.model_type}) has no {site.kind}: {reason}.{suggest(site.kind, self.kinds)}\n"
                f"  It has: {', '.join(self.kinds)}"
            )

    def site_width(self, site: Site) -> int:
        """Length of the vectors at `site`; raises SiteError when this model does not have it."""
        self.check(site)
        return {"head_out": self.n_heads * self.d_head, "head_mix": self.n_heads * self.d_model}.get(site.kind, self.d_model)


def spec_of(anatomy: Anatomy, config: Any, *, family: str, model_type: str) -> ModelSpec:
    """The spec of a model of this anatomy; `config` is the text part of its transformers configuration."""
    n_heads = getattr(config, "num_attention_heads", 1)
    return ModelSpec(
        family=family,
        model_type=model_type,
        n_layers=len(anatomy.blocks),
        d_model=config.hidden_size,
        n_heads=n_heads,
        d_head=getattr(config, "head_dim", None) or config.hidden_size // n_heads,
        vocab_size=config.vocab_size,
        n_positions=getattr(config, "max_position_embeddings", None),
        norm=anatomy.norm_kind,
        logit_softcap=anatomy.logit_softcap,
        parallel=anatomy.parallel,
        kinds=tuple(kind for kind in KINDS if kind in anatomy.taps[0]),
        missing=anatomy.missing,
        found=anatomy.found,
    )
