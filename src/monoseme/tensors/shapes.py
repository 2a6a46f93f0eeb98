"""Shape types, and the legend of the letters that name dimensions everywhere.

| letter | dimension |
|---|---|
| B | rows: tokens of a batch |
| N | rows of a sample |
| S | positions of a context |
| L | layers or sites |
| D | width of the model |
| F | latents |
| K | active latents of a row |
| V | vocabulary |
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Tensor"]
