"""What is put to a judge, one by one, and what is kept of what it says."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from monoseme.atlas.excerpts import Excerpt
from monoseme.atlas.judgements import Judgement
from monoseme.atlas.score._controls import Version

Kind = Literal["top", "decile", "silent", "near_miss", "random", "wrong_marks", "written"]
"""Why an excerpt was chosen: the strongest firings, a tenth of them, silent, silent where neighbours fire, any window, a firing
with the wrong tokens marked; or a sentence that a judge wrote."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """An excerpt with what is true of it."""

    excerpt: Excerpt
    fires: bool
    """Whether yes is the right answer: by the latent's real activations; for marked tokens, whether they are the ones."""
    kind: Kind
    marked: tuple[int, ...] = ()
    """Indices of the tokens that are shown as marked."""

    @property
    def decile(self) -> int | None:
        """The tenth of the latent's activations that a firing excerpt is from; None for any other."""
        return self.excerpt.decile if self.fires else None


class Verdict(NamedTuple):
    """What was said of one item; the fields are those of `Judgement`."""

    answer: float | None
    says: bool | None = None
    failure: str | None = None
    details: str = "{}"


def judgement_of(
    item: Item, verdict: Verdict, *, latent: int, version: Version, question: int | None, truth: float | None = None
) -> Judgement:
    """What is kept of a verdict on an item. No `question`: nothing was asked; no `truth`: what is right is whether it fires."""
    return Judgement(
        latent=latent,
        told=version.told,
        told_of=version.of,
        question=question,
        kind=item.kind,
        document=item.excerpt.document,
        position=item.excerpt.position,
        decile=item.decile,
        truth=float(item.fires) if truth is None else truth,
        **verdict._asdict(),
    )
