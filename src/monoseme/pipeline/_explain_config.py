"""How the explain stage works: which plug-ins, on which latents."""

from dataclasses import dataclass

from monoseme.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ExplainConfig:
    """Which explainer and scorer, and how many latents."""

    explainer: str = "offline"
    """Plug-in that writes explanations: monoseme ls explainers."""
    scorer: str | None = "detection"
    """Plug-in that scores them on documents that made none of them: monoseme ls scorers. None: no scores."""
    most_latents: int | None = None
    """Explain only the first so many latents (count). None: all of them."""

    def __post_init__(self) -> None:
        if self.most_latents is not None and self.most_latents < 1:
            raise ConfigError(f"atlas.explain.most_latents must be at least 1, not {self.most_latents}")
