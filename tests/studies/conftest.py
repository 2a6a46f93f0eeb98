"""The tiny model and text of the pipeline's tests."""

from tests.pipeline.conftest import corpus_file, model_folder

__all__ = ["corpus_file", "model_folder"]
