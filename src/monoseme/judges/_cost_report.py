"""What questions cost, told after."""

from dataclasses import dataclass

from monoseme.core.display import counted


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """Questions, tokens and money of one desk, and of its folder since the beginning."""

    n_asked: int
    """Questions that this desk sent and has an answer of (count)."""
    n_kept: int
    """Questions whose answers were there from before (count)."""
    n_failed: int
    """Questions without an answer of use, kept ones included (count)."""
    input_tokens: int
    """Tokens charged as input for those asked (count), without those of the provider's cache."""
    cached_input_tokens: int
    """Tokens that the provider read from its cache (count)."""
    output_tokens: int
    """Tokens charged as output (count)."""
    cost: float | None
    """US dollars for those asked; None where the model's price is not known."""
    folder_cost: float | None
    """US dollars for all answers in the folder, those of earlier commands included; None where a price is not known."""
    n_open: int
    """Questions sent from this folder whose answers did not come (count): on their way in a batch, or cut off by a kill."""
    open_cost: float
    """US dollars that those may have cost at most; they count against the budget."""
    budget: float | None
    """US dollars that the folder may cost."""
    why_missing: str | None = None
    """Why a number is missing."""

    def text(self) -> str:
        """The report in a few lines, as a command ends with it."""
        tokens = (
            f"{self.input_tokens:,} tokens in, {self.cached_input_tokens:,} from the provider's cache, {self.output_tokens:,} out"
        )
        others = f"{self.n_kept:,} more answered before, {self.n_failed:,} failed"
        lines = [f"asked {counted(self.n_asked, 'questions')} ({others}): {tokens}"]
        if self.cost is not None:
            of = "" if self.budget is None else f" of a budget of ${self.budget:.2f}"
            total = "" if self.folder_cost is None else f"; with all earlier ones ${self.folder_cost:.4f}{of}"
            lines.append(f"  cost ${self.cost:.4f}{total}")
        if self.n_open:
            lines.append(
                f"  {counted(self.n_open, 'questions')} without an answer may have cost up to ${self.open_cost:.4f} more"
            )
        if self.why_missing is not None:
            lines.append(f"  {self.why_missing}")
        return "\n".join(lines)
