"""What is exported of one (SAE, part): chosen latents, with one part of explanations and its scores.

Letters: F latents, D model width.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monoseme.atlas.annotations import Annotation, read_explanations, read_scores
from monoseme.atlas.atlas import Atlas
from monoseme.atlas.pages import Decile, Example, Histogram, LatentStats, TokenLogit
from monoseme.atlas.relations.reading import Relations, open_relations
from monoseme.atlas.said import Explanation, Score
from monoseme.atlas.sentences.reader import Sentences, open_sentences
from monoseme.core.errors import ArtifactMissingError
from monoseme.models.site import Site


class ExportedLatent(NamedTuple):
    """One latent, without what is said of it."""

    latent: int
    stats: LatentStats
    histogram: Histogram | None
    top: tuple[Example, ...]
    deciles: tuple[Decile, ...]
    """From the weakest tenth to the strongest."""
    top_logits: tuple[TokenLogit, ...]
    bottom_logits: tuple[TokenLogit, ...]


class ScannedText(NamedTuple):
    """What the manifest says of the text; None where it does not."""

    corpus: str | None
    context_len: int | None
    """Tokens of a context (count)."""
    n_contexts: int | None
    """Contexts that were scanned (count)."""


class ExportPart:
    """The chosen latents of one (SAE, part), read one after the other."""

    def __init__(
        self,
        atlas: Atlas,
        key: str,
        *,
        numbers: Sequence[int],
        explanations: Annotation | None = None,
        scores: Annotation | None = None,
        decoder: NDArray[np.float32] | None = None,
    ) -> None:
        """`decoder` [F, D] is what latents write; None leaves vectors out. Raises ConfigError for a number without a latent."""
        self.key = key
        """The (SAE, part) in the atlas."""
        self.latents, self.text, self.numbers = atlas.latents(key), atlas.text, tuple(numbers)
        for number in self.numbers:
            self.latents.check_latent(number)
        self._atlas = atlas.path
        self.explanations, self.scores, self.decoder = explanations, scores, decoder
        chosen = set(self.numbers)
        said = read_explanations(explanations) if explanations else []
        self.explained: dict[int, Explanation] = {one.latent: one for one in said if one.latent in chosen}
        self.scored: dict[int, dict[str, Score]] = {}
        for score in read_scores(scores) if scores else []:
            if score.latent in chosen and score.decile is None:
                self.scored.setdefault(score.latent, {})[score.name] = score

    @property
    def site(self) -> Site:
        """Where the SAE reads."""
        return Site.parse(self.latents.site)

    @property
    def headline(self) -> str | None:
        """Name of the score that tables show."""
        return str(self.scores.artifact.config["headline"]) if self.scores else None

    @property
    def started(self) -> str:
        """When the latents were scanned (UTC, ISO 8601): the date that exports carry, so that the same atlas exports alike."""
        return str(self.latents.artifact.environment.get("started", "1970-01-01T00:00:00+00:00"))

    def scanned_text(self) -> ScannedText:
        """Corpus, length and number of contexts, as far as the manifest tells."""
        source = _table(self.latents.artifact.config.get("source"))
        corpus = _table(_table(_table(source.get("plan")).get("text")).get("corpus"))
        blocks, per_block = source.get("first_blocks"), source.get("contexts_per_block")
        scanned = blocks * per_block if isinstance(blocks, int) and isinstance(per_block, int) else None
        name, length = corpus.get("source"), corpus.get("context_len")
        return ScannedText(None if name is None else str(name), length if isinstance(length, int) else None, scanned)

    @functools.cached_property
    def relations(self) -> Relations | None:
        """How its latents go together; None where they were not related."""
        return open_relations(self._atlas, self.latents)

    def sentences(self) -> Sentences | None:
        """Its ranked sentences, as llama3_interpretability_sae ranks them where they were; None where there are none."""
        try:
            return open_sentences(self._atlas, self.latents, self.text, as_llama3=True)
        except ArtifactMissingError:
            return open_sentences(self._atlas, self.latents, self.text)

    @functools.cached_property
    def firing(self) -> tuple[int, ...]:
        """The chosen latents that fired at all."""
        fired = self.latents.column("n_fired")
        return tuple(number for number in self.numbers if fired[number])

    def pages(self, numbers: Sequence[int]) -> Iterator[ExportedLatent]:
        """Some of the chosen latents, in that order; one is in memory at a time."""
        for number in numbers:
            row = self.latents.row(number)
            shown = self.latents.examples(row)
            logits = (self.latents.logits(row, end) for end in ("top", "bottom"))
            yield ExportedLatent(
                number, self.latents.stats(row), self.latents.histogram(number), shown.top, shown.deciles, *logits
            )


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
