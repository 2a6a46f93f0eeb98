"""The registry of steering methods; importing it imports no method."""

from typing import TYPE_CHECKING

from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.steering._base import SteeringMethod

STEERING: "Registry[SteeringMethod]" = Registry(
    kind="steering", package="monoseme.steering", base="monoseme.steering._base:SteeringMethod"
)
"""All steering methods by name."""
