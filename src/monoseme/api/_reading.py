"""`Reading`: a text as an SAE reads it: its tokens, their codes, and which latents fire.

Letters: S tokens, T tokens that reach the SAE, F latents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monoseme.api._latent_table import LatentTable
from monoseme.api._token_strip import TokenStrip
from monoseme.core.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from monoseme.saes import Codes


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What an SAE makes of a text. Shows the latents that fire most."""

    name: str
    """Of the SAE."""
    tokens: tuple[str, ...]
    """Display text of each of the S tokens."""
    codes: "Codes" = field(repr=False)
    """Of the T tokens that reach the SAE, in order."""
    reads: tuple[bool, ...] = field(repr=False)
    """Of each of the S tokens, whether it reaches the SAE: special tokens do not."""
    explanations: Mapping[int, str] = field(repr=False)
    """What is said of latents, where there is an atlas."""

    def dense(self, part: str | None = None) -> "Tensor":
        """The codes [T, F] as a dense tensor; of an SAE with codes at several sites, [T, L, F]."""
        return self.codes.dense(part)

    def strip(self, latent: int, *, part: str | None = None) -> TokenStrip:
        """The text, shaded by the activation of one latent. Raises ConfigError for a latent there is not."""
        codes = self._flat(part)
        if not 0 <= latent < codes.shape[1]:
            raise ConfigError(f"{self.name} has latents 0 to {codes.shape[1] - 1:,}, not {latent:,}")
        said = self.explanations.get(latent)
        title = f"{self.name}:{latent}" + (f" ({said})" if said else "")
        return TokenStrip(tokens=self.tokens, values=self._on_tokens(codes[:, latent]), title=title)

    def n_active(self, *, part: str | None = None) -> TokenStrip:
        """The text, shaded by how many latents are active on each token."""
        counts = (self._flat(part) != 0).sum(1).float()
        return TokenStrip(tokens=self.tokens, values=self._on_tokens(counts), title=f"{self.name}: active latents")

    def top_latents(self, n: int = 10, *, part: str | None = None) -> LatentTable:
        """The latents with the largest summed activation on this text: how often, how strongly and where they fire."""
        codes = self._flat(part).abs()
        order = codes.sum(0).topk(min(n, codes.shape[1])).indices.tolist() if len(codes) else []
        read = [token for token, reads in zip(self.tokens, self.reads, strict=True) if reads]
        rows = [
            {
                "latent": latent,
                "sum": float(codes[:, latent].sum()),
                "max": float(codes[:, latent].max()),
                "fires on": int((codes[:, latent] > 0).sum()),
                "strongest on": read[int(codes[:, latent].argmax())],
                **({"explanation": self.explanations.get(latent)} if self.explanations else {}),
            }
            for latent in order
            if float(codes[:, latent].max()) > 0
        ]
        return LatentTable(rows=rows, title=f"Latents of {self.name} on this text", note=f"{len(read):,} tokens read")

    def _flat(self, part: str | None) -> "Tensor":
        codes = self.codes.dense(part).detach().float()
        if codes.ndim != 2:
            raise ConfigError(f"{self.name} has codes at several sites; take `dense()` and choose one")
        return codes

    def _on_tokens(self, values: "Tensor") -> tuple[float | None, ...]:
        left = iter(values.tolist())
        return tuple(next(left) if reads else None for reads in self.reads)

    def __repr__(self) -> str:
        return f"{''.join(self.tokens)!r}\n{self.top_latents()!r}"

    def _repr_html_(self) -> str:
        return self.top_latents()._repr_html_()
