"""What other tools know of latents, in and out: dashboards, caches, explanations, scores. One file per format; see `_base.py`."""

from typing import TYPE_CHECKING

from monoseme.atlas.formats._registry import ATLAS_FORMATS
from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.atlas.formats._base import AtlasFormat
    from monoseme.atlas.formats._exporting import ExportChoice, Exported, export_atlas
    from monoseme.atlas.formats._importing import ImportedNotes, find_atlas_format, import_notes, read_notes
    from monoseme.atlas.formats._notes import NotedExample, Notes
    from monoseme.atlas.formats._part import ExportPart

__all__ = [
    "ATLAS_FORMATS",
    "AtlasFormat",
    "ExportChoice",
    "ExportPart",
    "Exported",
    "ImportedNotes",
    "NotedExample",
    "Notes",
    "export_atlas",
    "find_atlas_format",
    "import_notes",
    "read_notes",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "_base": ["AtlasFormat"],
        "_exporting": ["ExportChoice", "Exported", "export_atlas"],
        "_importing": ["ImportedNotes", "find_atlas_format", "import_notes", "read_notes"],
        "_notes": ["NotedExample", "Notes"],
        "_part": ["ExportPart"],
    },
)
