"""The tokenizer that a foreign store was made with, named by the user."""

from pathlib import Path

from monoseme.core.errors import ConfigError
from monoseme.text.tokenizer import TextTokenizer


def load_tokenizer(name: str) -> TextTokenizer:
    """The tokenizer at a path (a model's folder, or a tokenizer.json) or hub id. Raises ConfigError if it cannot be had."""
    try:
        if Path(name).is_file():
            from tokenizers import Tokenizer

            return TextTokenizer(Tokenizer.from_file(name))
        from transformers import AutoTokenizer

        return TextTokenizer(AutoTokenizer.from_pretrained(name))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f'no tokenizer "{name}": {str(error).splitlines()[0]}\n  Give the folder of its model, or a hub id.'
        ) from error
