"""LLM over sentences, by the protocol of llama3_interpretability_sae: key words, themes, outliers, certainty, a common meaning.

Source: Pauls 2024, llama3_interpretability_sae (interpret_top_sentences_send_batches.py and its parser): numbered sentences in
tags, the best last; instructions to list key words, group them into themes, name outliers, judge certainty and show reasoning;
an answer with a common meaning that is not empty and a certainty in [0, 1]. The words are our own, and the answer is one
structured object, with certainty in tenths, where the original takes the last {...} of a free text.

Differs from it: held-out documents are left out, so that explanations can be scored, and latents with fewer than 50 sentences are
explained too. `as_llama3` takes what the original takes: the last 50 of the best 100, whatever their documents, from sentences
that count for the one latent that is largest on them. Explanations so made are not scored.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

from monoseme.atlas.evidence import Evidence
from monoseme.atlas.excerpts import Excerpts
from monoseme.atlas.explain._asking import Asked, AskingExplainer, Certainty
from monoseme.atlas.prompts import question
from monoseme.atlas.sentences import RankedSentence, Sentences, open_sentences
from monoseme.atlas.split import is_heldout
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk

_MOST_CHARACTERS = 600
"""Shown of a sentence (count)."""
_SYSTEM = """You study one unit inside a language model. The numbered sentences inside <sentences> are those on which it is most \
active, the strongest last. Each is a JSON string.
1. Read all of them.
2. List the words and phrases that come back, or that carry the meaning (key_words).
3. Group these into themes, the most frequent first (themes).
4. Name the sentences that fit no theme (outliers).
5. Weigh whether most sentences, the last ones above all, share one meaning, and how specific it is.
6. Write down how you come to your conclusion in a few sentences (reasoning).
7. Say in one phrase what the sentences have in common, in meaning or in form (common_semantic).
8. Say how certain you are that this is what the unit stands for: 0 not at all, 10 completely (certainty).
Answer in one JSON object with these six fields."""


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("common_semantic is empty")
    return text


class CommonMeaning(BaseModel):
    """What the sentences have in common."""

    model_config = ConfigDict(extra="forbid")

    key_words: list[str]
    themes: list[str]
    outliers: list[str]
    reasoning: str
    common_semantic: Annotated[str, AfterValidator(_not_empty)]
    certainty: Certainty


class LlmSentences(AskingExplainer):
    """Explains from the sentences on which the latent is largest."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AskingExplainer.Config):
        """Which sentences."""

        max_tokens: int = 2048
        """Tokens of an answer at most (count); one that is longer is a failure."""
        aggregation: Literal["mean", "max", "last"] = "mean"
        """What of a latent's activations over the tokens of a sentence ranks it."""
        n_sentences: int = 50
        """Sentences shown (count)."""
        fewest_sentences: int = 5
        """Latents with fewer sentences that explain stay unexplained (count)."""
        as_llama3: bool = False
        """Show what llama3_interpretability_sae shows: the last 50 of the best 100, held-out ones among them; latents with
        fewer stay unexplained. What it explains is not scored."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 1 <= self.fewest_sentences <= self.n_sentences:
                raise ConfigError(f"fewest_sentences must be from 1 to n_sentences ({self.n_sentences}).")
            if self.as_llama3 and self.n_sentences != type(self).n_sentences:
                raise ConfigError("as_llama3 shows 50 sentences, so n_sentences would not be used.")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()
        self._opened: dict[Path, Sentences] = {}

    @property
    def uses_heldout(self) -> bool:
        """Whether all documents were taken."""
        return self.config.as_llama3

    def ask(self, excerpts: Excerpts, latent: int) -> Asked:
        """The question over the latent's best sentences. Raises ConfigError for an atlas without sentences."""
        shown = self._shown(self._sentences(excerpts.evidence), latent)
        fewest = 1 if self.config.as_llama3 else self.config.fewest_sentences
        if len(shown) < fewest:
            least = "50 sentences, as llama3_interpretability_sae asks for" if self.config.as_llama3 else f"{fewest} sentences"
            return Asked(None, f"fewer than {least}, to explain it from", n_firings=len(shown))
        told = "\n".join(f"{i + 1}. {_quoted(sentence.text)}" for i, sentence in enumerate(shown))
        return Asked(
            question(_SYSTEM, f"<sentences>\n{told}\n</sentences>", CommonMeaning, max_tokens=self.config.max_tokens),
            n_firings=len(shown),
            details={"shown": [[sentence.document, sentence.position] for sentence in shown]},
        )

    def read(self, value: BaseModel) -> tuple[str, dict[str, Any]]:
        """The common meaning; all else beside it."""
        said = CommonMeaning.model_validate(value, from_attributes=True).model_dump()
        return said.pop("common_semantic"), said | {"certainty": said["certainty"] / 10}

    def _shown(self, sentences: Sentences, latent: int) -> tuple[RankedSentence, ...]:
        """The sentences to show, the best last."""
        if self.config.as_llama3:
            return sentences.shown_as_llama3(latent, self.config.aggregation) or ()
        best = sentences.best(latent, self.config.aggregation)
        heldout = is_heldout(np.array([sentence.document for sentence in best], dtype=np.int64)).tolist()
        explaining = [sentence for sentence, is_out in zip(best, heldout, strict=True) if not is_out]
        return tuple(reversed(explaining[: self.config.n_sentences]))

    def _sentences(self, evidence: Evidence) -> Sentences:
        atlas = evidence.latents.artifact.path.parent.parent
        if atlas not in self._opened:
            found = open_sentences(atlas, evidence.latents, evidence.text, as_llama3=self.config.as_llama3)
            if found is None:
                raise ConfigError(
                    f"the atlas {atlas} ranks no sentences of {evidence.latents.key}.\n"
                    "  Scan with them:  monoseme scan RUN --sentences best"
                )
            self._opened[atlas] = found
        return self._opened[atlas]


def _quoted(text: str) -> str:
    """The sentence as a JSON string in which no tag can stand."""
    cut = text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
    return json.dumps(cut, ensure_ascii=False).replace("<", "\\u003c")
