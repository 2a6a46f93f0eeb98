"""`monoseme export RUN/saes/NAME --format NAME --out OUT`: an SAE as another tool keeps it."""

from collections.abc import Sequence
from pathlib import Path

from monoseme.cli._atlas_words import Exchange, OwnFlag, read_flags
from monoseme.core.display import get_display
from monoseme.core.errors import ConfigError
from monoseme.interchange import SAE_FORMATS, export_sae
from monoseme.pipeline import open_sae

ONE_SAE = Exchange(
    "SAEs",
    SAE_FORMATS,
    {
        "format": OwnFlag(str, "Format of OUT.", ""),
        "out": OwnFlag(str | None, "New folder.", None),
        "fingerprint": OwnFlag(bool, "Leave a fingerprint beside the weights, by which a reader can verify them.", True),
    },
    config="WriteConfig",
)


def export_one_sae(place: str, name: str, words: Sequence[str], *, summary: str) -> int:
    """Writes the SAE that `place` means; `words` are the flags of `export`."""
    flags = read_flags(ONE_SAE, name, words, verb=f"export SAE --format {name}", summary=summary)
    if flags.out is None:
        raise ConfigError("export needs a new folder.\n  Type:  monoseme export RUN/saes/NAME --format NAME --out OUT")
    named = open_sae(place)
    found = export_sae(
        named.sae,
        Path(flags.out),
        format=name,
        source=named.export_source,
        config=flags.settings,
        fingerprint=flags.fingerprint,
    )
    display = get_display()
    display.say(f"exported {named.name} to {found.out} ({found.format})")
    display.say(f"  files: {found.n_files:,}; bytes: {found.n_bytes:,}")
    if found.codes_off is not None:
        display.say(
            f"  read again: codes within {found.codes_off:.2g} of the largest, reconstructions within {found.x_hat_off:.2g}"
        )
    for line in found.lost:
        display.say(f"  {line}")
    display.result({**found._asdict(), "out": str(found.out)})
    return 0
