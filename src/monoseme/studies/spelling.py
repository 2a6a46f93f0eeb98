"""How well a language model spells: what letters a word begins or ends with, and how it is spelled, after examples of others.

What probes and SAEs show of letters is worth only as much as the model's own answers: it is asked first, as it is and with each
SAE in place.

Source: Chanin et al. 2024, arXiv:2409.14507, whose code (sae-spelling) has a grader of words, and accuracies by length and number
of examples. Differs: a forward gives the answers after all numbers of examples; guessing is measured too; shares have intervals.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError, SiteError
from monoseme.models import Edit, LanguageModel, ModelConfig
from monoseme.pipeline import RunConfig
from monoseme.reports.figures import Figure
from monoseme.spelling import Where, letters_of, task_named
from monoseme.splice import ablate_latents, splice
from monoseme.studies._base import Row, Study, StudyResult
from monoseme.studies._spelling.figures import accuracy_dots, answer_map, length_map, log_prob_dots, token_map
from monoseme.studies._spelling.findings import can_do, findings_of
from monoseme.studies._spelling.measure import MODEL, Answers, Examination, examine, read_answers, write_answers
from monoseme.studies._spelling.tables import (
    accuracy_rows,
    difference_row,
    grade_rows,
    grouped_rows,
    length_of,
    metrics_of,
    prompt_rows,
)
from monoseme.studies._spelling.words import WordChoice, chosen, words_there
from monoseme.studies._workbench import OF_RUN, SHORT_FLAGS, SaeStudyConfig, Subject, Workbench
from monoseme.text import CorpusConfig, read_documents

_TEXT = """\
The model {model} was asked about {n_words:,} words of {source}, as many of each length as there are, after {examples} examples.
{unable}

- *accuracy*: share of words whose answer's tokens are all the likeliest, each after the right ones before it. *Choice accuracy*:
  the right answer is the likeliest of the task's answers. *Written accuracy*: the model writes the answer by itself and
  ends there; *written cut accuracy*: cut at the answer's length, as sae-spelling counts.
- *answer log prob*: log-probability summed over the answer's tokens, in nats. Intervals are of 95 %, over words.
- *chance*: accuracy of always giving the commonest answer. A task is called done where the accuracy is above it with its whole
  interval; SAEs are put in place for such tasks only.
{saes}"""


class Spelling(Study):
    """How well a model spells and answers questions about letters, as it is and with SAEs in place."""

    @dataclass(frozen=True, kw_only=True)
    class Config(SaeStudyConfig):
        """The model, its words, the tasks, and the SAEs to put in place; without SAEs the model alone is asked."""

        task: tuple[str, ...] = ("first_letter", "last_letter", "spelling")
        """What is asked: first_letter, last_letter, nth_start_2, nth_end_2 (the last but one), contains_e, spelling."""
        words: str | None = None
        """File with one word in each line. None: tokens of the vocabulary that are words."""
        least_count: int | None = None
        """Only words that occur at least so often in the text of --corpus (count). None: no text is read."""
        leading_space: bool = True
        """Ask about words with a space before them, as in the middle of a text; else as at its start."""
        least_letters: int = 2
        """Shorter words are left out (count)."""
        n_words: int = 400
        """Words in each task at most, as many of each length as there are (count)."""
        n_examples: tuple[int, ...] = (0, 1, 2, 5, 10)
        """Words with their answers before the question (counts)."""
        n_written: int = 100
        """Words that the model also writes the answer to, after the most examples (count)."""
        error_term: bool = False
        """Put SAEs in place with what they do not explain added; then nothing changes but by --ablate."""
        ablate: tuple[int, ...] = ()
        """Latents that are set to zero in every SAE."""
        where: Where = "everywhere"
        """Where SAEs act: on every token but special ones, or on those of the words asked about alone. With the latter the words
        of a text are changed as examples too."""
        n_replicates: int = 400
        """Drawings of words that intervals of differences come from (count)."""
        seed: int = 0
        """Of the choice of words, their order, and the drawings."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name, least in (("n_words", 1), ("n_written", 0), ("least_letters", 1), ("n_replicates", 20)):
                if getattr(self, name) < least:
                    raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
            if not self.n_examples or min(self.n_examples) < 0:
                raise ConfigError(f"n_examples is {self.n_examples}; give counts of 0 or more")
            if not self.task or len(set(self.task)) < len(self.task):
                raise ConfigError(f"task is {self.task}; give one or more, each once")
            for name in self.task:
                task_named(name)
            if self.corpus.source != OF_RUN and self.least_count is None:
                raise ConfigError("corpus is given, but no word is counted in it.\n  Add  --least_count 10, or leave it out.")
            if not self.sae and (self.ablate or self.error_term or self.where != "everywhere" or self.part != ("all",)):
                raise ConfigError("ablate, error_term, where and part are of SAEs, and none is named.\n  Name some with --sae.")

    config: Config
    short_flags = SHORT_FLAGS

    def investigate(self, work: Path) -> StudyResult:
        """Asks the model, then, for the tasks that it can do, the model with each SAE in place. Answers are kept in `work`."""
        config = self.config
        there = _there(config)
        words = words_there(there.model, _choice(config), _texts(there.corpus) if config.least_count is not None else ())
        found: list[Answers] = []
        for name in config.task:
            task = task_named(name)
            asked = tuple(chosen(words, task, n_words=config.n_words, seed=config.seed))
            n_examples, n_written = tuple(sorted(set(config.n_examples))), config.n_written
            exam = Examination(task, asked, n_examples, n_written, config.where, config.seed)
            model = _kept(work, there.model, exam, MODEL, ())
            found.append(model)
            if can_do(model):
                found += [_kept(work, there.model, exam, subject, [edit]) for subject, edit in there.edits.items()]
            elif there.edits:
                get_display().warn(f"the model cannot do {name}: its accuracy is that of guessing, so SAEs are not put in place")
        return _result(config, there, found)


