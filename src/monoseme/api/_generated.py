"""`Generated`: texts that a model went on with, as it is and steered, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monoseme.api._html import framed, heading, paragraph
from monoseme.api._token_strip import TokenStrip
from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError

if TYPE_CHECKING:
    from monoseme.pipeline import Written

DEFAULT, STEERED = "default", "steered"


@dataclass(frozen=True, kw_only=True)
class Generated:
    """Continued texts: `default` without steering, `steered` where there was something to steer with; of one seed."""

    prompts: tuple[str, ...]
    arms: "Mapping[str, tuple[Written, ...]]" = field(repr=False)
    """Way of writing -> the continued texts, one for each prompt."""
    steered_with: tuple[str, ...] = ()
    """LATENT=STRENGTH of each."""

    @property
    def default(self) -> tuple[str, ...]:
        """The new text of each prompt without steering. Raises ConfigError where it was not written."""
        return self._texts(DEFAULT)

    @property
    def steered(self) -> tuple[str, ...]:
        """The new text of each prompt with steering. Raises ConfigError where nothing steered."""
        return self._texts(STEERED)

    @property
    def watched(self) -> tuple[str, ...]:
        """Latents whose activations were told."""
        return tuple(dict.fromkeys(name for texts in self.arms.values() for text in texts for name in text.values))

    def strip(self, latent: str, *, arm: str = DEFAULT, prompt: int = 0) -> TokenStrip:
        """A whole text, shaded by the activation of a watched latent (such as topk:17). Raises ConfigError, IndexError."""
        if latent not in self.watched:
            raise ConfigError(f'"{latent}" was not watched.{suggest(latent, self.watched)}\n  Watched: {", ".join(self.watched)}')
        written = self._arm(arm)[prompt]
        return TokenStrip(tokens=written.tokens, values=written.values[latent], title=f"{arm}, {latent}", top=self._top(latent))

    def _texts(self, arm: str) -> tuple[str, ...]:
        return tuple(written.generation.text for written in self._arm(arm))

    def _arm(self, arm: str) -> "tuple[Written, ...]":
        if arm not in self.arms:
            raise ConfigError(f'nothing was written "{arm}".\n  There is: {", ".join(self.arms)}')
        return self.arms[arm]

    def _top(self, latent: str) -> float:
        """The same shade means the same in all texts."""
        values = [abs(v) for texts in self.arms.values() for text in texts for v in text.values[latent] if v is not None]
        return max(values, default=0.0)

    def _title(self) -> str:
        return f"Steered with {', '.join(self.steered_with)}" if self.steered_with else "Generated"

    def __repr__(self) -> str:
        lines = [self._title()]
        for i, prompt in enumerate(self.prompts):
            lines += [f"{prompt!r}", *(f"  {arm}: {self._texts(arm)[i]!r}" for arm in self.arms)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts: list[str] = []
        for i, prompt in enumerate(self.prompts):
            cells = "".join(f'<div style="flex:1 1 280px;min-width:0">{self._shown(arm, i)}</div>' for arm in self.arms)
            parts += [heading(prompt), f'<div style="display:flex;flex-wrap:wrap;gap:24px">{cells}</div>']
        note = f"shaded by {', '.join(self.watched)}" if self.watched else ""
        return framed(self._title(), *parts, note=note)

    def _shown(self, arm: str, i: int) -> str:
        head = heading(arm)
        if not self.watched:
            return head + paragraph(self._texts(arm)[i])
        strips = (self.strip(latent, arm=arm, prompt=i).body() for latent in self.watched)
        return head + "".join(strips)
