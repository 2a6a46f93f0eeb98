"""LLM detection: does a judge who reads an explanation tell held-out excerpts in which the latent fires from others?

The excerpts are shown as plain text. Firing ones come from each tenth of the latent's activations, the others are silent by its
own codes: some drawn at random, some where latents fire that mostly fire with it. So dense latents are labelled rightly too.

Source: the task is delphi's (Paulo et al. 2024, arXiv:2410.13928, section 3.2) and SAEBench's autointerp.
Differs from both: documents that explain never score, every label is real, answers are graded, and controls stand beside.
"""

from collections.abc import Sequence

from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.prompts import described, numbered, question, shown
from monoseme.atlas.score._choice import plain_items
from monoseme.atlas.score._graded import GradedScorer
from monoseme.atlas.score._grades import N_LOGPROBS, grades_type
from monoseme.atlas.score._items import Item
from monoseme.atlas.score._measured import definitions_of
from monoseme.judges import Question

_SYSTEM = (
    "A unit inside a language model fires on some words of some texts. For each excerpt, grade how sure you are that the unit"
    " fires on at least one word of it: 0 surely not, 9 surely, 5 or more means yes. All, some or none may fire."
    " Answer in JSON with one grade for each excerpt."
)


class LlmDetection(GradedScorer):
    """Balanced accuracy and AUROC of a judge's grades of excerpts, with two controls and the table of tokens."""

    definitions = definitions_of("excerpt", "are graded 5 or more")

    def choose(self, excerpts: Excerpts, latent: int, *, heldout: bool) -> list[Item]:
        """Firing excerpts of each tenth, and silent ones."""
        return plain_items(excerpts, latent, config=self.config, heldout=heldout)

    def ask(self, explanation: str | None, items: Sequence[Item]) -> Question:
        """The excerpts as plain text."""
        lines = numbered([shown(item.excerpt.texts) for item in items], name="excerpt")
        answer_type = grades_type(len(items), name="excerpt")
        return question(
            _SYSTEM, f"{described(explanation)}\n{lines}", answer_type, max_tokens=64 + 16 * len(items), n_logprobs=N_LOGPROBS
        )
