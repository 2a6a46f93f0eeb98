"""Text as spans shaded by how strongly a latent fires on each token."""

from typing import NamedTuple

from monoseme.reports._data import LatentSample, TokenExample

_VISIBLE = {"\n": "↵\n", "\t": "⇥\t", "\r": "␍"}


class Span(NamedTuple):
    """One token as the page shows it; its text still has to be escaped."""

    text: str
    heat: float
    """0 to 1, relative to the strongest token of the latent; negative codes shade like positive ones."""
    tip: str


class Passage(NamedTuple):
    """One example."""

    source: str
    strongest: str
    spans: tuple[Span, ...]


def passages(sample: LatentSample) -> list[Passage]:
    """The latent's examples; one scale for all of them, so that shades compare."""
    top = max((abs(v) for example in sample.examples for v in example.values), default=0.0)
    return [_passage(example, top) for example in sample.examples]


def _passage(example: TokenExample, top: float) -> Passage:
    spans = [
        Span(visible(token), round(abs(v) / top, 3) if top else 0.0, f"{v:.3g}" if v else "does not fire")
        for token, v in zip(example.tokens, example.values, strict=True)
    ]
    strongest = max(example.values, key=abs, default=0.0)
    return Passage(example.source, f"{strongest:.3g}", tuple(spans))


def visible(token: str) -> str:
    """The token with marks for line ends and tabs, which would shade nothing by themselves."""
    return "".join(_VISIBLE.get(c, c) for c in token)
