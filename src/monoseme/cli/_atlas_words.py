"""The words of commands that exchange an atlas with other tools: which atlas, which SAE, which latents, which format."""

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from monoseme.atlas import Atlas, open_atlas
from monoseme.atlas.formats import ATLAS_FORMATS
from monoseme.cli._options import parse, settings, take_files
from monoseme.core.errors import ArtifactMissingError, ConfigError
from monoseme.pipeline import RUN_FILE, RunFolder

_RANGE = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?")


def atlas_at(word: str) -> Atlas:
    """The atlas in a folder, or that of a run. Raises ArtifactMissingError."""
    path = Path(word)
    path = RunFolder(path).atlas if (path / RUN_FILE).is_file() else path
    if not path.is_dir():
        raise ArtifactMissingError(f"there is no atlas or run at {word}. Make one with:  monoseme scan")
    return open_atlas(path)


def chosen_sae(atlas: Atlas, name: str | None) -> str:
    """The SAE that is named, or the only one. Raises ConfigError where several could be meant."""
    if name is not None:
        return name
    names = sorted({key.partition("@")[0] for key in atlas.saes()})
    if len(names) == 1:
        return names[0]
    raise ConfigError(f"this atlas has {len(names)} SAEs.\n  Choose one with --sae: {', '.join(names)}")


def latent_numbers(text: str) -> list[int]:
    """Numbers of latents written as `7`, `0-99` (both ends) or several with commas, ascending. Raises ConfigError."""
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ConfigError(f'"{part}" names no latents.\n  Write numbers and ranges: 7,12,100-199')
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return sorted(found)


def value_of(words: Sequence[str], wanted: str) -> str | None:
    """What a flag says, before the others can be read."""
    for word, following in itertools.zip_longest(words, words[1:]):
        flag, equals, value = word.partition("=")
        if flag == wanted:
            return value if equals else following
    return None


def format_lines() -> str:
    """The formats, a line each."""
    return "\n".join(f"  {info.name:<22} {info.summary}" for info in ATLAS_FORMATS.infos())


def read_flags(name: str, flags: Mapping[str, tuple[Any, str, Any]], words: Sequence[str], *, verb: str, summary: str) -> Any:
    """The flags of a command and, without a prefix, the settings of the format `name`: flag -> (type, help, default)."""
    import tyro  # reads types of the formats' settings; --help and lists do without

    said, rest = take_files(words)
    config = ATLAS_FORMATS.get(name).Config
    fields: list[Any] = [
        (flag, Annotated[kind, tyro.conf.arg(help=told)], default) for flag, (kind, told, default) in flags.items()
    ]
    own = Annotated[config, tyro.conf.arg(name="")]
    fields.append(("settings", own, dataclasses.field(default_factory=config)))
    made = dataclasses.make_dataclass("Flags", fields, frozen=True, kw_only=True)
    default = made(format=name, settings=settings(config(), said, where="config"))
    return parse(made, rest, verb=verb, summary=summary, default=default)
