"""The registry of explainers; importing it imports no explainer."""

from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.atlas.explain._base import Explainer

EXPLAINERS: "Registry[Explainer]" = Registry(
    kind="explainers", package="monoseme.atlas.explain", base="monoseme.atlas.explain._base:Explainer"
)
