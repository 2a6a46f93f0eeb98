"""What a foreign file says of latents, as plain values; everything in it was written by others and is shown, never run."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from monoseme.atlas.said import Explanation, Score


@dataclass(frozen=True, kw_only=True)
class NotedExample:
    """A stretch of text on which a latent fires, as another tool shows it."""

    latent: int
    texts: tuple[str, ...]
    """Tokens as that tool writes them."""
    values: tuple[float, ...]
    """Activation on each of them; as a rule 0 also where it is not known."""
    focus: int | None = None
    """Index of the token that it is an example of; None where the file does not say it."""
    tokens: tuple[int, ...] | None = None
    """Ids of the tokens; None where there are none."""
    layer: int | None = None
    """Block of the model, counted from 0; None where the file does not say it."""
    group: str = ""
    """What the tool files it under: `top`, an interval of activations."""


def _none() -> Iterator[NotedExample]:
    return iter(())


@dataclass(frozen=True, kw_only=True)
class Notes:
    """All that is taken over from a file or a folder."""

    explanations: tuple[Explanation, ...] = ()
    scores: tuple[Score, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name of each score -> what it is. The first is the one that tables show."""
    examples: Callable[[], Iterator[NotedExample]] = _none
    """Reads the examples, one after the other; each call begins anew."""
    lost: tuple[str, ...] = ()
    """What else is there and does not come along, and why."""
