"""One annotation of one SAE to be made: whether it is there, what asking for it would cost, and the making of it."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monoseme.atlas import Annotation, Atlas, Explainer, Explanation, Scorer, explain_latents, score_explanations
from monoseme.atlas.annotate import (
    cost_of_explaining,
    cost_of_scoring,
    explainer_facts,
    find_annotation,
    find_explanations,
    scorer_facts,
)
from monoseme.atlas.annotations import check_free, read_explanations, read_scores
from monoseme.atlas.coder import Coder
from monoseme.core.errors import ConfigError
from monoseme.judges import Estimate

_TYPICAL = "words that often come at the end of a sentence, mostly after the name of a place or of a person"
"""Stands for an explanation that is not written yet, where the cost of scoring it is told."""


@dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """An annotation to be made."""

    sae: str
    label: str

    @property
    @abstractmethod
    def name(self) -> str:
        """What it does, in words."""

    @abstractmethod
    def estimate(self, atlas: Atlas) -> Estimate | None:
        """What it would ask, and for how much; None where no judge is asked."""

    @abstractmethod
    def take(self, atlas: Atlas) -> Annotation:
        """Make it. Raises ArtifactExistsError where it is there."""

    @abstractmethod
    def made(self, annotation: Annotation, atlas: Atlas) -> bool:
        """Whether an annotation is what this step would make."""

    @abstractmethod
    def lacking(self, annotation: Annotation) -> Mapping[str, int]:
        """How many entries of what it made have no value, by the reason."""

    def found(self, atlas: Atlas) -> Annotation | None:
        """The annotation under its label."""
        return next((part for part in atlas.annotations(self.sae) if part.label == self.label), None)

    def check_free(self, atlas: Atlas) -> None:
        """Raises ArtifactExistsError where something is there under its label."""
        check_free(atlas.path, self.sae, self.label)


@dataclass(frozen=True, kw_only=True)
class ExplainStep(Step):
    """Explanations of some latents."""

    explainer: Explainer
    latents: Sequence[int]

    @property
    def name(self) -> str:
        """Such as: explain 50 latents of topk by llm_top."""
        return f"explain {len(self.latents):,} latents of {self.sae} by {self.explainer.plugin_name}"

    def estimate(self, atlas: Atlas) -> Estimate | None:
        """The cost of all its questions."""
        return cost_of_explaining(atlas, self.sae, self.explainer, self.latents)

    def take(self, atlas: Atlas) -> Annotation:
        """Ask and write."""
        return explain_latents(atlas, self.sae, explainer=self.explainer, latents=self.latents, label=self.label)

    def made(self, annotation: Annotation, atlas: Atlas) -> bool:
        """Whether it explains these latents with these settings."""
        del atlas
        if not _holds(annotation, explainer_facts(self.explainer)):
            return False
        return [said.latent for said in read_explanations(annotation)] == list(self.latents)

    def lacking(self, annotation: Annotation) -> Mapping[str, int]:
        """Latents without an explanation."""
        return Counter(str(said.why_missing) for said in read_explanations(annotation) if said.text is None)


@dataclass(frozen=True, kw_only=True)
class ScoreStep(Step):
    """Scores of the explanations under another label."""

    scorer: Scorer
    explanations: str
    planned: Sequence[int] = ()
    """The latents that will be explained under that label, where they are not yet."""
    latents: Sequence[int] | None = None
    """Those whose explanations are scored; None: all that were explained."""
    coder: Callable[[str], Coder] | None = None
    """Gives what runs the SAE of that name on new text; None where no model is known."""

    @property
    def name(self) -> str:
        """Such as: score offline of topk by detection."""
        return f"score {self.explanations} of {self.sae} by {self.scorer.plugin_name}"

    def estimate(self, atlas: Atlas) -> Estimate | None:
        """The cost of all its questions; of explanations that are not written yet, with a phrase of usual length for each."""
        if self.scorer.desk is None:
            return None
        if any(part.label == self.explanations for part in atlas.annotations(self.sae)):
            _, said = find_explanations(atlas, self.sae, self.explanations, latents=self.latents)
        else:
            said = [Explanation(latent=latent, text=f"{_TYPICAL} {latent}") for latent in self.planned]
        return cost_of_scoring(atlas, self.sae, self.scorer, said)

    def take(self, atlas: Atlas) -> Annotation:
        """Ask and write. Raises ConfigError where the scorer runs the SAE and the model is not known."""
        if self.scorer.needs_coder:
            if self.coder is None:
                raise ConfigError(
                    f"{self.scorer.plugin_name} runs the SAE on new text, but an atlas alone has no model.\n"
                    "  Name the run that it is of instead of its atlas."
                )
            self.scorer.coder = self.coder(self.sae)
        return score_explanations(
            atlas, self.sae, explanations=self.explanations, scorer=self.scorer, latents=self.latents, label=self.label
        )

    def made(self, annotation: Annotation, atlas: Atlas) -> bool:
        """Whether it scores these explanations with these settings."""
        source = find_annotation(atlas, self.sae, self.explanations)
        of = annotation.artifact.inputs.get("explanations")
        if of != source.artifact.content_hash or not _holds(annotation, scorer_facts(self.scorer)):
            return False
        _, said = find_explanations(atlas, self.sae, self.explanations, latents=self.latents)
        return {score.latent for score in read_scores(annotation)} == {one.latent for one in said}

    def lacking(self, annotation: Annotation) -> Mapping[str, int]:
        """Latents without the scorer's first number."""
        first = next(iter(self.scorer.definitions))
        scores = (score for score in read_scores(annotation) if score.name == first and score.decile is None)
        return Counter(str(score.why_missing) for score in scores if score.value is None)


def _holds(annotation: Annotation, facts: Mapping[str, Any]) -> bool:
    config = annotation.artifact.config
    return all(config.get(name) == value for name, value in facts.items())
