"""Scorers: one file each measures how well an explanation tells a latent's firings from other text."""

from monoseme.atlas.score._registry import SCORERS

__all__ = ["SCORERS"]
