"""`PlanTable`: what a run will need, before it begins."""

from dataclasses import dataclass

from monoseme.api._html import framed, paragraph, table
from monoseme.planning import Plan


@dataclass(frozen=True, kw_only=True)
class PlanTable:
    """A plan, shown as the command shows it."""

    plan: Plan

    @property
    def fits(self) -> bool:
        """Whether nothing stands in its way; else `plan.refusal` says what, and what would fit."""
        return self.plan.fits

    def __repr__(self) -> str:
        from monoseme.planning.table import plain_text

        return "\n".join(filter(None, (plain_text(self.plan), self.plan.refusal)))

    def _repr_html_(self) -> str:
        from monoseme.planning.table import rows

        parts = [table(rows(self.plan)), *map(paragraph, self.plan.remarks)]
        refusal = [paragraph(self.plan.refusal)] if self.plan.refusal else []
        return framed(f"Plan: {self.plan.verb}{'' if self.fits else ' (does not fit)'}", *parts, *refusal)
