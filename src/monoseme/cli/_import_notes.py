"""`monoseme import PATH --atlas ATLAS`: what another tool says of latents becomes annotations of an atlas."""

from collections.abc import Sequence
from pathlib import Path

from monoseme.atlas.formats import ATLAS_FORMATS, find_atlas_format, import_notes
from monoseme.cli._atlas_words import Exchange, OwnFlag, read_flags, value_of
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.pipeline import atlas_at, only_sae

NOTES = Exchange(
    "atlases",
    ATLAS_FORMATS,
    {
        "format": OwnFlag(str, "Format of PATH; recognised if not given.", ""),
        "atlas": OwnFlag(str | None, "Atlas, or a run that has one.", None),
        "sae": OwnFlag(str | None, "Which SAE of the atlas; not needed where there is one.", None),
        "label": OwnFlag(str | None, "What the annotation is called. None: the name of the format.", None),
    },
)


def import_into_atlas(words: Sequence[str], *, summary: str) -> int:
    """Appends what a file or folder says; `words` are those of `import`, with --atlas among them."""
    if not words or words[0].startswith("-"):
        raise ConfigError("import needs a file or a folder, before its flags.\n  Type:  monoseme import PATH --atlas ATLAS")
    path = Path(words[0])
    name = find_atlas_format(path, value_of(words, "--format"))
    flags = read_flags(NOTES, name, words[1:], verb=f"import PATH --atlas ATLAS --format {name}", summary=summary)
    atlas = atlas_at(Path(flags.atlas))
    sae = only_sae(atlas, flags.sae, asked_by="--sae")
    found = import_notes(atlas, sae, path, format=name, config=flags.settings, label=flags.label)
    display = get_display()
    display.say(f"imported {path} ({found.format}) as {', '.join(found.labels)} of {sae}")
    display.say(f"  explanations: {found.n_explanations:,}; scores: {found.n_scores:,}; examples: {found.n_examples:,}")
    for line in found.lost:
        display.say(f"  left behind: {line}")
    display.result({**found._asdict(), "atlas": str(atlas.path), "sae": sae})
    return 0
