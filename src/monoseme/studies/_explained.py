"""What atlases say of latents, found by the SAE's content hash beside the SAEs that a study was given."""

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monoseme.atlas import open_atlas
from monoseme.atlas.annotations import read_explanations
from monoseme.core.artifact import open_artifact
from monoseme.pipeline import FoundSae, run_of


class Explained(NamedTuple):
    """Explanations by SAE and latent."""

    texts: dict[str, dict[int, str]]
    """Name of the SAE -> latent -> what is said of it; an SAE without an atlas has no entry."""

    def of(self, sae: str, latent: int) -> str | None:
        """None where nothing is said of the latent."""
        return self.texts.get(sae, {}).get(int(latent))


def explanations_of(words: Sequence[str], found: Sequence[FoundSae]) -> Explained:
    """The newest explanation of each latent, from the atlases of the runs that the SAEs belong to."""
    names = {sae.named.content_hash or "": sae.named.name for sae in found}
    texts: dict[str, dict[int, str]] = {}
    for folder in atlases_of(words):
        atlas = open_atlas(folder)
        for key in atlas.saes():
            scanned = open_artifact(folder / "latents" / key, kind="atlas").inputs.get("sae")
            if scanned and (name := names.get(scanned)):
                parts = [part for part in atlas.annotations(key) if part.holds == "explanations"]
                said = [each for part in reversed(parts) for each in read_explanations(part)]
                texts.setdefault(name, {}).update({each.latent: each.text for each in said if each.text is not None})
    return Explained({name: held for name, held in texts.items() if held})


def atlases_of(words: Sequence[str]) -> list[Path]:
    """The atlases of the runs that words name SAEs of."""
    paths = [path for word in words for path in (sorted(glob.glob(word)) or [word])]  # noqa: PTH207 - as `find_saes` reads them
    folders = dict.fromkeys(run_of(path).atlas for path in paths)
    return [folder for folder in folders if (folder / "text").is_dir()]
