"""Words, what may be asked of their letters, prompts that ask it in context, and how well a model answers."""

from monoseme.spelling.grader import Grade, Where, Written, grade, written
from monoseme.spelling.prompts import Prompt, PromptBatch, Prompter, answer_tokens, lay_out
from monoseme.spelling.question_sheets import Question, Sheet, SheetBatch, lay_out_sheets, sheet_of, sheets
from monoseme.spelling.tasks import LETTERS, LetterTask, task_named
from monoseme.spelling.vocabulary import (
    alphabetic_tokens,
    by_ending_and_length,
    common_word_tokens,
    common_words,
    is_alphabetic,
    letters_of,
    read_words,
    same_ending_pairs,
)

__all__ = [
    "LETTERS",
    "Grade",
    "LetterTask",
    "Prompt",
    "PromptBatch",
    "Prompter",
    "Question",
    "Sheet",
    "SheetBatch",
    "Where",
    "Written",
    "alphabetic_tokens",
    "answer_tokens",
    "by_ending_and_length",
    "common_word_tokens",
    "common_words",
    "grade",
    "is_alphabetic",
    "lay_out",
    "lay_out_sheets",
    "letters_of",
    "read_words",
    "same_ending_pairs",
    "sheet_of",
    "sheets",
    "task_named",
    "written",
]
