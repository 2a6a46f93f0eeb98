"""The language model and the text that ship inside the package."""

from monoseme.bundled.places import model_folder, stories_file

__all__ = ["model_folder", "stories_file"]