class _There(NamedTuple):
    """What is asked."""

    model: LanguageModel
    corpus: CorpusConfig
    edits: dict[str, Edit]
    """Subject -> the SAE in its place."""
    left_out: list[str]
    """Why other SAEs are not in place, a sentence each."""
    inputs: dict[str, str]


def _there(config: Spelling.Config) -> _There:
    if not config.sae:
        settings = replace(config.model, model=ModelConfig().model) if config.model.model == OF_RUN else config.model
        model = LanguageModel.load(settings)
        corpus = RunConfig().corpus if config.corpus.source == OF_RUN else config.corpus
        return _There(model, corpus, {}, [], {settings.model: model.content_hash()})
    bench = Workbench(config)
    edits: dict[str, Edit] = {}
    left_out: list[str] = []
    for subject in bench.subjects:
        if len(subject.sites) > 1:
            left_out.append(f"{subject.name} is of {len(subject.sites)} sites, and one is put in place here.")
            continue
        try:
            edits[subject.name] = _edit(config, subject)
        except SiteError as error:
            left_out.append(f"{subject.name}: {str(error).splitlines()[0]}.")
    return _There(bench.model, bench.settings.corpus, edits, left_out, bench.inputs())


def _edit(config: Spelling.Config, subject: Subject) -> Edit:
    change = ablate_latents(config.ablate) if config.ablate else None
    return splice(subject.sae, subject.sites[0], error_term=config.error_term, part=subject.part, change=change)


def _choice(config: Spelling.Config) -> WordChoice:
    return WordChoice(config.words, config.leading_space, config.least_letters, config.least_count)


def _texts(corpus: CorpusConfig) -> Iterable[str]:
    return (document.text for document in read_documents(corpus))


def _kept(work: Path, model: LanguageModel, exam: Examination, subject: str, edits: Sequence[Edit]) -> Answers:
    """The answers of one subject, read where they were written before."""
    file = work / exam.task.name / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', subject)}.json"
    if not file.is_file():
        get_display().say(f"{exam.task.name}: {subject}")
        write_answers(file, examine(model, exam, subject, edits))
    return read_answers(file, exam.task, subject)


