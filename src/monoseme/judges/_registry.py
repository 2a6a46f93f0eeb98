"""The registry of judges; importing it imports no judge."""

from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.judges._base import Judge

JUDGES: "Registry[Judge]" = Registry(kind="judges", package="monoseme.judges", base="monoseme.judges._base:Judge")
"""All judges by name."""
