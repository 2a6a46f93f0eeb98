"""Judges for tests of scorers, and evidence that keeps the codes of the whole planted source."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from atlas_fakes import SITE, planted_source

from monoseme.atlas import Atlas
from monoseme.atlas.evidence import Evidence
from monoseme.atlas.kept_codes import KeptCodes
from monoseme.judges import Answer, Desk, Judge, Question, Reply, read_reply


def kept_codes(document: np.ndarray, position: np.ndarray, context: np.ndarray, dense: np.ndarray) -> KeptCodes:
    """Kept codes of tokens with dense codes [M, F]."""
    rows, latents = np.nonzero(dense)
    by_latent = np.lexsort((rows, latents))
    starts = np.nonzero(np.diff(context, prepend=-1))[0]
    return KeptCodes(
        document=document,
        position=position,
        contexts=np.append(starts, len(document)),
        ordinals=context[starts],
        token_offsets=np.searchsorted(rows, np.arange(len(document) + 1)),
        token_latents=latents.astype(np.int32),
        token_values=dense[rows, latents].astype(np.float32),
        latent_offsets=np.searchsorted(latents[by_latent], np.arange(dense.shape[1] + 1)),
        latent_rows=rows[by_latent].astype(np.int32),
        latent_values=dense[rows, latents][by_latent].astype(np.float32),
    )


class KeptEvidence(Evidence):
    """Evidence of the planted source whose codes are all kept."""

    @cached_property
    def kept(self) -> KeptCodes:
        found = [
            (
                block.documents[block.mask],
                block.positions[block.mask],
                number * 11 + contexts,
                block.activations[SITE][block.mask],
            )
            for number, block in enumerate(planted_source().given)
            for contexts in [torch.arange(11)[:, None].expand_as(block.mask)[block.mask]]
        ]
        return kept_codes(*(torch.cat(column).numpy() for column in zip(*found, strict=True)))


def kept_evidence(planted: Atlas) -> KeptEvidence:
    return KeptEvidence(planted.latents("topk"), planted.text)


class FakeJudge(Judge):
    """Answers by a function of the question."""

    plugin_name = "fake"

    def __init__(self, says: Callable[[Question], str | Reply]) -> None:
        super().__init__(self.Config(model="fake"))
        self.says, self.asked = says, list[Question]()

    def answer(self, question: Question) -> Reply:
        self.asked.append(question)
        said = self.says(question)
        return said if isinstance(said, Reply) else Reply(text=said)

    def count_tokens(self, question: Question) -> int | None:
        return sum(len(message.text) for message in question.messages)


class PlainDesk(Desk):
    """A desk without a ledger: the real one syncs a file for each answer, which takes longer than the scores do."""

    def answers(self, questions: Iterable[Question]) -> Iterator[Answer]:
        return (read_reply(question, self.judge.answer(question)) for question in questions)


@dataclass
class Desks:
    """Makes desks of fake judges in fresh folders."""

    folder: Path
    n: int = 0

    def __call__(self, says: Callable[[Question], str | Reply]) -> Desk:
        self.n += 1
        return PlainDesk(FakeJudge(says), self.folder / str(self.n))


def told(question: Question) -> str | None:
    """The explanation in a question; None where there is none."""
    found = re.search(r'fires on: (".*?")$', question.messages[-1].text, re.MULTILINE)
    return None if found is None else json.loads(found[1])


def lines(question: Question) -> dict[str, str]:
    """The numbered lines of a question by name."""
    found = re.findall(r'^(\w+_\d+): (".*")$', question.messages[-1].text, re.MULTILINE)
    return {name: json.loads(text) for name, text in found}


def reader(grades: Callable[[str | None, str], int]) -> Callable[[Question], str]:
    """A judge that grades each line from the explanation and the line's text."""

    def says(question: Question) -> str:
        answer: dict[str, Any] = {name: grades(told(question), text) for name, text in lines(question).items()}
        return json.dumps(answer)

    return says
