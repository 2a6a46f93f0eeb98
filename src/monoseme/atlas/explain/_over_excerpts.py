"""What explainers over excerpts share: they differ in which excerpts they show, and in what they ask of them."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from pydantic import BaseModel

from monoseme.atlas.excerpts import Excerpt, Excerpts
from monoseme.atlas.explain._asking import Asked, AskingExplainer, Explained
from monoseme.atlas.explain._prompts import ANSWER, MARKS, UNIT, cropped, line, quoted, unit_of
from monoseme.atlas.prompts import numbered, question
from monoseme.core.errors import ConfigError
from monoseme.judges import Desk


class Shown(NamedTuple):
    """The excerpts of one latent."""

    active: Sequence[Excerpt]
    silent: Sequence[Excerpt] = ()
    why_missing: str | None = None
    """Why they are not enough to ask; None where they are."""


class ExcerptExplainer(AskingExplainer):
    """Shows excerpts with their active tokens marked, and asks what makes the unit active."""

    task: ClassVar[str]
    """What is to be found, after the unit and the marks were explained."""
    active_name: ClassVar[str] = "excerpt"
    """What excerpts on which it fires are called in the question."""

    @dataclass(frozen=True, kw_only=True)
    class Config(AskingExplainer.Config):
        """How excerpts are shown."""

        n_tokens: int | None = None
        """Tokens of an excerpt at most (count), for judges with a short context. None: as many as the atlas keeps."""
        mark_above: float = 0.3
        """Tokens whose activation is at least this share of the excerpt's strongest are marked, in [0, 1]."""
        n_logit_tokens: int = 10
        """Tokens that the latent makes likelier, told beside the excerpts where the atlas knows them (count); 0: none."""
        fewest_firings: int = 4
        """Latents with fewer excerpts in the explaining documents stay unexplained (count)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if self.n_tokens is not None and self.n_tokens < 1:
                raise ConfigError(f"n_tokens must be at least 1, not {self.n_tokens}")
            if not 0 <= self.mark_above <= 1:
                raise ConfigError(f"mark_above must be from 0 to 1, not {self.mark_above}")
            if self.n_logit_tokens < 0 or self.fewest_firings < 1:
                raise ConfigError("n_logit_tokens must be 0 or more and fewest_firings at least 1")

    def __init__(self, config: Config | None = None, *, desk: Desk | None = None) -> None:
        super().__init__(config, desk=desk)
        self.config = config or self.Config()

    @abstractmethod
    def choose(self, excerpts: Excerpts, latent: int) -> Shown:
        """The excerpts to show, of documents that explain."""

    def ask(self, excerpts: Excerpts, latent: int) -> Asked:
        """The question over the chosen excerpts; none where they are too few."""
        found = self.choose(excerpts, latent)
        n_active = len(found.active)
        if n_active < self.config.fewest_firings:
            return Asked(None, f"too few sampled firings to explain it from: {n_active}", n_firings=n_active)
        if found.why_missing is not None:
            return Asked(None, found.why_missing, n_firings=n_active)
        system = f"{UNIT} {MARKS} {self.task} {ANSWER}"
        return Asked(
            question(system, self._user(excerpts, latent, found), Explained, max_tokens=self.config.max_tokens),
            n_firings=n_active,
            n_background=sum(len(excerpt.tokens) for excerpt in found.silent),
            details={"shown": _places(found.active), "shown_silent": _places(found.silent)},
        )

    def read(self, value: BaseModel) -> tuple[str, dict[str, Any]]:
        """The explanation; reasoning and certainty beside it."""
        said = Explained.model_validate(value, from_attributes=True)
        return said.explanation, {"certainty": said.certainty / 10, "reasoning": said.reasoning}

    def label(self, excerpt: Excerpt) -> str:
        """What stands before an excerpt on which it fires; nothing unless an explainer says more."""
        del excerpt
        return ""

    def _user(self, excerpts: Excerpts, latent: int, found: Shown) -> str:
        """Excerpts, then what the latent writes."""
        unit = unit_of(found.active)
        active = [self.label(excerpt) + self._line(excerpt, unit) for excerpt in found.active]
        parts = [numbered(active, name=self.active_name)]
        if found.silent:
            parts.append(numbered([self._line(excerpt, unit) for excerpt in found.silent], name="silent"))
        raised = (excerpts.evidence.latents.row(latent)["top_texts"] or [])[: self.config.n_logit_tokens]
        if raised:
            parts.append(f"Tokens that the unit makes likelier to come next: {quoted(raised)}")
        return "\n\n".join(parts)

    def _line(self, excerpt: Excerpt, unit: float) -> str:
        return line(cropped(excerpt, self.config.n_tokens), unit=unit, mark_above=self.config.mark_above)


def _places(excerpts: Sequence[Excerpt]) -> list[list[int]]:
    return [[excerpt.document, excerpt.position] for excerpt in excerpts]
