"""The tiny model and text that pages are tried on."""

from tests.tiny_input import corpus_file, model_folder

__all__ = ["corpus_file", "model_folder"]
