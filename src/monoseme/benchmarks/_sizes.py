"""The sizes that are timed."""

from typing import NamedTuple

from monoseme.core.config import suggest
from monoseme.core.errors import ConfigError


class Sizes(NamedTuple):
    """One size of SAE and batch."""

    name: str
    d_model: int
    n_latents: int
    k: int
    batch: int
    """Vectors of a step (count), whatever the view: 2,048 tokens, 1,024 pairs or 512 tokens at four sites."""


_ALL = (
    Sizes("A", 512, 8192, 32, 2048),
    Sizes("B", 768, 24576, 32, 2048),
    Sizes("sweep", 256, 2048, 32, 2048),
    Sizes("tiny", 48, 208, 5, 96),  # for tests, and to try the command out
)


def sizes_named(name: str) -> Sizes:
    """The sizes of that name. Raises ConfigError with what there is."""
    for sizes in _ALL:
        if sizes.name == name:
            return sizes
    names = [sizes.name for sizes in _ALL]
    raise ConfigError(f'there is no benchmark of size "{name}".{suggest(name, names)}\n  Allowed: {", ".join(names)}')
