"""The families that can be plugged in; listing them imports neither torch nor any family."""

from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.models._family import Family

FAMILIES: "Registry[Family]" = Registry(
    kind="families", package="monoseme.models.families", base="monoseme.models._family:Family"
)
