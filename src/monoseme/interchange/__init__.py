"""SAEs of other tools, in and out: one public file per format. Importing this imports no torch."""

from typing import TYPE_CHECKING

from monoseme.core.lazy import lazy_attributes
from monoseme.interchange._registry import SAE_FORMATS

if TYPE_CHECKING:
    from monoseme.interchange._base import ForeignSae, SaeFormat, WholeSae
    from monoseme.interchange._exporting import ExportedSae, ExportSource, export_sae
    from monoseme.interchange._fingerprint import (
        FINGERPRINT,
        Agreement,
        Fingerprint,
        agreement,
        fingerprint_of,
        load_fingerprint,
        save_fingerprint,
    )
    from monoseme.interchange._importing import (
        ImportedSaes,
        ReadSae,
        find_sae_format,
        import_saes,
        imported_config,
        read_saes,
        require_sites,
        write_saes,
    )

__all__ = [
    "FINGERPRINT",
    "SAE_FORMATS",
    "Agreement",
    "ExportSource",
    "ExportedSae",
    "Fingerprint",
    "ForeignSae",
    "ImportedSaes",
    "ReadSae",
    "SaeFormat",
    "WholeSae",
    "agreement",
    "export_sae",
    "find_sae_format",
    "fingerprint_of",
    "import_saes",
    "imported_config",
    "load_fingerprint",
    "read_saes",
    "require_sites",
    "save_fingerprint",
    "write_saes",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "_base": ["ForeignSae", "SaeFormat", "WholeSae"],
        "_exporting": ["ExportSource", "ExportedSae", "export_sae"],
        "_fingerprint": [
            "FINGERPRINT",
            "Agreement",
            "Fingerprint",
            "agreement",
            "fingerprint_of",
            "load_fingerprint",
            "save_fingerprint",
        ],
        "_importing": [
            "ImportedSaes",
            "ReadSae",
            "find_sae_format",
            "import_saes",
            "imported_config",
            "read_saes",
            "require_sites",
            "write_saes",
        ],
    },
)
