"""The registry of atlas formats; importing it imports no format."""

from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.atlas.formats._base import AtlasFormat

ATLAS_FORMATS: "Registry[AtlasFormat]" = Registry(
    kind="atlas_formats", package="monoseme.atlas.formats", base="monoseme.atlas.formats._base:AtlasFormat"
)
"""All formats that are installed."""
