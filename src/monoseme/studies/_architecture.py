"""What an SAE was trained as."""

from pathlib import Path

from monoseme.core.artifact import open_artifact
from monoseme.pipeline import FoundSae, run_of


def architecture_of(found: FoundSae) -> str:
    """What the SAE was trained as: those with thresholds are all of one architecture once they are saved."""
    run = run_of(found.path)
    for folder in (Path(found.path), run.sae(found.named.name.removeprefix(f"{run.path.name}."))):
        if (folder / "manifest.json").is_file():
            config = open_artifact(folder, kind="sae").config
            return str(config.get("trained_as", config)["architecture"])
    return found.named.sae.plugin_name
