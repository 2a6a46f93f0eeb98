"""Explainers: one file each says what makes a latent fire."""

from monoseme.atlas.explain._registry import explainers

__all__ = ["explainers"]
