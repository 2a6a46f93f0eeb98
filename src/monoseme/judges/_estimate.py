"""What questions would cost, told before any of them is sent."""

from dataclasses import dataclass

from monoseme.core.display import counted


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Tokens and money of questions that are not yet asked."""

    n_questions: int
    """Questions in all (count)."""
    n_kept: int
    """Those whose answers are there from before, or that another one repeats: they cost nothing (count)."""
    n_counted: int
    """Those to be asked whose tokens were counted (count); the others' follow from their bytes."""
    input_tokens: int | None
    """Tokens of all questions to be asked (count); None where they cannot be known before."""
    output_tokens: int | None
    """Tokens of their answers (count), if as long as this judge's earlier ones in the folder; None where there are none."""
    most_output_tokens: int
    """Tokens of their answers if each is as long as it may be (count)."""
    input_cost: float | None
    """US dollars for the input alone, nothing of it read from the provider's cache; None where tokens or price are not known."""
    cost: float | None
    """US dollars for input and answers of the usual length; None where one of them is not known."""
    most_cost: float | None
    """US dollars if every answer is as long as it may be and a token is one byte: a budget of this never stops the work."""
    price: str | None
    """The price that was used, with its date and source."""
    is_batch: bool
    """Whether the price is that of a batch."""
    why_missing: str | None = None
    """Why a number is missing."""
    is_guess: bool = False
    """Whether the tokens of the input are guessed from bytes alone, as nobody could count any of them."""

    @property
    def n_to_ask(self) -> int:
        """Questions that would be sent (count)."""
        return self.n_questions - self.n_kept

    def text(self) -> str:
        """The estimate in a few lines, as a dry run shows it."""
        lines = [f"{counted(self.n_questions, 'questions')}, {self.n_kept:,} of them answered before: {self.n_to_ask:,} to ask"]
        if self.input_tokens is not None:
            how = "all counted" if self.n_counted == self.n_to_ask else f"from {self.n_counted:,} of them"
            about, how = ("about ", "a guess from the length of the text: none is counted") if self.is_guess else ("", how)
            lines.append(f"  input  {about}{self.input_tokens:,} tokens ({how})")
        usual = "" if self.output_tokens is None else f"{self.output_tokens:,} tokens as usual, "
        lines.append(f"  output {usual}{self.most_output_tokens:,} tokens at most")
        if self.most_cost is not None:
            lines.append(f"  cost   {self._money()}{' as a batch' if self.is_batch else ''}")
        if self.price is not None:
            lines.append(f"  price  {self.price}")
        if self.why_missing is not None:
            lines.append(f"  {self.why_missing}")
        return "\n".join(lines)

    def _money(self) -> str:
        usual = "" if self.cost is None else f"about ${self.cost:.4f}; "
        least = "" if self.input_cost is None else f"${self.input_cost:.4f} for the input alone, "
        return f"{usual}{least}${self.most_cost:.4f} at the very most"
