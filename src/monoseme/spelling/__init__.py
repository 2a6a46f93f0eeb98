"""Words, what may be asked of their letters, prompts that ask it in context, and how well a model answers."""

from monoseme.spelling.prompts import Prompt, PromptBatch, Prompter, lay_out
from monoseme.spelling.tasks import LETTERS, LetterTask, task_named
from monoseme.spelling.vocabulary import alphabetic_tokens, letters_of

__all__ = [
    "LETTERS",
    "LetterTask",
    "Prompt",
    "PromptBatch",
    "Prompter",
    "alphabetic_tokens",
    "lay_out",
    "letters_of",
    "task_named",
]
