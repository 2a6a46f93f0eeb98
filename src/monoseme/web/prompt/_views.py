"""What else there is to see of a text with an SAE, so that a page offers nothing that is not there."""

from typing import Literal

from monoseme.saes import SAE
from monoseme.web.forward import Forward
from monoseme.web.prompt.answers import PromptViews


def views_of(forward: Forward, *, key: str | None) -> PromptViews:
    """The views of the SAE that read a text; `key` is under which it was scanned."""
    placed = forward.placed
    return PromptViews(
        name=forward.asked.name,
        key=key,
        site=str(forward.site),
        unit=unit_of(forward.sae),
        layers=[str(site) for site in placed.code_sites] if placed.sae.codes_per_site else [],
        parts=list(parts_of(forward.sae)),
        logit_sites=[str(site) for site in placed.outputs],
    )


def unit_of(sae: SAE) -> Literal["activation", "standardised", "root_mean_square"]:
    """Unit of its codes; what one vector was divided by is told apart, which the SAE itself need not."""
    if sae.unit == "standardised" and sae.config.normalise.kind == "vector_norm":
        return "root_mean_square"
    return sae.unit


def parts_of(sae: SAE) -> tuple[str, ...]:
    """The parts of its code; empty where it has none but the whole."""
    return sae.parts[1:]
