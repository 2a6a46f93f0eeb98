"""How well a model answers: whether it would write the right answer, and how likely it holds it.

Teacher-forced: the right answer stands in the text, and each of its tokens is predicted with the right ones before it. All
likeliest tokens right is the same as writing the answer without sampling. `written` lets the model write instead.

Source: `SpellingGrader` of sae-spelling (Chanin et al. 2024, arXiv:2409.14507). Differs: batches; answers are found by the
tokenizer's offsets in the whole text, not tokenized apart from it; edits act on words of several tokens.

Letters: n rows, S positions, V vocabulary, A questions, P predicted tokens, C answers of a task.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch

from monoseme.core.display import get_display
from monoseme.core.errors import ModelError
from monoseme.models import Edit, LanguageModel, Site
from monoseme.spelling.prompts import Prompt, answer_tokens
from monoseme.spelling.question_sheets import Question, Sheet, SheetBatch, lay_out_sheets
from monoseme.spelling.tasks import LetterTask
from monoseme.tensors.shapes import Bool, Float, Int, Tensor

Where = Literal["everywhere", "words"]
"""Where edits act: on every token but special ones, or on those of the words asked about alone."""

_BATCH_TOKENS = 8192
"""Tokens of one forward: enough that a product is as fast as it gets."""
_MAX_LOGITS = 1 << 26
"""Logits of one forward, n x S x V: 256 MB in float32."""
_IN_AN_ANSWER = "-'"
"""Besides letters, what a written answer would be going on with."""


class Grade(NamedTuple):
    """One answer of a model. Columns of sae-spelling's grades, and more."""

    word: str
    prompt: str
    """The text up to the answer."""
    answer: str
    prediction: str
    """The likeliest tokens, each after the right ones before it."""
    is_correct: bool
    """Whether these are the answer."""
    answer_log_prob: float
    """Sum over the answer's tokens, nats."""
    prediction_log_prob: float
    """The same of the likeliest tokens."""
    n_examples: int | None
    n_tokens: int
    """Tokens of the word (count)."""
    n_answer_tokens: int
    n_right_tokens: int
    """Tokens of the answer that are the likeliest (count)."""
    choice: str | None
    """The likeliest of the task's answers, by their first tokens; None where answers are not of a fixed set of such."""


class Written(NamedTuple):
    """What a model wrote."""

    text: str
    is_correct: bool
    """Whether it begins with the answer, and does not go on with a letter or hyphen."""
    is_begun: bool
    """Whether it begins with the answer, whatever follows: right once it is cut at the answer's length, as sae-spelling does."""


def grade(
    model: LanguageModel,
    asked: Sequence[Sheet],
    *,
    task: LetterTask | None = None,
    edits: Sequence[Edit] = (),
    where: Where = "everywhere",
    batch_tokens: int = _BATCH_TOKENS,
) -> list[Grade]:
    """The grade of every question, in the order of sheets and lines; `task` gives the choices among its answers.

    Sheets of like length go through the model together, padded on the right. Sums of log-probabilities are float64 of a float32
    log-softmax (float64 where the model is). Raises ModelError as `lay_out` does and for texts that are too long, SiteError for
    edits that do not fit.
    """
    choices = _choices(model, task)
    batch = lay_out_sheets(model, asked)
    grades: dict[int, Grade] = {}
    questions = [(sheet, question) for sheet in asked for question in sheet.asked]
    with get_display().progress("grading", total=len(asked), unit="prompts") as progress:
        for rows in _batches(batch.real.sum(1), batch_tokens, n_vocabulary=model.spec.vocab_size):
            part, places = _part(batch, rows)
            answered = _answered(model, part, choices, edits=edits, where=where)
            for i, place in enumerate(places.tolist()):
                sheet, question = questions[place]
                grades[place] = _grade(model, sheet, question, answered, i, task)
            progress.advance(len(rows))
    return [grades[i] for i in range(len(questions))]


def _choices(model: LanguageModel, task: LetterTask | None) -> Int[Tensor, " C"] | None:
    """None where the answers are not of a fixed set, or do not begin with tokens of their own: they are graded all the same."""
    if task is None or task.classes is None:
        return None
    try:
        return answer_tokens(model, task)
    except ModelError:
        return None


def written(
    model: LanguageModel, prompts: Sequence[Prompt], *, edits: Sequence[Edit] = (), batch_size: int = 64
) -> list[Written]:
    """What the model writes after each prompt, taking the likeliest token each time, a few tokens beyond the answer's length.

    Raises ModelError for texts that are too long, and SiteError for edits that cannot follow a text as it is written.
    """
    lengths = [len(model.tokenizer(prompt.answer, add_special_tokens=False)["input_ids"]) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda i: (lengths[i], len(prompts[i].text)))
    found: dict[int, Written] = {}
    with get_display().progress("writing", total=len(prompts), unit="prompts") as progress:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            n_new = lengths[rows[-1]] + 2
            made = model.generate([prompts[i].text for i in rows], edits=edits, max_new_tokens=n_new)
            for i, one in zip(rows, made, strict=True):
                found[i] = _judged(one.text, prompts[i].answer)
            progress.advance(len(rows))
    return [found[i] for i in range(len(prompts))]