def _result(config: Spelling.Config, there: _There, found: Sequence[Answers]) -> StudyResult:
    model = {answers.task.name: answers for answers in found if answers.subject == MODEL}
    others = [answers for answers in found if answers.subject != MODEL]
    replicates = {"n_replicates": config.n_replicates, "seed": config.seed}
    by_length = [row for each in found for row in grouped_rows(each, "word_length", length_of)]
    by_tokens = [row for each in found for row in grouped_rows(each, "n_tokens", lambda g: g.n_tokens)]
    with_classes = [each for each in found if each.task.classes is not None]
    by_answer = [row for each in with_classes for row in grouped_rows(each, "answer", lambda g: g.answer.strip())]
    accuracies = [row for each in found for row in accuracy_rows(each)]
    subjects = dict.fromkeys(each.subject for each in found)
    return StudyResult(
        title="How well the model spells",
        text=_text(config, there, found),
        tables={
            "accuracy": accuracies,
            "differences": [difference_row(model[each.task.name], each, **replicates) for each in others],
            "by_length": by_length,
            "by_tokens": by_tokens,
            "by_answer": by_answer,
            "grades": [row for each in found for row in grade_rows(each)],
            "prompts": [row for each in model.values() for row in prompt_rows(each)],
        },
        shown={"accuracy": _SHOWN} | dict.fromkeys(("by_length", "by_tokens", "by_answer", "grades", "prompts"), ()),
        metrics={name: [metric for each in found if each.subject == name for metric in metrics_of(each)] for name in subjects},
        figures=_figures(found, accuracies, by_length, by_tokens, by_answer),
        findings=findings_of(found, left_out=there.left_out, **replicates),
        inputs=there.inputs,
        seeds={"seed": config.seed},
    )


_SHOWN = ("task", "subject", "icl_length", "n_words", "accuracy", "accuracy_low", "accuracy_high", "choice_accuracy",
          "written_accuracy", "written_cut_accuracy", "answer_log_prob", "chance")  # fmt: skip


def _figures(
    found: Sequence[Answers],
    accuracies: Sequence[Row],
    by_length: Sequence[Row],
    by_tokens: Sequence[Row],
    by_answer: Sequence[Row],
) -> list[Figure]:
    """Maps of the tasks that the model can do: of the others there is nothing to see. Log-probabilities tell SAEs apart."""
    made: list[Figure | None] = [accuracy_dots(accuracies)]
    for answers in found:
        if answers.subject != MODEL or not can_do(answers):
            continue
        name = answers.task.name
        lengths, tokens = ([r for r in rows if (r["task"], r["subject"]) == (name, MODEL)] for rows in (by_length, by_tokens))
        made += [length_map(lengths, name), token_map(tokens, name)]
        if answers.task.classes is not None:
            made.append(answer_map([row for row in by_answer if row["task"] == name], answers.task))
    if len({answers.subject for answers in found}) > 1:
        made.append(log_prob_dots(accuracies))
    return [figure for figure in made if figure is not None]


def _text(config: Spelling.Config, there: _There, found: Sequence[Answers]) -> str:
    model = [answers for answers in found if answers.subject == MODEL]
    words = {letters_of(g.word) for answers in model for g in answers.grades}
    numbers = [str(n) for n in sorted(set(config.n_examples))]
    unable = [answers.task.name for answers in model if not can_do(answers)]
    in_place = list(dict.fromkeys(answers.subject for answers in found if answers.subject != MODEL))
    told = [f"In place: {', '.join(in_place)}, {_how(config)}."] if in_place else []
    if there.edits and not in_place:
        told = ["No SAE was put in place: there is no task for which that would tell anything."]
    return _TEXT.format(
        model=there.model.config.model,
        n_words=len(words),
        source=config.words or "its vocabulary",
        examples=" and ".join([", ".join(numbers[:-1]), numbers[-1]]) if len(numbers) > 1 else numbers[0],
        unable=f"**It cannot do {', '.join(unable)}.**" if unable else "It does all tasks better than guessing.",
        saes="\n" + " ".join([*told, *there.left_out]) + "\n" if told or there.left_out else "",
    )


def _how(config: Spelling.Config) -> str:
    kept = "with what they do not explain" if config.error_term else "without what they do not explain"
    changed = f", latents {', '.join(map(str, config.ablate))} set to zero" if config.ablate else ""
    return f"{kept}{changed}, on {'the words asked about' if config.where == 'words' else 'all tokens but special ones'}"
