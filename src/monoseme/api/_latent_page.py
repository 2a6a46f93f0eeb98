"""`LatentPage`: one latent of an atlas: what it is said to be, where it fires, what it writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monoseme.api._html import framed, heading, pairs, paragraph
from monoseme.api._token_strip import TokenStrip

if TYPE_CHECKING:
    from monoseme.atlas import Example
    from monoseme.atlas import LatentPage as AtlasPage
    from monoseme.web.embed import Embedded

_N_EXAMPLES = 5
_N_LOGITS = 8
_AROUND = 24
"""Tokens of an example shown before and after the firing (count)."""


@dataclass(frozen=True, kw_only=True)
class LatentPage:
    """What an atlas knows of a latent. `found` has all of it as typed values."""

    found: "AtlasPage"
    run: Path | None
    """Folder of the run; None for an atlas by itself."""

    @property
    def name(self) -> str:
        """`topk:17`."""
        return f"{self.found.key}:{self.found.latent}"

    @property
    def explanation(self) -> str | None:
        """The newest that was written; None where there is none."""
        return next((said.text for said in self.found.explanations if said.text), None)

    def example(self, rank: int = 0) -> TokenStrip:
        """The example of that rank by activation, with the latent's activation on each token. Raises IndexError."""
        return _strip(self.found.top[rank], top=self.found.stats.max)

    def interactive(self) -> "Embedded":
        """The page of the web app with its scripts inside; `.write(path)` makes a file. Raises ConfigError without a run."""
        from monoseme.core.errors import ConfigError
        from monoseme.web.embed import latent_page

        if self.run is None:
            raise ConfigError("this atlas is of no run, and the page shows latents of runs.\n  Look at it with:  monoseme serve")
        return latent_page(self.run, self.found.key, self.found.latent)

    def _facts(self) -> dict[str, str | None]:
        found, stats = self.found, self.found.stats
        promoted = ", ".join(repr(each.text) for each in found.top_logits[:_N_LOGITS])
        lowered = ", ".join(repr(each.text) for each in found.bottom_logits[:_N_LOGITS])
        scores = ", ".join(f"{one.name} {one.value:.2f}" for one in found.scores if one.value is not None)
        return {
            "said to be": self.explanation,
            "scores": scores or None,
            "fires on": f"{stats.density:.3%} of tokens ({stats.n_fired:,} of {stats.n_tokens:,})",
            "activation": None if stats.max is None else f"at most {stats.max:.3g}, on average {stats.mean or 0.0:.3g}",
            "raises": promoted or None,
            "lowers": lowered or None,
            "no examples": found.why_missing,
        }

    def __repr__(self) -> str:
        facts = [f"  {name}: {value}" for name, value in self._facts().items() if value is not None]
        strips = [self.example(i) for i in range(min(_N_EXAMPLES, len(self.found.top)))]
        texts = [f"  {''.join(strip.tokens)!r}" for strip in strips]
        return "\n".join([f"{self.name} at {self.found.site}", *facts, *texts])

    def _repr_html_(self) -> str:
        strips = [self.example(i).body() for i in range(min(_N_EXAMPLES, len(self.found.top)))]
        examples = [heading("Strongest examples"), *strips] if strips else [paragraph("No examples.")]
        return framed(f"{self.name} at {self.found.site}", pairs(self._facts()), *examples)


def _strip(example: "Example", *, top: float | None) -> TokenStrip:
    begin, end = max(0, example.focus - _AROUND), example.focus + _AROUND + 1
    return TokenStrip(
        tokens=example.texts[begin:end],
        values=example.values[begin:end],
        title=f"document {example.document}, token {example.position}: {example.value:.3g}",
        top=top,
    )
