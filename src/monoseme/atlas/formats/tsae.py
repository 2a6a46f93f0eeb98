"""T-SAE's `explanations.json`: one object, the number of each latent and its explanation; a latent that is not in it is dead.

    {"0": "numbers in dates", "7": "legal disclaimers"}

Who writes and reads it: temporal-saes (Oesterling et al. 2025, arXiv:2511.05541) publishes it beside its SAEs, made from
SAEBench's autointerp results by `src/process_sae_bench_autointerp.py`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from monoseme.atlas.formats._base import AtlasFormat
from monoseme.atlas.formats._notes import Notes
from monoseme.atlas.formats._part import ExportPart
from monoseme.atlas.said import Explanation
from monoseme.core.errors import ConfigError
from monoseme.core.files import write_atomic
from monoseme.core.foreign import as_latent, as_text, read_json_object

_NAME = "explanations.json"


class TSae(AtlasFormat):
    """Explanations alone."""

    looks_for: ClassVar[str] = _NAME

    def recognises(self, path: Path) -> bool:
        """By the name, of the file or of one in the folder."""
        return path.name == _NAME if path.is_file() else (path / _NAME).is_file()

    def write(self, parts: Sequence[ExportPart], folder: Path) -> tuple[str, ...]:
        """Latents without an explanation are left out. Raises ConfigError where none has one."""
        (part,) = parts
        said = {str(one.latent): one.text for one in part.explained.values() if one.text is not None}
        if not said:
            raise ConfigError(f"{part.key} has no explanations to write.\n  Make some with:  monoseme explain")
        write_atomic(folder / _NAME, json.dumps(said, ensure_ascii=False, indent=2) + "\n")
        n_mute = sum(str(number) not in said for number in part.firing)
        return (f"{n_mute:,} latents that fire have no explanation: T-SAE takes them for dead",) if n_mute else ()

    def read(self, path: Path) -> Notes:
        """The explanations; what is not in the file is not said to be dead, as another scan may know better."""
        file = path if path.is_file() else path / _NAME
        rows = read_json_object(file).items()
        said = [
            Explanation(latent=as_latent(latent, where=str(file)), text=as_text(text, where=f"latent {latent} of {file}"))
            for latent, text in rows
        ]
        return Notes(explanations=tuple(said))
