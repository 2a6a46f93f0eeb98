"""Explainers: one file each says what makes a latent fire."""

from monoseme.atlas.explain._registry import EXPLAINERS

__all__ = ["EXPLAINERS"]