def _judged(text: str, answer: str) -> Written:
    """Without the space at the start, which some tokenizers lose."""
    shown, answer = text.strip(" "), answer.strip(" ")
    is_begun, after = shown.startswith(answer), shown[len(answer) : len(answer) + 1]
    goes_on = after.isalnum() or (after != "" and after in _IN_AN_ANSWER)
    return Written(text, is_begun and not goes_on, is_begun)


def _batches(lengths: Int[Tensor, " n"], n_tokens: int, *, n_vocabulary: int) -> Iterator[list[int]]:
    """Rows of like length, the longest first, so that what does not fit into memory fails at once."""
    order: list[int] = lengths.argsort(descending=True, stable=True).tolist()
    while order:
        longest = max(int(lengths[order[0]]), 1)
        n = max(1, min(n_tokens, _MAX_LOGITS // n_vocabulary) // longest)
        yield order[:n]
        order = order[n:]


def _part(batch: SheetBatch, rows: list[int]) -> tuple[SheetBatch, Int[Tensor, " A"]]:
    """Some rows of a batch, cut to the longest of them, and which of all questions theirs are."""
    chosen = torch.tensor(rows)
    length = int(batch.real[chosen].sum(1).max())
    new_row = torch.full((len(batch.tokens),), -1).index_copy(0, chosen, torch.arange(len(rows)))
    places = (new_row[batch.row] >= 0).nonzero()[:, 0]
    columns = (column[places] for column in batch[3:])
    return SheetBatch(batch.tokens[chosen, :length], batch.real[chosen, :length], new_row[batch.row[places]], *columns), places


class _Answered(NamedTuple):
    """What the model made of the questions of a batch; P tokens of answers, those of one question together."""

    predicted: list[list[int]]
    """A lists of the likeliest tokens."""
    log_prob: Float[Tensor, " A"]
    predicted_log_prob: Float[Tensor, " A"]
    n_right: Int[Tensor, " A"]
    n_word_tokens: Int[Tensor, " A"]
    choice: Int[Tensor, " A"] | None


@torch.no_grad()
def _answered(
    model: LanguageModel, part: SheetBatch, choices: Int[Tensor, " C"] | None, *, edits: Sequence[Edit], where: Where
) -> _Answered:
    lengths = part.answer_len
    question = torch.arange(len(lengths)).repeat_interleave(lengths)
    step = torch.arange(len(question)) - (lengths.cumsum(0) - lengths)[question]
    row, source = part.row[question], part.answer_from[question] + step
    right = part.tokens[row, source + 1]
    seen = _logits_at(model, part, row, source, edits=edits, mask=_word_mask(part) if where == "words" else None)
    log_p = seen.to(torch.promote_types(seen.dtype, torch.float32)).log_softmax(-1).cpu()
    best, likeliest = log_p.max(-1)
    per_question = torch.zeros(len(lengths), dtype=torch.float64)
    first = (lengths.cumsum(0) - lengths).to(seen.device)
    return _Answered(
        predicted=[ids.tolist() for ids in likeliest.split(lengths.tolist())],
        log_prob=per_question.index_add(0, question, log_p.gather(1, right[:, None])[:, 0].double()),
        predicted_log_prob=per_question.index_add(0, question, best.double()),
        n_right=torch.zeros_like(lengths).index_add(0, question, (likeliest == right).long()),
        n_word_tokens=part.word_last - part.word_first + 1,
        choice=None if choices is None else seen[first][:, choices.to(seen.device)].argmax(-1).cpu(),
    )


def _logits_at(
    model: LanguageModel,
    part: SheetBatch,
    row: Int[Tensor, " P"],
    position: Int[Tensor, " P"],
    *,
    edits: Sequence[Edit],
    mask: Bool[Tensor, "n S"] | None,
) -> Float[Tensor, "P V"]:
    """The logits there; of other positions none are made where the model's end can be run by itself."""
    if not model.can_unembed:
        logits = model.run(part.tokens, edits=edits, real=part.real, mask=mask).logits
        return logits[row.to(logits.device), position.to(logits.device)]
    last = Site("resid_post", model.spec.n_layers - 1)
    x = model.capture(part.tokens, [last], edits=edits, real=part.real, mask=mask)[last]
    return model.unembed(x[row.to(x.device), position.to(x.device)])


def _word_mask(part: SheetBatch) -> Bool[Tensor, "n S"]:
    mask = torch.zeros_like(part.real)
    for row, first, last in zip(part.row.tolist(), part.word_first.tolist(), part.word_last.tolist(), strict=True):
        mask[row, first : last + 1] = True
    return mask


def _grade(model: LanguageModel, sheet: Sheet, question: Question, answered: _Answered, i: int, task: LetterTask | None) -> Grade:
    predicted, n_right = answered.predicted[i], int(answered.n_right[i])
    classes = None if task is None or answered.choice is None else task.classes
    return Grade(
        word=question.word,
        prompt=sheet.text[: question.answer_start],
        answer=question.answer,
        prediction=model.token_text(predicted),
        is_correct=n_right == len(predicted),
        answer_log_prob=float(answered.log_prob[i]),
        prediction_log_prob=float(answered.predicted_log_prob[i]),
        n_examples=question.n_examples,
        n_tokens=int(answered.n_word_tokens[i]),
        n_answer_tokens=len(predicted),
        n_right_tokens=n_right,
        choice=classes[int(answered.choice[i])] if classes is not None and answered.choice is not None else None,
    )
