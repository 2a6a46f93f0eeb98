"""Where the shipped files lie in this installation."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def model_folder() -> Path:
    """The bundled language model, in Hugging Face layout."""
    return _HERE / "model"


def stories_file() -> Path:
    """The bundled stories: JSON lines with the field `text`, compressed with gzip."""
    return _HERE / "stories.jsonl.gz"
