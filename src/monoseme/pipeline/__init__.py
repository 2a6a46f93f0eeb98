"""Stages put together: from a model and some text to a run's folder of artifacts."""

from monoseme.pipeline._folder import RUN_FILE, RunFolder

__all__ = ["RUN_FILE", "RunFolder"]
