"""Foreign stores of activations: one file per format, read block by block into an artifact of ours; see `_base.py`."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.core.registry import Registry

if TYPE_CHECKING:
    from monoseme.activations.formats._base import ActivationFormat
    from monoseme.activations.formats._foreign import ForeignFacts, ForeignStore, ForeignText
    from monoseme.activations.formats._importing import Imported, find_format, import_activations, kept_settings

ACTIVATION_FORMATS: "Registry[ActivationFormat]" = Registry(
    kind="activation_formats",
    package="monoseme.activations.formats",
    base="monoseme.activations.formats._base:ActivationFormat",
)
"""All formats that are installed."""

__all__ = [
    "ACTIVATION_FORMATS",
    "ActivationFormat",
    "ForeignFacts",
    "ForeignStore",
    "ForeignText",
    "Imported",
    "find_format",
    "import_activations",
    "kept_settings",
]

# torch on first use: `monoseme ls` imports this package.
__getattr__ = lazy_attributes(
    __name__,
    {
        "_base": ["ActivationFormat"],
        "_foreign": ["ForeignFacts", "ForeignStore", "ForeignText"],
        "_importing": ["Imported", "find_format", "import_activations", "kept_settings"],
    },
)
