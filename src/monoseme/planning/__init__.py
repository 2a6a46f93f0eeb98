"""What a run will need before it begins: bytes on disk, memory, floating-point work, time and cost."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.planning.config import PlanConfig
from monoseme.planning.figure import Figure
from monoseme.planning.plan import Plan, Problem

if TYPE_CHECKING:
    from monoseme.planning.capture_plan import plan_capture
    from monoseme.planning.train_plan import plan_training

__all__ = ["Figure", "Plan", "PlanConfig", "Problem", "plan_capture", "plan_training"]

__getattr__ = lazy_attributes(__name__, {"capture_plan": ["plan_capture"], "train_plan": ["plan_training"]})
