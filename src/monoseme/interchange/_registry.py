"""The registry of SAE formats; importing it imports no format."""

from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.interchange._base import SaeFormat

SAE_FORMATS: "Registry[SaeFormat]" = Registry(
    kind="sae_formats", package="monoseme.interchange", base="monoseme.interchange._base:SaeFormat"
)
"""All formats that are installed."""
