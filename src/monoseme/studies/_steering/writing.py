"""Texts that a model writes while it is steered, and what is measured of them by the model as it is.

Letters: n texts, S positions, V vocabulary.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from monoseme.models import Edit, Generation, LanguageModel, Site
from monoseme.studies._steering.outcome import Measured
from monoseme.studies._steering.texts import N_GRAMS, distinct, divergence, log_probabilities, n_of, surprise
from monoseme.studies._workbench import Subject
from monoseme.tensors.shapes import Bool, Float, Int, Tensor


class Way(NamedTuple):
    """How a text comes about: what is done to the model, or what it reads before the prompt."""

    edits: tuple[Edit, ...] = ()
    before: tuple[int, ...] = ()
    """Tokens between what begins a text and the prompt."""


class Ear(NamedTuple):
    """Latents of another SAE that listen for the concept."""

    subject: Subject
    latents: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A model and the prompts that it continues, always with the same seed: ways are compared text by text."""

    model: LanguageModel
    prompts: Sequence[Sequence[int]]
    n_tokens: int
    temperature: float
    top_p: float
    seed: int
    batch_size: int

    def write(self, way: Way) -> list[Generation]:
        """One text for each prompt; `prompt_ids` are those of the prompt alone."""
        placed = [_with_before(ids, way.before, self.model.bos_id) for ids in self.prompts]
        made = self.model.generate(
            placed,
            edits=way.edits,
            max_new_tokens=self.n_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
        )
        return [text._replace(prompt_ids=list(ids)) for text, ids in zip(made, self.prompts, strict=True)]

    def measure(self, texts: Sequence[Generation], way: Way, *, concept: Collection[int], ear: Ear | None) -> list[Measured]:
        """What the model as it is finds in the texts, which were written that way."""
        return [
            found
            for first in range(0, len(texts), self.batch_size)
            for found in self._measure(texts[first : first + self.batch_size], way, concept, ear)
        ]

    def _measure(self, texts: Sequence[Generation], way: Way, concept: Collection[int], ear: Ear | None) -> Iterator[Measured]:
        batch = _side_by_side([(text.prompt_ids, text.token_ids) for text in texts])
        site = None if ear is None else ear.subject.sites[0]
        plain = self.model.run(batch.tokens, real=batch.real, capture=[] if site is None else [site])
        is_plain = not way.edits and not way.before
        steered, spans = (plain.logits, batch.spans) if is_plain else self._steered_logits(texts, way)
        heard = None if ear is None else _heard(self.model, ear, plain.captured, batch)
        for i, text in enumerate(texts):
            log_q = log_probabilities(plain.logits[i, batch.spans[i]])
            kept = [token for token in text.token_ids if token not in self.model.special_ids]
            yield Measured(
                text=text.text,
                n_tokens=len(kept),
                n_scored=len(text.token_ids),
                n_concept=n_of(kept, concept),
                n_independent=None if heard is None else int(heard[i].sum()),
                surprise=surprise(log_q, torch.tensor(text.token_ids)),
                divergence=0.0 if is_plain else divergence(log_probabilities(steered[i, spans[i]]), log_q),
                distinct=tuple(distinct(kept, n) for n in N_GRAMS),
            )

    def _steered_logits(self, texts: Sequence[Generation], way: Way) -> tuple[Float[Tensor, "n S V"], list[slice]]:
        """What the tokens were chosen from, and where: the steered model reads the whole text at once."""
        batch = _side_by_side([(_with_before(t.prompt_ids, way.before, self.model.bos_id), t.token_ids) for t in texts])
        return self.model.run(batch.tokens, real=batch.real, edits=way.edits).logits, batch.spans


class _Batch(NamedTuple):
    """Texts side by side, padded on the right."""

    tokens: Int[Tensor, "n S"]
    real: Bool[Tensor, "n S"]
    spans: list[slice]
    """Where the logits of each text's generated tokens are."""


def _side_by_side(texts: Sequence[tuple[Sequence[int], Sequence[int]]]) -> _Batch:
    length = max(len(prompt) + len(new) for prompt, new in texts)
    tokens = torch.zeros(len(texts), length, dtype=torch.int64)
    real = torch.zeros(len(texts), length, dtype=torch.bool)
    for i, (prompt, new) in enumerate(texts):
        ids = [*prompt, *new]
        tokens[i, : len(ids)] = torch.tensor(ids)
        real[i, : len(ids)] = True
    return _Batch(tokens, real, [slice(len(prompt) - 1, len(prompt) + len(new) - 1) for prompt, new in texts])


def _with_before(prompt: Sequence[int], before: Sequence[int], bos: int | None) -> list[int]:
    """The prompt with tokens put before it, behind a BOS that begins it."""
    n_bos = int(bool(prompt) and prompt[0] == bos)
    return [*prompt[:n_bos], *before, *prompt[n_bos:]]


def _heard(model: LanguageModel, ear: Ear, captured: Mapping[Site, Tensor], batch: _Batch) -> Bool[Tensor, "n S"]:
    """Generated tokens on which one of the listening latents fires."""
    mask = model.editable(batch.tokens, batch.real)
    codes = ear.subject.placed.encode(captured, mask).sparse(ear.subject.part)
    listening = torch.tensor(ear.latents, dtype=codes.indices.dtype, device=codes.device)
    fires = torch.isin(codes.indices, listening) & (codes.values > 0)
    rows = torch.zeros(codes.n_rows, dtype=torch.bool)
    rows[codes.rows()[fires].cpu()] = True
    found = torch.zeros_like(batch.real)
    found[mask] = rows
    for i, span in enumerate(batch.spans):
        found[i, : span.start + 1] = False
    return found
