"""The registry of scorers; importing it imports no scorer."""

from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.atlas.score._base import Scorer

SCORERS: "Registry[Scorer]" = Registry(kind="scorers", package="monoseme.atlas.score", base="monoseme.atlas.score._base:Scorer")
