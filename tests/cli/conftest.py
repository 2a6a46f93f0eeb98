"""A tiny model and text on disk for the command line."""

from tests.pipeline.conftest import corpus_file, model_folder

__all__ = ["corpus_file", "model_folder"]
