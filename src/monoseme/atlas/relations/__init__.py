"""How latents go together: co-activation, correlation, and the cosine of what they write. Torch is imported only when needed."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes

if TYPE_CHECKING:
    from monoseme.atlas.relations.reading import Relations, open_relations, relations_folder
    from monoseme.atlas.relations.relating import RelationsConfig, Written, relate_latents
    from monoseme.atlas.relations.written import what_latents_write

__all__ = [
    "Relations",
    "RelationsConfig",
    "Written",
    "open_relations",
    "relate_latents",
    "relations_folder",
    "what_latents_write",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "reading": ["Relations", "open_relations", "relations_folder"],
        "relating": ["RelationsConfig", "Written", "relate_latents"],
        "written": ["what_latents_write"],
    },
)
