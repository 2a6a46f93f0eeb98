"""The one thread that runs language models for all pages."""

from monoseme.web.worker._worker import ModelLoader, ModelWorker

__all__ = ["ModelLoader", "ModelWorker"]
